//! Analysis as a whole, with images in memory. Conformance items 10, 14, 15, 19 and 20.

use std::sync::Mutex;

use cnb_lifecycle::api::PlatformApi;
use cnb_lifecycle::effect::Effects;
use cnb_lifecycle::effect::events::{Event, Events};
use cnb_lifecycle::effect::images::{Images, StoreKind};
use cnb_lifecycle::effect::processes::{Command, Finished, Output, Processes, StartError};
use cnb_lifecycle::effect::telemetry::NoTelemetry;
use cnb_lifecycle::image::memory::{MemoryImages, diff_id};
use cnb_lifecycle::model::analyzed::Analyzed;
use cnb_lifecycle::model::app_metadata::AppMetadata;
use cnb_lifecycle::model::image::{ContainerConfig, ImageConfig};
use cnb_lifecycle::model::layers_dir::LayersDir;
use cnb_lifecycle::model::target::Distro;
use cnb_lifecycle::phase::analyze::{Error, Inputs, analyze};
use cnb_lifecycle::report::text;
use cnb_lifecycle::schema::label;

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
                layers: LayersDir::new("/layers"),
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
    let identifier = world.previous(&[(label::LIFECYCLE_METADATA, "")], b"layer");
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
fn a_run_image_that_cannot_serve_is_an_error() {
    for kind in [StoreKind::Registry, StoreKind::Layout] {
        let world = World::new(kind);
        world.images.corrupt(RUN, "3 layers and 2 diff ids");
        let text = "failed to analyze: run image 'a.io/run:v1' is corrupt: 3 layers and 2 diff ids";
        assert_eq!(message(world.analyze()), text);
    }
}

#[test]
fn a_run_image_must_name_its_operating_system() {
    let world = World::new(StoreKind::Registry);
    world.images.insert(RUN, ImageConfig::default(), Vec::new());
    assert_eq!(message(world.analyze()), "failed to analyze: failed to find OS in run image config");
}

/// Analyzes with a previous image whose SBOM layer holds this file, and says what was told and whether it is there.
fn restored(world: &World, file: &str) -> (bool, bool) {
    let tar = sbom_tar(file);
    let label = format!(r#"{{"sbom":{{"sha":"{}"}}}}"#, diff_id(&tar));
    world.previous(&[(label::LIFECYCLE_METADATA, &label)], &tar);
    world.analyze().unwrap();
    let said = world.shown().contains("Restoring data for SBOM from previous image\n");
    (said, world.root.path().join(file).exists())
}

const SBOM: &str = "layers/sbom/launch/a/sbom.cdx.json";

#[test]
fn sbom_files_of_the_previous_image_are_restored() {
    assert_eq!(restored(&World::new(StoreKind::Registry), SBOM), (true, true));
    assert_eq!(restored(&World { skip_layers: true, ..World::new(StoreKind::Registry) }, SBOM), (false, false));
    assert_eq!(restored(&World { api: "0.7", ..World::new(StoreKind::Registry) }, SBOM), (false, false));
}

#[test]
fn sbom_files_go_nowhere_but_below_the_layers_folder() {
    for file in ["other/sbom/launch/a/sbom.cdx.json", "layers/a/launch.toml", "etc/passwd"] {
        let world = World::new(StoreKind::Registry);
        assert_eq!(restored(&world, file), (true, false), "{file}");
        assert!(world.shown().contains("Skipping restore of SBOM files from previous image: "), "{file}");
    }
}

#[test]
fn an_sbom_layer_that_the_image_does_not_have_is_an_error() {
    let world = World::new(StoreKind::Registry);
    let label = format!(r#"{{"sbom":{{"sha":"{}"}}}}"#, diff_id(b"another"));
    world.previous(&[(label::LIFECYCLE_METADATA, &label)], b"layer");
    assert!(message(world.analyze()).starts_with("failed to analyze: retrieving launch SBOM layer: "));
}

/// A layer with one file.
fn sbom_tar(file: &str) -> Vec<u8> {
    let mut header = [0; 512];
    let fields: [(usize, &[u8]); 6] = [
        (0, file.as_bytes()),
        (100, b"0000644\0"),
        (124, b"00000000002\0"),
        (148, b"        "),
        (156, b"0"),
        (257, b"ustar\x0000"),
    ];
    for (at, bytes) in fields {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend(b"{}");
    tar.resize(1024 + 1024, 0);
    tar
}
