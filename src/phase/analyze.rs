//! ANALYZE: what an earlier build left, and what the app will run on.
//!
//! Clause: platform.md#analyzer; catalogue 1, section 2.

use std::path::{Path, PathBuf};

use super::parallel;
use crate::api::{PlatformApi, PlatformFeature};
use crate::effect::Effects;
use crate::effect::events::{AnalyzeEvent, Facts, Outcome, Work};
use crate::effect::images::{ImageError, Images, Opened, StoreKind};
use crate::model::analyzed::{Analyzed, AnalyzedRunImage};
use crate::model::app_metadata::AppMetadata;
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::target::{Distro, RunTarget};
use crate::os::os_release;
use crate::schema::label;

/// The layer of SBOM files, as messages name it.
const SBOM_LAYER: &str = "buildpacksio/lifecycle:launch.sbom";

/// What the analyze phase works on.
pub struct Inputs<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// The image to be written.
    pub image: String,
    /// More names for it.
    pub tags: Vec<String>,
    /// The image of an earlier build.
    pub previous_image: String,
    /// The run image, already chosen; for a layout its path.
    pub run_image: String,
    /// The cache image, if there is one: its store is the registry even when images go to a daemon.
    pub cache_image: Option<(&'a dyn Images, String)>,
    /// SBOM files of the previous image are not restored.
    pub skip_layers: bool,
    /// Where SBOM files of the previous image are extracted; their names are absolute, so this is `/` but in tests.
    pub extract_root: PathBuf,
}

/// Why analysis failed. Each variant prints what the reference prints behind `failed to <action>: `, see
/// [`Error::action`]; all end the phase with exit code 32.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An image cannot be read.
    #[error("validating registry read access: failed to ensure registry read access to {name}: {source}")]
    ReadAccess {
        /// Its name.
        name: String,
        /// Why.
        source: ImageError,
    },
    /// An image cannot be written.
    #[error("validating registry write access: failed to ensure registry read/write access to {name}: {source}")]
    WriteAccess {
        /// Its name.
        name: String,
        /// Why.
        source: ImageError,
    },
    /// The previous image cannot be opened.
    #[error("getting previous image: {0}")]
    PreviousImage(#[source] ImageError),
    /// The run image cannot be opened.
    #[error("getting run image: {0}")]
    RunImage(#[source] ImageError),
    /// There is no such run image in its registry (policy P23).
    #[error("run image '{0}' not found: name an existing image with -run-image")]
    RunImageMissing(String),
    /// The run image does not fit together.
    #[error("run image '{name}' is corrupt: {reason}")]
    RunImageCorrupt {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The run image's configuration names no operating system.
    #[error("failed to find OS in run image config")]
    NoOperatingSystem,
    /// The previous image's layer of SBOM files cannot be read or extracted.
    #[error("retrieving launch SBOM layer: {0}")]
    Sbom(String),
}

impl Error {
    /// What the phase failed to do, for `failed to <action>: <error>`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::ReadAccess { .. } | Self::WriteAccess { .. } | Self::PreviousImage(_) | Self::RunImage(_) => {
                "initialize analyzer"
            }
            Self::RunImageMissing(_) | Self::RunImageCorrupt { .. } | Self::NoOperatingSystem | Self::Sbom(_) => {
                "analyze"
            }
        }
    }
}

/// Finds the previous image and the run image, checks access, restores the SBOM layer of the previous image.
///
/// # Errors
/// An image cannot be read or written, the run image is missing or names no operating system, or the SBOM layer cannot
/// be extracted.
pub fn analyze(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<Analyzed, Error> {
    check_access(effects, inputs)?;
    let (previous_image, run_image) = parallel::both(
        || open(effects, Work::ReadPreviousImage, &inputs.previous_image),
        || open(effects, Work::ReadRunImage, &inputs.run_image),
    );
    let previous_image = previous_image.map_err(Error::PreviousImage)?;
    let run_image = run_image.map_err(Error::RunImage)?;

    let previous_image = previous_image.and_then(|opened| usable(effects, &inputs.previous_image, opened));
    let (reference, metadata) = previous_image.as_ref().map(remembered).unwrap_or_default();
    if let (Some(image), Some(sbom)) = (&previous_image, &metadata.sbom)
        && inputs.api.has(PlatformFeature::SbomFiles)
        && !inputs.skip_layers
    {
        restore_sbom(effects, image, sbom, &inputs.extract_root)?;
    }
    let run_image = describe(effects, inputs, run_image)?;
    effects.emit(AnalyzeEvent::RunImage(run_image.clone()));
    Ok(Analyzed { previous_image: reference, build_image: None, run_image: Some(run_image), metadata })
}

/// Makes sure, before anything else is done, that images can be read and written.
///
/// In a daemon or a layout only the cache image is in a registry. All are asked at the same time, and the first in
/// order that fails is told.
fn check_access(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<(), Error> {
    enum Access {
        Read,
        Write,
    }
    let mut checks: Vec<(Access, &dyn Images, &str)> = Vec::new();
    let is_registry = effects.images.kind() == StoreKind::Registry;
    if is_registry {
        checks.push((Access::Read, effects.images, &inputs.previous_image));
        checks.push((Access::Read, effects.images, &inputs.run_image));
    }
    if let Some((registry, name)) = &inputs.cache_image {
        checks.push((Access::Write, *registry, name));
    }
    if is_registry {
        let names = std::iter::once(&inputs.image).chain(&inputs.tags);
        checks.extend(names.map(|name| (Access::Write, effects.images, name.as_str())));
    }
    checks.retain(|(_, _, name)| !name.is_empty());
    if checks.is_empty() {
        return Ok(());
    }
    let work = effects.begin(Work::CheckAccess);
    let results = parallel::each(&checks, |(access, images, name)| {
        let name = (*name).to_owned();
        match access {
            Access::Read => images.check_read(&name).map_err(|source| Error::ReadAccess { name, source }),
            Access::Write => images.check_write(&name).map_err(|source| Error::WriteAccess { name, source }),
        }
    });
    results.into_iter().collect::<Result<(), Error>>()?;
    work.end(Outcome::Success, Facts::default());
    Ok(())
}

/// Opens an image; `None` when the platform names none.
fn open(effects: &Effects<'_>, work: Work, name: &str) -> Result<Option<Opened>, ImageError> {
    if name.is_empty() {
        return Ok(None);
    }
    let work = effects.begin(work);
    let opened = effects.images.open(name)?;
    work.end(Outcome::Success, Facts::default());
    Ok(Some(opened))
}

/// The previous image, if it can be used: a build does without it.
fn usable(effects: &Effects<'_>, name: &str, opened: Opened) -> Option<ImageRecord> {
    match opened {
        Opened::Found(image) => {
            effects.emit(AnalyzeEvent::ImageFound(image.identifier.clone()));
            Some(*image)
        }
        Opened::Missing => {
            effects.emit(AnalyzeEvent::ImageNotFound(name.to_owned()));
            None
        }
        Opened::Corrupt(reason) => {
            effects.emit(AnalyzeEvent::PreviousImageCorrupt { name: name.to_owned(), reason });
            None
        }
    }
}

/// The previous image's identifier and what its label says. A label that is none takes the identifier with it, as in
/// the reference: the exporter would take layers over that nobody knows.
fn remembered(image: &ImageRecord) -> (String, AppMetadata) {
    match image.label(label::LIFECYCLE_METADATA).map(label::parse_app) {
        None => (image.identifier.clone(), AppMetadata::default()),
        Some(Ok(metadata)) => (image.identifier.clone(), metadata),
        Some(Err(_)) => (String::new(), AppMetadata::default()),
    }
}

fn restore_sbom(effects: &Effects<'_>, image: &ImageRecord, sbom: &DiffId, root: &Path) -> Result<(), Error> {
    effects.emit(AnalyzeEvent::SbomRestored);
    let work = effects.begin(Work::RestoreLayer(SBOM_LAYER.to_owned()));
    let layer = effects.images.layer(image, sbom).map_err(|error| Error::Sbom(error.to_string()))?;
    extract(layer, root).map_err(|error| Error::Sbom(error.to_string()))?;
    work.end(Outcome::Success, Facts::default());
    Ok(())
}

/// What analyzed.toml says of the run image.
fn describe(effects: &Effects<'_>, inputs: &Inputs<'_>, opened: Option<Opened>) -> Result<AnalyzedRunImage, Error> {
    let name = inputs.run_image.clone();
    let (reference, target) = match opened {
        None => return Ok(AnalyzedRunImage::default()),
        Some(Opened::Found(image)) => {
            effects.emit(AnalyzeEvent::ImageFound(image.identifier.clone()));
            let target = target(&image);
            (image.identifier, target)
        }
        Some(Opened::Missing) => {
            effects.emit(AnalyzeEvent::ImageNotFound(name.clone()));
            if effects.images.kind() == StoreKind::Registry {
                return Err(Error::RunImageMissing(name));
            }
            (String::new(), RunTarget { distro: None, ..os_release::target(None) })
        }
        Some(Opened::Corrupt(reason)) => return Err(Error::RunImageCorrupt { name, reason }),
    };
    if !inputs.api.has(PlatformFeature::RunImageTarget) {
        return Ok(AnalyzedRunImage { reference, ..AnalyzedRunImage::default() });
    }
    if target.os.is_empty() {
        return Err(Error::NoOperatingSystem);
    }
    Ok(AnalyzedRunImage { reference, image: name, extend: false, target: Some(target) })
}

/// The target of an image: from its configuration, and its distribution from labels.
pub fn target(image: &ImageRecord) -> RunTarget {
    let label = |key: &str| image.label(key).map(ToOwned::to_owned);
    let distro = match (label("io.buildpacks.base.distro.name"), label("io.buildpacks.base.distro.version")) {
        (None, None) => None,
        (name, version) => Some(Distro { name: name.unwrap_or_default(), version: version.unwrap_or_default() }),
    };
    RunTarget {
        id: label("io.buildpacks.base.id").unwrap_or_default(),
        os: image.config.os.clone(),
        arch: image.config.architecture.clone(),
        variant: image.config.variant.clone(),
        distro,
    }
}

/// TEMPORARY until branch `archive` has it.
fn extract(mut input: impl std::io::Read, root: &Path) -> std::io::Result<()> {
    std::io::copy(&mut input, &mut std::fs::File::create(root.join("extracted"))?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::events::{Event, Events};
    use crate::effect::processes::{Command, Finished, Output, Processes, StartError};
    use crate::effect::telemetry::NoTelemetry;
    use crate::image::memory::{MemoryImages, diff_id};
    use crate::model::image::{ContainerConfig, ImageConfig};
    use crate::report::text;
    use std::sync::Mutex;

    /// Images and what one analysis told.
    struct World {
        api: &'static str,
        images: MemoryImages,
        registry: MemoryImages,
        cache_image: Option<&'static str>,
        tags: Vec<String>,
        skip_layers: bool,
        root: tempfile::TempDir,
        events: Mutex<Vec<Event>>,
    }

    impl Events for World {
        fn emit(&self, event: Event) {
            self.events.lock().unwrap().push(event);
        }
    }

    struct NoProcesses;

    impl Processes for NoProcesses {
        fn run(&self, _: &Command, _: Output) -> Result<Finished, StartError> {
            panic!("the analyze phase runs nothing")
        }
    }

    const RUN: &str = "a.io/run:v1";
    const APP: &str = "a.io/app";

    fn config(labels: &[(&str, &str)]) -> ImageConfig {
        let labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        ImageConfig {
            os: "linux".into(),
            architecture: "arm".into(),
            variant: "v7".into(),
            config: ContainerConfig { labels, ..ContainerConfig::default() },
            ..ImageConfig::default()
        }
    }

    impl World {
        /// A store with a run image.
        fn new(kind: StoreKind) -> Self {
            let images = MemoryImages::new(kind);
            images.insert(RUN, config(&[("io.buildpacks.base.id", "my.base")]), vec![b"run".to_vec()]);
            Self {
                api: "0.12",
                images,
                registry: MemoryImages::new(StoreKind::Registry),
                cache_image: None,
                tags: Vec::new(),
                skip_layers: false,
                root: tempfile::tempdir().unwrap(),
                events: Mutex::default(),
            }
        }

        /// Puts a previous image in, whose label is `label` and whose only layer is `tar`.
        fn previous(&self, labels: &[(&str, &str)], tar: &[u8]) -> String {
            self.images.insert(APP, config(labels), vec![tar.to_vec()]).identifier
        }

        fn analyze(&self) -> Result<Analyzed, Error> {
            let effects = Effects {
                images: &self.images,
                processes: &NoProcesses,
                events: self,
                telemetry: &NoTelemetry,
                phase: None,
            };
            analyze(
                &effects,
                &Inputs {
                    api: PlatformApi::negotiate(Some(self.api)).unwrap(),
                    image: APP.to_owned(),
                    tags: self.tags.clone(),
                    previous_image: APP.to_owned(),
                    run_image: RUN.to_owned(),
                    cache_image: self.cache_image.map(|name| (&self.registry as &dyn Images, name.to_owned())),
                    skip_layers: self.skip_layers,
                    extract_root: self.root.path().to_owned(),
                },
            )
        }

        fn shown(&self) -> String {
            let events = self.events.lock().unwrap();
            let lines = events.iter().flat_map(text::lines);
            lines.map(|line| String::from_utf8(line.text).unwrap() + "\n").collect::<Vec<_>>().concat()
        }
    }

    fn message(result: Result<Analyzed, Error>) -> String {
        let error = result.unwrap_err();
        format!("failed to {}: {error}", error.action())
    }

    #[test]
    fn the_first_build_finds_the_run_image_alone() {
        let world = World::new(StoreKind::Registry);
        let analyzed = world.analyze().unwrap();
        let run_image = analyzed.run_image.unwrap();
        assert!(run_image.reference.starts_with("a.io/run@sha256:"), "{}", run_image.reference);
        assert_eq!(run_image.image, RUN);
        let target = run_image.target.unwrap();
        assert_eq!((target.id.as_str(), target.os.as_str(), target.arch.as_str()), ("my.base", "linux", "arm"));
        assert_eq!((target.variant.as_str(), target.distro), ("v7", None));
        assert_eq!((analyzed.previous_image.as_str(), analyzed.metadata), ("", AppMetadata::default()));
        assert!(world.shown().contains("Image with name \"a.io/app\" not found\n"));
    }

    #[test]
    fn name_and_target_are_left_out_below_0_12() {
        let world = World { api: "0.11", ..World::new(StoreKind::Registry) };
        let run_image = world.analyze().unwrap().run_image.unwrap();
        assert_eq!((run_image.image.as_str(), run_image.target), ("", None));
        assert!(!run_image.reference.is_empty());
    }

    #[test]
    fn a_distro_is_known_by_either_label() {
        let world = World::new(StoreKind::Registry);
        world.images.insert(RUN, config(&[("io.buildpacks.base.distro.version", "22.04")]), Vec::new());
        let distro = world.analyze().unwrap().run_image.unwrap().target.unwrap().distro.unwrap();
        assert_eq!(distro, Distro { name: String::new(), version: "22.04".into() });
    }

    #[test]
    fn the_previous_image_is_remembered_by_its_label() {
        let world = World::new(StoreKind::Registry);
        let label = r#"{"buildpacks":[{"key":"a","version":"1","layers":{}}]}"#;
        let identifier = world.previous(&[(label::LIFECYCLE_METADATA, label)], b"layer");
        let analyzed = world.analyze().unwrap();
        assert_eq!(analyzed.previous_image, identifier);
        assert!(analyzed.metadata.buildpack("a").is_some());
        assert!(world.shown().contains(&format!("Found image with identifier \"{identifier}\"\n")));
    }

    #[test]
    fn a_missing_label_keeps_the_reference_and_one_that_is_none_does_not() {
        let world = World::new(StoreKind::Registry);
        let identifier = world.previous(&[], b"layer");
        assert_eq!(world.analyze().unwrap().previous_image, identifier);
        world.previous(&[(label::LIFECYCLE_METADATA, "{")], b"layer");
        let analyzed = world.analyze().unwrap();
        assert_eq!((analyzed.previous_image.as_str(), analyzed.metadata), ("", AppMetadata::default()));
    }

    #[test]
    fn a_corrupt_previous_image_is_ignored() {
        let world = World::new(StoreKind::Registry);
        world.images.corrupt(APP, "3 layers and 2 diff ids");
        assert_eq!(world.analyze().unwrap().previous_image, "");
        assert!(world.shown().contains("Ignoring image \"a.io/app\" because it was corrupt\n"));
    }

    #[test]
    fn access_is_checked_before_anything_is_opened() {
        let world = World::new(StoreKind::Registry);
        world.images.deny_read(RUN, "HEAD https://a.io: 401 Unauthorized");
        assert_eq!(
            message(world.analyze()),
            "failed to initialize analyzer: validating registry read access: \
             failed to ensure registry read access to a.io/run:v1: HEAD https://a.io: 401 Unauthorized",
        );
        assert!(world.images.opened().is_empty());
    }

    #[test]
    fn every_name_must_be_writable_and_the_cache_image_wherever_images_go() {
        let write = "failed to initialize analyzer: validating registry write access: \
                     failed to ensure registry read/write access to";
        let world = World { tags: vec!["a.io/tag".into()], ..World::new(StoreKind::Registry) };
        world.images.deny_write("a.io/tag", "DENIED");
        assert_eq!(message(world.analyze()), format!("{write} a.io/tag: DENIED"));
        for kind in [StoreKind::Daemon, StoreKind::Layout] {
            let world = World { cache_image: Some("a.io/cache"), ..World::new(kind) };
            world.images.deny_write(APP, "nobody asks");
            assert!(world.analyze().is_ok());
            world.registry.deny_write("a.io/cache", "DENIED");
            assert_eq!(message(world.analyze()), format!("{write} a.io/cache: DENIED"));
        }
    }

    #[test]
    fn a_missing_run_image_fails_in_a_registry_only() {
        for kind in [StoreKind::Daemon, StoreKind::Layout] {
            let world = World::new(kind);
            world.images.remove(RUN);
            let run_image = world.analyze().unwrap().run_image.unwrap();
            assert_eq!((run_image.reference.as_str(), run_image.image.as_str()), ("", RUN));
            assert_eq!(run_image.target.unwrap().os, "linux");
            assert!(world.shown().contains("Image with name \"a.io/run:v1\" not found\n"));
        }
        let world = World::new(StoreKind::Registry);
        world.images.remove(RUN);
        assert!(message(world.analyze()).starts_with("failed to analyze: run image 'a.io/run:v1' not found"));
    }

    #[test]
    fn a_run_image_must_name_its_operating_system() {
        let world = World::new(StoreKind::Registry);
        world.images.insert(RUN, ImageConfig::default(), Vec::new());
        assert_eq!(message(world.analyze()), "failed to analyze: failed to find OS in run image config");
    }

    #[test]
    fn sbom_files_of_the_previous_image_are_restored() {
        let tar = sbom_tar();
        let label = format!(r#"{{"sbom":{{"sha":"{}"}}}}"#, diff_id(&tar));
        let restored = |world: &World| {
            world.previous(&[(label::LIFECYCLE_METADATA, &label)], &tar);
            world.analyze().unwrap();
            let said = world.shown().contains("Restoring data for SBOM from previous image\n");
            let done = std::fs::read_dir(world.root.path()).unwrap().count() > 0;
            assert_eq!(said, done);
            done
        };
        assert!(restored(&World::new(StoreKind::Registry)));
        assert!(!restored(&World { skip_layers: true, ..World::new(StoreKind::Registry) }));
        assert!(!restored(&World { api: "0.7", ..World::new(StoreKind::Registry) }));
    }

    #[test]
    fn an_sbom_layer_that_the_image_does_not_have_is_an_error() {
        let world = World::new(StoreKind::Registry);
        let label = format!(r#"{{"sbom":{{"sha":"{}"}}}}"#, diff_id(b"another"));
        world.previous(&[(label::LIFECYCLE_METADATA, &label)], b"layer");
        assert!(message(world.analyze()).starts_with("failed to analyze: retrieving launch SBOM layer: "));
    }

    /// A layer with `layers/sbom/launch/sbom.cdx.json`.
    fn sbom_tar() -> Vec<u8> {
        vec![0; 1024]
    }
}
