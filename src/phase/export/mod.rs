//! EXPORT: the app image, and the cache for the next build.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 2 and 3.3.
//!
//! Plan first, then write: `plan` says which layers there are, `make` finds their diff ids, `config`, `labels` and
//! `metadata` make the configuration, and the image store turns the draft of all that into an image.

mod base;
mod cache;
mod config;
mod extended;
mod folders;
mod kept;
mod labels;
mod make;
mod mend;
mod metadata;
mod plan;
mod sbom;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use config::Entrypoint;
pub use extended::ExtendedRunImage;

use super::history;
use super::save::{self, save};
use crate::api::{PlatformApi, PlatformFeature};
use crate::archive::{self, Owner};
use crate::effect::Effects;
use crate::effect::cache::Cache;
use crate::effect::events::ExportEvent;
use crate::effect::images::{DraftLayer, ImageDraft, ImageError, NewLayer, StoreKind};
use crate::model::analyzed::Analyzed;
use crate::model::build_metadata::BuildMetadata;
use crate::model::image::{ContainerConfig, History, ImageConfig, ImageRecord};
use crate::model::layers_dir::LayersDir;
use crate::model::order::Group;
use crate::model::process::Process;
use crate::model::report::Report;
use crate::model::run_image::RunImageRef;
use crate::model::seal::Seals;
use crate::schema::label::LifecycleInfo;

/// What the export phase works on.
pub struct Inputs<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// Names for the image, the first being *the* name.
    pub names: Vec<String>,
    /// The layers folder, absolute.
    pub layers: LayersDir,
    /// The app directory, absolute.
    pub app_dir: PathBuf,
    /// The group.
    pub group: Group,
    /// What analysis found.
    pub analyzed: Analyzed,
    /// What the extender made of the run image, if there is such.
    pub extended: Option<ExtendedRunImage>,
    /// What buildpacks contributed.
    pub metadata: BuildMetadata,
    /// The label `io.buildpacks.project.metadata`.
    pub project_label: String,
    /// Name and mirrors of the run image for the label; empty if not known.
    pub run_image_names: RunImageRef,
    /// The launcher.
    pub launcher: PathBuf,
    /// The folder with the launcher's SBOM files.
    pub launcher_sbom: PathBuf,
    /// The folder with the lifecycle's SBOM files: /cnb/lifecycle.
    pub lifecycle_sbom: PathBuf,
    /// The process type that the platform asks for.
    pub process_type: Option<String>,
    /// The execution environment, for its label.
    pub exec_env: String,
    /// Owner of what goes into layers.
    pub uid: u32,
    /// Group of what goes into layers.
    pub gid: u32,
    /// `SOURCE_DATE_EPOCH` as it was given.
    pub source_date_epoch: Option<String>,
    /// Image and cache are written at the same time.
    pub parallel: bool,
    /// The cache to write, if there is one.
    pub cache: Option<&'a dyn Cache>,
    /// Seals of the layers that were restored in this build.
    pub seals: Seals,
    /// What the build metadata label says of this lifecycle.
    pub lifecycle: LifecycleInfo,
}

/// Why exporting failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run image or the previous image cannot be opened. Exit code 1 (policy P4). The text goes right behind
    /// `failed to `.
    #[error("{0}")]
    Open(String),
    /// The platform or a buildpack asks for what there is not. Exit code 62. The text goes behind `failed to export: `.
    #[error("{0}")]
    Refused(String),
    /// The image could not be made or written. Exit code 62. The text goes behind `failed to export: `.
    #[error("saving image: {0}")]
    Save(ImageError),
    /// The image could be written under no name at all. Exit code 62. The text goes behind `failed to export: `.
    #[error("{0}")]
    Nowhere(String),
    /// Anything else. Exit code 62. The text goes behind `failed to export: `.
    #[error("{0}")]
    Other(String),
    /// Some names could not be written, others were; report.toml tells which (policy P25). Exit code 62. The text goes
    /// behind `failed to export: `.
    #[error("failed to write image to the following tags: {failed}")]
    Tags {
        /// `[<name>: <error>],[...]`.
        failed: String,
        /// What was written.
        report: Box<Report>,
    },
}

impl From<save::Error> for Error {
    fn from(error: save::Error) -> Self {
        match error {
            save::Error::Image(error) => Self::Save(error),
            save::Error::Tags { failed, report } => Self::Tags { failed, report },
            save::Error::Nowhere(_) => Self::Nowhere(error.to_string()),
        }
    }
}

/// The image as it was planned and written; the cache can still be written after the report.
pub struct Exported {
    /// report.toml.
    pub report: Report,
    /// Layers made for the image, by id, so that the cache takes them without making them again.
    pub layers: Vec<NewLayer>,
    /// What buildpacks left, so that it is not read again.
    folders: Vec<folders::Folder>,
    /// What the cache was given while the image was written; `None` if that is still to be done.
    staged: Option<cache::Staged>,
}

/// Writes the image. With [`Inputs::parallel`] the cache is filled meanwhile, but for all to see only by
/// [`export_cache`].
///
/// # Errors
/// See [`Error`].
pub fn export(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<Exported, Error> {
    let created = config::created(inputs.api, inputs.source_date_epoch.as_deref()).unwrap_or_else(|| {
        effects.emit(ExportEvent::InvalidSourceDateEpoch);
        history::CREATED.to_owned()
    });
    let bases = base::open(effects, inputs)?;
    if inputs.api.has(PlatformFeature::LifecycleSbom) {
        sbom::copy(effects, inputs)?;
    }
    let folders = folders::read(effects, inputs)?;
    // Whatever can be refused is refused before layers are made, which takes time.
    let planned = plan_layers(effects, inputs, &bases.run, &folders)?;
    let entrypoint = config::entrypoint(
        processes(inputs),
        inputs.process_type.as_deref(),
        inputs.metadata.default_process_type.as_deref(),
    )
    .map_err(|error| Error::Refused(error.to_string()))?;
    let build_bom = folders::build_bom(inputs, &folders)?;
    let name = inputs.names.first().map(String::as_str);
    let made = make::all(effects, &planned, bases.previous.as_ref(), name, &source(inputs))?;
    let metadata = metadata::app(inputs, &bases.run, &folders, &made);
    let labels = labels::all(inputs, &metadata)?;
    labels::tell(effects, &labels, &metadata);
    let draft = ImageDraft {
        config: image_config(effects, inputs, &bases.run.config, labels, &entrypoint, &created),
        layers: draft_layers(inputs.api, effects.images.kind(), &bases, &made, &created),
        base: bases.run,
        previous: bases.previous,
    };
    let layers: Vec<NewLayer> = made.iter().filter_map(|made| made.layer.clone()).collect();
    let save = |build_bom| save(effects, &draft, &inputs.names, build_bom, || mend::mended(effects, &draft, &made));
    let (report, staged) = match inputs.cache.filter(|_| inputs.parallel) {
        None => (save(build_bom)?, None),
        Some(cache) => {
            let failed = AtomicBool::new(false);
            let (written, staged) = thread::scope(|scope| {
                let stage = || cache::stage(effects, inputs, cache, &folders, &layers, &failed);
                // Where the system gives no thread, the cache is written behind the image.
                let staging = thread::Builder::new().spawn_scoped(scope, stage).ok();
                let written = save(build_bom);
                failed.store(written.is_err(), Ordering::Relaxed);
                let join = |staging: thread::ScopedJoinHandle<'_, _>| staging.join();
                let staged = staging.map(|it| join(it).unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                (written, staged)
            });
            (written?, staged)
        }
    };
    Ok(Exported { report, layers, folders, staged })
}

/// Writes the cache, after report.toml is written. Whatever goes wrong is an event, never an error.
pub fn export_cache(effects: &Effects<'_>, inputs: &Inputs<'_>, exported: &Exported) {
    if let Some(cache) = inputs.cache {
        cache::finish(effects, inputs, cache, exported);
    }
}

/// Plans every layer on top of the run image's, in their order.
fn plan_layers(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    run: &ImageRecord,
    folders: &[folders::Folder],
) -> Result<Vec<plan::Planned>, Error> {
    let previous = &inputs.analyzed.metadata;
    let mut planned = extended::layers(inputs, run)?;
    for (index, folder) in folders.iter().enumerate() {
        for layer in plan::buildpack(index, folder, previous)? {
            if let plan::Part::Buildpack { name, .. } = &layer.part {
                effects.emit(ExportEvent::LaunchLayer(folder.path.join(name.as_str())));
            }
            planned.push(layer);
        }
    }
    let sbom = folders::sbom(inputs, "launch")
        .map_err(|error| Error::Other(format!("failed to read layers config sbom: {error}")))?;
    if let Some(path) = sbom {
        effects.emit(ExportEvent::SbomFound { kind: "launch", path: path.clone() });
        planned.push(plan::sbom(path, previous));
    }
    let tracing = inputs.layers.tracing();
    let slices = archive::slices_without(&inputs.app_dir, &inputs.metadata.slices, owner(inputs), &tracing)
        .map_err(|error| Error::Other(format!("exporting app layers: creating app layers: {error}")))?;
    planned.extend(plan::app(slices, previous));
    let launcher = archive::launcher(&inputs.launcher)
        .map_err(|error| Error::Other(format!("creating launcher layers: {error}")))?;
    let types: Vec<String> = processes(inputs).iter().map(|process| process.r#type.clone()).collect();
    let links = if types.is_empty() { None } else { Some(archive::process_types(&types)) };
    let links = links
        .transpose()
        .map_err(|error| Error::Refused(format!("creating layer 'buildpacksio/lifecycle:process-types': {error}")))?;
    planned.extend(plan::launch(&inputs.layers, launcher, links, previous));
    Ok(planned)
}

/// The run image's configuration, or what extensions made of it, with what an app needs.
fn image_config(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    run: &ImageConfig,
    labels: Vec<(String, String)>,
    entrypoint: &Entrypoint,
    created: &str,
) -> ImageConfig {
    let extended = extended::config(inputs);
    if extended.is_some() {
        effects.emit(ExportEvent::ExtendedConfig);
    }
    let base = extended.unwrap_or(&run.config);
    let mut env = base.env.clone();
    let layers_dir = inputs.layers.path().display().to_string();
    let app_dir = inputs.app_dir.display().to_string();
    for (name, value) in config::variables(inputs.api, &layers_dir, &app_dir) {
        config::set_env(&mut env, name, &value);
        effects.emit(ExportEvent::Env { name, value });
    }
    config::set_env(&mut env, "PATH", &config::path(base));
    effects.emit(ExportEvent::PathPrepended);
    effects.emit(ExportEvent::WorkingDir(app_dir.clone()));
    effects.emit(match entrypoint {
        Entrypoint::Process(r#type) => ExportEvent::DefaultProcess(r#type.clone()),
        Entrypoint::Launcher => ExportEvent::NoDefaultProcess,
    });
    effects.emit(ExportEvent::Entrypoint(entrypoint.path()));
    let mut all_labels = base.labels.clone();
    all_labels.extend(labels);
    ImageConfig {
        created: created.to_owned(),
        config: ContainerConfig {
            env,
            entrypoint: Some(vec![entrypoint.path()]),
            cmd: None,
            working_dir: app_dir,
            labels: all_labels,
            ..base.clone()
        },
        history: Vec::new(),
        diff_ids: Vec::new(),
        ..run.clone()
    }
}

/// Every layer of the image with its history: the run image's, then those that were made.
fn draft_layers(
    api: PlatformApi,
    kind: StoreKind,
    bases: &base::Bases,
    made: &[make::Made<'_>],
    created: &str,
) -> Vec<(DraftLayer, History)> {
    let history = history::of_run_image(api, &bases.run.config, bases.run.layers.len(), created);
    let base = history.into_iter().enumerate().map(|(index, history)| (DraftLayer::Base(index), history));
    let own = made.iter().map(|layer| {
        let entry = History { created_by: layer.planned.created_by.clone(), ..History::default() };
        (layer.draft(kind), history::entry(api, entry, created))
    });
    base.chain(own).collect()
}

fn processes<'a>(inputs: &'a Inputs<'_>) -> &'a [Process] {
    inputs.metadata.processes.as_deref().unwrap_or_default()
}

/// How layers of folders are made.
fn source<'a>(inputs: &'a Inputs<'_>) -> make::Source<'a> {
    make::Source { owner: owner(inputs), seals: &inputs.seals, cache: inputs.cache }
}

fn owner(inputs: &Inputs<'_>) -> Owner {
    Owner { uid: inputs.uid, gid: inputs.gid }
}
