//! BUILD: every buildpack of the group contributes.
//!
//! Clause: buildpack.md#phase-3-build, platform.md#builder; catalogue 1, section 5.

mod processes;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::api::{PlatformApi, PlatformFeature};
use crate::buildpack::api::{self, ApiError};
use crate::buildpack::build::{self, BuildError, Buildpack, Contribution, Surroundings};
use crate::buildpack::environment;
use crate::buildpack::layers::{self, LayerFileError};
use crate::buildpack::sbom::{self, SbomError};
use crate::buildpack::store::{Store, StoreError};
use crate::effect::Effects;
use crate::effect::events::{BuildEvent, BuildStep};
use crate::model::build_metadata::BuildMetadata;
use crate::model::env::Environment;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::launch::BomEntry;
use crate::model::layers_dir::LayersDir;
use crate::model::order::{Group, GroupElement};
use crate::model::plan::{Plan, Require};
use crate::model::target::RunTarget;
use crate::os::{document, error_text};
use crate::schema;
use processes::Processes;

/// What the build phase works on.
pub struct Inputs {
    /// The Platform API.
    pub api: PlatformApi,
    /// The layers folder.
    pub layers: LayersDir,
    /// The app directory.
    pub app_dir: PathBuf,
    /// The platform directory.
    pub platform_dir: PathBuf,
    /// The operator's build configuration.
    pub build_config_dir: PathBuf,
    /// Where buildpacks are.
    pub store: Store,
    /// The group that detection chose.
    pub group: Group,
    /// The plan that detection agreed on.
    pub plan: Plan,
    /// The execution environment.
    pub exec_env: String,
    /// The run image's target; `None` when analyzed.toml has none.
    pub target: Option<RunTarget>,
    /// The target of this very system, where the run image's is not known.
    pub host_target: RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: Environment,
    /// A folder for plans while programs read them; the phase makes and removes its own below it.
    pub temp_dir: PathBuf,
    /// `<layers>/tracing` is in use, so that no buildpack may have it as its folder.
    pub telemetry: bool,
}

/// Why building failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A buildpack asks for an API version that is not served. Exit code 12; the text is the whole message, with no
    /// `failed to build: ` in front.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A buildpack would have the folder of telemetry. Exit code 1.
    #[error(
        "the layers of buildpack '{0}' would be in <layers>/tracing, where telemetry is; leave the buildpack out or turn telemetry off"
    )]
    TracingFolder(ModuleId),
    /// A bin/build could not be run or said no. Exit code 51.
    #[error("{0}")]
    Buildpack(BuildError),
    /// Anything else. Exit code 52.
    #[error(transparent)]
    Other(#[from] OtherError),
}

/// What can go wrong beside the programs of buildpacks.
#[derive(Debug, thiserror::Error)]
pub enum OtherError {
    /// What an earlier phase left in `<layers>/sbom` cannot be removed.
    #[error("cleaning layers SBOM directory: {0}")]
    CleanSbom(LayerFileError),
    /// A descriptor cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a buildpack left is wrong.
    #[error(transparent)]
    Outputs(BuildError),
    /// SBOM files cannot be copied.
    #[error(transparent)]
    Sbom(#[from] SbomError),
    /// sbom.legacy.json cannot be written.
    #[error("encoding {purpose} bom: open {}: {}", path.display(), error_text(source))]
    LegacyBom {
        /// `launch` or `build`.
        purpose: &'static str,
        /// The file or its folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Checks that the API of every buildpack of a group, as group.toml has it, is served: the first thing of the phases
/// behind detection.
///
/// # Errors
/// One is not; exit code 12.
pub fn verify_apis(group: &Group) -> Result<(), ApiError> {
    group.buildpacks.iter().try_for_each(|element| api::negotiate(element, &element.api).map(drop))
}

/// Runs bin/build of each buildpack in order, and gathers what they contribute.
///
/// # Errors
/// See [`Error`]; the first error ends the phase.
pub fn build(effects: &Effects<'_>, inputs: &Inputs) -> Result<BuildMetadata, Error> {
    verify_apis(&inputs.group)?;
    for element in &inputs.group.buildpacks {
        refuse_tracing(inputs, &element.id)?;
    }
    layers::remove_tree(&inputs.layers.sbom()).map_err(OtherError::CleanSbom)?;

    let target = target(effects, inputs);
    let mut env = environment::base(&inputs.env);
    let mut plan = inputs.plan.clone();
    let mut processes = Processes::default();
    let mut metadata = BuildMetadata {
        buildpacks: inputs.group.buildpacks.clone(),
        // That an extension is optional goes without saying.
        extensions: inputs
            .group
            .extensions
            .iter()
            .map(|extension| GroupElement { optional: false, ..extension.clone() })
            .collect(),
        ..BuildMetadata::default()
    };
    let (mut launch_bom, mut build_bom, mut sbom_files) = (Vec::new(), Vec::new(), Vec::new());

    for element in &inputs.group.buildpacks {
        effects.emit(BuildEvent::Buildpack(element.clone()));
        let contribution = build_one(effects, inputs, element, &target, &plan, &mut env)?;
        effects.emit(BuildEvent::Step(BuildStep::TakeOver));
        plan.entries.retain(|entry| !entry.requires.iter().any(|require| contribution.met.contains(&require.name)));
        effects.emit(BuildEvent::Step(BuildStep::UpdateProcesses));
        if let Some(process) = processes.add(contribution.launch.processes) {
            effects.emit(BuildEvent::DefaultProcessRedefined { process });
        }
        metadata.labels.extend(contribution.launch.labels);
        metadata.slices.extend(contribution.launch.slices);
        launch_bom.extend(contribution.launch.bom);
        build_bom.extend(contribution.build_bom);
        sbom_files.extend(contribution.sbom);
        effects.emit(BuildEvent::BuildpackDone(element.clone()));
    }

    if inputs.api.has(PlatformFeature::SbomFiles) {
        effects.emit(BuildEvent::Step(BuildStep::CopySbom));
        sbom::collect(&inputs.layers, &sbom_files).map_err(OtherError::from)?;
    }
    if inputs.api.has(PlatformFeature::LegacyBomFiles) {
        effects.emit(BuildEvent::Step(BuildStep::WriteLegacyBom));
        write_legacy_bom(&inputs.layers, "launch", &launch_bom)?;
        write_legacy_bom(&inputs.layers, "build", &build_bom)?;
    }
    if inputs.api.has(PlatformFeature::BomInMetadata) {
        metadata.bom = launch_bom;
    }
    effects.emit(BuildEvent::Step(BuildStep::ListProcesses));
    let (processes, default_process_type) = processes.finish();
    (metadata.processes, metadata.default_process_type) = (Some(processes), default_process_type);
    Ok(metadata)
}

/// Runs one buildpack.
fn build_one(
    effects: &Effects<'_>,
    inputs: &Inputs,
    element: &GroupElement,
    target: &RunTarget,
    plan: &Plan,
    env: &mut Environment,
) -> Result<Contribution, Error> {
    effects.emit(BuildEvent::Step(BuildStep::LookUp));
    let descriptor =
        inputs.store.descriptor(ModuleKind::Buildpack, &element.id, &element.version).map_err(OtherError::from)?;
    // The descriptor's own id names the folder, and its API rules: group.toml was only checked.
    refuse_tracing(inputs, &descriptor.id)?;
    let buildpack = Buildpack { descriptor: &descriptor, api: api::negotiate(element, &descriptor.api)? };
    effects.emit(BuildEvent::Step(BuildStep::FindPlan));
    let requires = requires_for(plan, &element.id);
    let around = Surroundings {
        layers: &inputs.layers,
        app_dir: &inputs.app_dir,
        platform_dir: &inputs.platform_dir,
        build_config_dir: &inputs.build_config_dir,
        exec_env: &inputs.exec_env,
        target,
        temp_dir: &inputs.temp_dir,
    };
    build::build(effects, buildpack, &requires, around, env).map_err(|error| match error {
        error if error.is_of_program() => Error::Buildpack(error),
        error => OtherError::Outputs(error).into(),
    })
}

/// What a buildpack is asked to provide. Its version does not matter.
fn requires_for(plan: &Plan, id: &ModuleId) -> Vec<Require> {
    plan.entries
        .iter()
        .filter(|entry| {
            entry.providers.iter().any(|provider| provider.kind == ModuleKind::Buildpack && provider.id == *id)
        })
        .flat_map(|entry| entry.requires.iter().cloned())
        .collect()
}

/// The target for `CNB_TARGET_*`: what the run image does not say comes from this system, but only where its
/// distribution is unknown.
fn target(effects: &Effects<'_>, inputs: &Inputs) -> RunTarget {
    let mut target = inputs.target.clone().unwrap_or_default();
    if target.distro.is_none() {
        effects.emit(BuildEvent::TargetFromHost);
        let host = &inputs.host_target;
        for (own, host) in [(&mut target.os, &host.os), (&mut target.arch, &host.arch)] {
            if own.is_empty() {
                own.clone_from(host);
            }
        }
        target.distro.clone_from(&host.distro);
    }
    target
}

fn refuse_tracing(inputs: &Inputs, id: &ModuleId) -> Result<(), Error> {
    if inputs.telemetry && inputs.layers.buildpack(id) == inputs.layers.tracing() {
        return Err(Error::TracingFolder(id.clone()));
    }
    Ok(())
}

fn write_legacy_bom(layers: &LayersDir, purpose: &'static str, bom: &[BomEntry]) -> Result<(), OtherError> {
    let failed = |path: &Path, source| OtherError::LegacyBom { purpose, path: path.to_owned(), source };
    let path = layers.sbom().join(purpose).join("sbom.legacy.json");
    document::write(&path, schema::sbom::render_legacy(bom).as_bytes()).map_err(|error| failed(&path, error))
}
