//! Whole rebases, with images in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::effect::events::{Event, Events};
use crate::effect::images::StoreKind;
use crate::effect::processes::{Command, Finished, Output, Processes, StartError};
use crate::effect::telemetry::NoTelemetry;
use crate::image::conforms::{conforms, run_config};
use crate::image::memory::{MemoryImages, diff_id};
use crate::model::app_metadata::{AppMetadata, RunImageMetadata};
use crate::model::image::{History, ImageConfig, MediaFamily};
use crate::model::run_image::RunImageRef;
use crate::schema::label;

const OLD: &str = "reg.io/run:1";
const APP: &str = "reg.io/app:1";

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Events for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    fn warnings(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let forced = events.iter().filter_map(|event| match event {
            Event::Rebase(RebaseEvent::Forced(misfit)) => Some(misfit.to_string()),
            _ => None,
        });
        forced.collect()
    }
}

struct NoProcesses;

impl Processes for NoProcesses {
    fn run(&self, _: &Command, _: Output) -> Result<Finished, StartError> {
        Err(StartError("a rebase runs nothing".into()))
    }
}

/// An app image `reg.io/app:1` on `reg.io/run:1`, ready to be rebased.
struct World {
    images: MemoryImages,
    api: &'static str,
    run_image: Option<&'static str>,
    force: bool,
    previous: &'static str,
    names: Vec<&'static str>,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

fn config(api: &str, labels: Labels<'_>, history: &[&str]) -> ImageConfig {
    let entry = |text: &&str| History { created: "2024".into(), created_by: (*text).into(), ..History::default() };
    let mut config = ImageConfig { history: history.iter().map(entry).collect(), ..run_config() };
    if !api.is_empty() {
        config.config.env.push(format!("CNB_PLATFORM_API={api}"));
    }
    config.config.labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    config
}

fn names(image: &str, mirrors: &[&str]) -> RunImageRef {
    RunImageRef { image: image.into(), mirrors: mirrors.iter().map(|&mirror| mirror.into()).collect() }
}

impl World {
    fn new() -> Self {
        let world = Self {
            images: MemoryImages::new(StoreKind::Registry),
            api: "0.13",
            run_image: None,
            force: false,
            previous: APP,
            names: vec![APP],
        };
        let old = config("", &[("io.buildpacks.base.id", "old"), ("io.buildpacks.stack.id", "s")], &["old 1", "old 2"]);
        world.images.insert(OLD, old, vec![b"old 1".to_vec(), b"old 2".to_vec()]);
        world.app(config("0.13", &[("io.buildpacks.base.id", "old"), ("own", "kept")], HISTORY), |_| {});
        world.run(OLD, &[("io.buildpacks.base.id", "new"), ("io.buildpacks.stack.id", "s"), ("theirs", "not taken")]);
        world
    }

    /// Puts the app image in; two of its own layers are equal.
    fn app(&self, config: ImageConfig, change: impl Fn(&mut AppMetadata)) {
        let mut metadata = AppMetadata {
            app: vec![diff_id(b"app")],
            launcher: Some(diff_id(b"launcher")),
            run_image: RunImageMetadata {
                top_layer: diff_id(b"old 2").to_string(),
                reference: "reg.io/run@sha256:old".into(),
                names: names(OLD, &["mirror.io/run"]),
            },
            stack: Some(names(OLD, &[])),
            ..AppMetadata::default()
        };
        change(&mut metadata);
        let mut config = config;
        let text = label::render_app(&metadata).unwrap();
        config.config.labels.entry(label::LIFECYCLE_METADATA.into()).or_insert(text);
        let layers = [&b"old 1"[..], b"old 2", b"app", b"launcher", b"app"];
        self.images.insert(APP, config, layers.map(<[u8]>::to_vec).into());
    }

    /// Puts a new run image in.
    fn run(&self, name: &str, labels: Labels<'_>) {
        self.run_of(name, config("", labels, &["new 1", "new 2", "new 3"]));
    }

    fn run_of(&self, name: &str, config: ImageConfig) {
        self.images.insert(name, config, [&b"new 1"[..], b"new 2", b"new 3"].map(<[u8]>::to_vec).into());
    }

    fn rebase(&self) -> (Result<Report, Error>, Heard) {
        let heard = Heard::default();
        let effects = Effects {
            images: &self.images,
            processes: &NoProcesses,
            events: &heard,
            telemetry: &NoTelemetry,
            phase: None,
        };
        let inputs = Inputs {
            api: PlatformApi::negotiate(Some(self.api)).unwrap(),
            names: self.names.iter().map(ToString::to_string).collect(),
            previous_image: self.previous.into(),
            app: None,
            run_image: self.run_image.map(str::to_owned),
            force: self.force,
        };
        (rebase(&effects, inputs), heard)
    }

    /// Rebases, and gives the image that was written.
    fn rebased(&self) -> ImageRecord {
        self.rebase().0.unwrap();
        self.images.writes().pop().unwrap().record
    }

    /// Rebases in vain, and gives the error; nothing is written.
    fn refused(&self) -> String {
        let error = self.rebase().0.unwrap_err().to_string();
        assert!(self.images.writes().is_empty(), "{error}");
        error
    }

    /// The same by force, with what was warned of.
    fn forced(&mut self) -> (ImageRecord, Vec<String>) {
        self.force = true;
        let (report, heard) = self.rebase();
        report.unwrap();
        (self.images.writes().pop().unwrap().record, heard.warnings())
    }
}

const HISTORY: &[&str] = &["old 1", "old 2", "slice", "launcher", "slice again"];

fn metadata(image: &ImageRecord) -> AppMetadata {
    label::parse_app(image.label(label::LIFECYCLE_METADATA).unwrap()).unwrap()
}

fn texts(image: &ImageRecord) -> Vec<&str> {
    image.config.history.iter().map(|entry| entry.created_by.as_str()).collect()
}

#[test]
fn the_apps_own_layers_stand_on_those_of_the_new_run_image() {
    let world = World::new();
    let app = world.images.get(APP).unwrap();
    let image = world.rebased();
    let expected = [&b"new 1"[..], b"new 2", b"new 3", b"app", b"launcher", b"app"].map(diff_id);
    assert_eq!(image.config.diff_ids, expected);
    assert_eq!(image.layers[3..], app.layers[2..], "not a byte of them is another");
    assert_eq!(texts(&image), ["new 1", "new 2", "new 3", "slice", "launcher", "slice again"]);
    assert!(image.config.history.iter().all(|entry| entry.created == "1980-01-01T00:00:01Z"));
    assert_eq!(image.config.created, "1980-01-01T00:00:01Z");
}

#[test]
fn a_run_image_with_equal_layers_goes_as_a_whole() {
    for extension in [false, true] {
        let world = World::new();
        let mut app = world.images.get(APP).unwrap();
        let empty = &b"empty"[..];
        let mut layers = vec![b"old 1", empty, b"old 2", empty, b"app", b"launcher", b"app"];
        let mut history = vec!["old 1", "workdir", "old 2", "user", "slice", "launcher", "slice again"];
        if extension {
            layers.insert(4, empty);
            history.insert(4, "Layer: 'RUN true', Created by extension: ext");
        }
        let mut metadata = metadata(&app);
        metadata.run_image.top_layer = diff_id(empty).to_string();
        let entry = |text: &&str| History { created_by: (*text).into(), ..History::default() };
        app.config.history = history.iter().map(entry).collect();
        app.config.config.labels.insert(label::LIFECYCLE_METADATA.into(), label::render_app(&metadata).unwrap());
        world.images.insert(APP, app.config, layers.iter().map(|layer| layer.to_vec()).collect());
        let expected = [&[&b"new 1"[..], b"new 2", b"new 3"][..], &layers[4..]].concat();
        assert_eq!(world.rebased().config.diff_ids, expected.into_iter().map(diff_id).collect::<Vec<_>>());
    }
}

#[test]
fn only_what_speaks_of_the_run_image_changes_in_labels() {
    let world = World::new();
    let before = metadata(&world.images.get(APP).unwrap());
    let image = world.rebased();
    let mut labels = image.config.config.labels.clone();
    labels.remove(label::LIFECYCLE_METADATA);
    let expected = [("io.buildpacks.base.id", "new"), ("io.buildpacks.stack.id", "s"), ("own", "kept")];
    assert_eq!(labels, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let run_image = RunImageMetadata {
        top_layer: diff_id(b"new 3").to_string(),
        reference: world.images.get(OLD).unwrap().identifier,
        ..before.run_image.clone()
    };
    assert_eq!(metadata(&image), AppMetadata { run_image, ..before });
}

#[test]
fn the_label_says_of_the_app_what_it_said_before() {
    let world = World::new();
    let text = format!(
        r#"{{"app":[{{"sha":"x","more":1}}],"config":{{"sha":"y"}},"runImage":{{"topLayer":"{}","image":"{OLD}"}}}}"#,
        diff_id(b"old 2")
    );
    world.app(config("0.13", &[(label::LIFECYCLE_METADATA, &text)], HISTORY), |_| {});
    let image = world.rebased();
    let label = image.label(label::LIFECYCLE_METADATA).unwrap();
    let kept = r#"{"app":[{"more":1,"sha":"x"}],"buildpacks":null,"config":{"sha":"y"},"launcher""#;
    assert!(label.starts_with(kept), "{label}");
}

#[test]
fn the_app_keeps_its_configuration_and_takes_the_system_of_the_run_image() {
    let mut world = World::new();
    let mut app = config("0.13", &[], HISTORY);
    app.author = "me".into();
    app.architecture = "arm64".into();
    app.variant = "v8".into();
    app.config.entrypoint = Some(vec!["/cnb/process/web".into()]);
    world.app(app.clone(), |_| {});
    let run = ImageConfig { os_version: "10".into(), os_features: vec!["f".into()], ..config("", &[], &[]) };
    world.run_of(OLD, run);
    let (image, _) = world.forced();
    let config = &image.config;
    assert_eq!((config.architecture.as_str(), config.variant.as_str()), ("amd64", ""), "a variant of another system");
    assert_eq!((config.os_version.as_str(), config.os_features.as_slice()), ("10", &["f".to_owned()][..]));
    assert_eq!(config.author, "me");
    assert_eq!(config.config.entrypoint, app.config.entrypoint);
    assert_eq!(config.config.env, app.config.env);
}

#[test]
fn media_types_and_annotations_are_the_apps() {
    let world = World::new();
    let app = world.images.get(APP).unwrap();
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    world.images.insert_record(ImageRecord { family: MediaFamily::Oci, annotations: annotations.clone(), ..app });
    let image = world.rebased();
    assert_eq!((image.family, image.annotations), (MediaFamily::Oci, annotations));
}

#[test]
fn an_image_without_usable_history_loses_no_layer() {
    let world = World::new();
    world.app(config("0.13", &[], &[]), |_| {});
    let image = world.rebased();
    assert_eq!(image.config.diff_ids.len(), 6);
    assert_eq!(texts(&image), ["new 1", "new 2", "new 3", "", "", ""]);
    world.run_of(OLD, config("", &[], &["one of three"]));
    assert_eq!(texts(&world.rebased()), ["", "", "", "", "", ""]);
}

#[test]
fn another_tag_of_the_run_image_is_another_name() {
    let mut world = World::new();
    world.run("reg.io/run:2", &[]);
    world.run_image = Some("reg.io/run:2");
    let error = world.refused();
    let known = format!(r#"{{"topLayer":"{}","reference":"reg.io/run@sha256:"#, diff_id(b"new 3"));
    let expected = "failed to rebase: rebase app image: new base image 'reg.io/run:2' not found in existing run image \
                    metadata: ";
    assert!(error.starts_with(&format!("{expected}{known}")), "{error}");
    let end = r#""image":"reg.io/run:1","mirrors":["mirror.io/run"]}; please provide -force to override"#;
    assert!(error.ends_with(end), "{error}");

    let (image, warnings) = world.forced();
    assert!(matches!(&warnings[..], [one] if one.starts_with("rebase app image: new base image 'reg.io/run:2'")));
    let metadata = metadata(&image);
    assert_eq!(metadata.run_image.names, names("reg.io/run:2", &[]));
    assert_eq!(metadata.stack, Some(names("reg.io/run:2", &[])));
}

#[test]
fn names_are_not_asked_for_before_0_12() {
    let mut world = World::new();
    world.api = "0.11";
    world.run("reg.io/run:2", &[("io.buildpacks.base.id", "new")]);
    world.run_image = Some("reg.io/run:2");
    let image = world.rebased();
    assert_eq!(metadata(&image).run_image.names.image, OLD);
    assert_eq!(image.label("io.buildpacks.base.id"), Some("old"), "labels of targets came with 0.12");
    assert_eq!(texts(&image), ["", "", "", "slice", "launcher", "slice again"]);
}

#[test]
fn an_image_that_is_not_rebasable_is_rebased_by_force_alone() {
    let mut world = World::new();
    let labels = [("io.buildpacks.rebasable", "false"), ("io.buildpacks.base.id", "old")];
    world.app(config("0.13", &labels, HISTORY), |_| {});
    let expected = "app image is not marked as rebasable";
    assert_eq!(world.refused(), format!("failed to rebase: {expected}; please provide -force to override"));
    let (image, warnings) = world.forced();
    assert_eq!(warnings, [expected]);
    assert_eq!(image.label("io.buildpacks.rebasable"), Some("false"));
}

#[test]
fn the_target_must_be_the_apps() {
    let mut world = World::new();
    world.run(OLD, &[("io.buildpacks.base.distro.name", "ubuntu"), ("io.buildpacks.base.distro.version", "24.04")]);
    let expected = concat!(
        r#"unable to satisfy target os/arch constraints; new run image: {"os":"linux","arch":"amd64","#,
        r#""distro":{"name":"ubuntu","version":"24.04"}}, old run image: {"id":"old","os":"linux","arch":"amd64"}"#
    );
    assert_eq!(world.refused(), format!("failed to rebase: {expected}; please provide -force to override"));
    assert_eq!(world.forced().1, [expected]);
}

#[test]
fn an_app_of_before_0_12_asks_for_its_stack_whatever_the_force() {
    let id = "io.buildpacks.stack.id";
    for api in ["", "0.3", "0.11"] {
        for (app, run, expected) in [
            (&[][..], &[(id, "s")][..], "stack not defined on app image"),
            (&[(id, "s")], &[], "stack not defined on new base image"),
            (&[(id, "s")], &[(id, "t")], "incompatible stack: 't' is not compatible with 's'"),
        ] {
            let mut world = World::new();
            world.force = true;
            world.app(config(api, app, HISTORY), |_| {});
            world.run(OLD, run);
            assert_eq!(world.refused(), format!("failed to rebase: {expected}"), "{api}");
        }
    }
}

#[test]
fn an_app_of_before_0_12_asks_for_its_mixins() {
    let (id, mixins) = (("io.buildpacks.stack.id", "s"), "io.buildpacks.stack.mixins");
    let rebase = |app: &str, run: &str| {
        let world = World::new();
        world.app(config("0.11", &[id, (mixins, app)], HISTORY), |_| {});
        world.run(OLD, &[id, (mixins, run)]);
        world.rebase().0.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(rebase(r#"["a","run:b"]"#, r#"["run:a","b","c"]"#), Ok(()));
    assert_eq!(rebase("", ""), Ok(()));
    let missing = rebase(r#"["c","build:b","a","c"]"#, r#"["a"]"#);
    assert_eq!(missing, Err("failed to rebase: missing required mixin(s): b, c".to_owned()));
    let unreadable = rebase("{", "[]").unwrap_err();
    assert!(unreadable.starts_with(
        "failed to rebase: get app image mixins: failed to unmarshal context of label 'io.buildpacks.stack.mixins': "
    ));
}

#[test]
fn an_app_of_0_12_asks_for_no_stack() {
    let world = World::new();
    world.run(OLD, &[("io.buildpacks.stack.id", "another")]);
    assert_eq!(world.rebased().label("io.buildpacks.stack.id"), Some("another"));
}

#[test]
fn a_platform_api_that_is_none_is_an_error() {
    let world = World::new();
    world.app(config("abc", &[], HISTORY), |_| {});
    assert!(world.refused().contains("CNB_PLATFORM_API: 'abc' is no API version"));
}

#[test]
fn the_layers_of_the_old_run_image_must_be_known() {
    for top in ["", "sha256:unknown"] {
        let world = World::new();
        world.app(config("0.13", &[], HISTORY), |metadata| metadata.run_image.top_layer = top.into());
        assert_eq!(world.refused(), "failed to rebase: rebase app image: could not find base layer in image");
    }
}

#[test]
fn the_run_image_is_the_apps_own_or_its_best_mirror() {
    let mut world = World::new();
    world.run("mirror.io/run", &[("io.buildpacks.base.id", "mirrored")]);
    assert_eq!(world.rebased().label("io.buildpacks.base.id"), Some("new"));
    // The registry of the app counts, not those of the names that are written.
    let app = world.images.get(APP).unwrap();
    world.images.insert_record(ImageRecord { name: "mirror.io/app".into(), ..app });
    world.previous = "mirror.io/app";
    assert_eq!(world.rebased().label("io.buildpacks.base.id"), Some("mirrored"));
    world.previous = APP;
    world.images.deny_read(OLD, "401 Unauthorized");
    assert_eq!(world.rebased().label("io.buildpacks.base.id"), Some("mirrored"));
}

#[test]
fn a_run_image_that_nobody_named_and_that_is_not_there_is_no_fault_of_the_app() {
    let world = World::new();
    world.images.deny_read("mirror.io/run", "401 Unauthorized");
    world.images.remove(OLD);
    let none = "failed to find accessible run image";
    let missing = format!("{none}; reg.io/run:1: not found; mirror.io/run: 401 Unauthorized");
    assert_eq!(world.refused(), format!("failed to access run image: {missing}"));
    world.images.deny_read(OLD, "401 Unauthorized");
    let denied = format!("{none}; reg.io/run:1: 401 Unauthorized; mirror.io/run: 401 Unauthorized");
    assert_eq!(world.refused(), format!("failed to set app image: {denied}"));
}

#[test]
fn before_0_12_the_run_image_is_that_of_the_stack() {
    let mut world = World::new();
    world.run("reg.io/stack", &[("io.buildpacks.stack.id", "of the stack")]);
    world.app(config("0.13", &[], HISTORY), |metadata| metadata.stack = Some(names("reg.io/stack", &[])));
    world.api = "0.11";
    assert_eq!(world.rebased().label("io.buildpacks.stack.id"), Some("of the stack"));
    // From 0.12 on it is asked only where there is nothing else.
    world.api = "0.12";
    assert_eq!(world.rebased().label("io.buildpacks.stack.id"), Some("s"));
    world.app(config("0.13", &[], HISTORY), |metadata| {
        metadata.run_image.names = RunImageRef::default();
        metadata.stack = Some(names("reg.io/stack", &[]));
    });
    assert_eq!(world.rebased().label("io.buildpacks.stack.id"), Some("of the stack"));
}

#[test]
fn an_app_that_names_no_run_image_needs_the_platform_to_name_one() {
    let world = World::new();
    world.app(config("0.13", &[], HISTORY), |metadata| {
        metadata.run_image.names = RunImageRef::default();
        metadata.stack = None;
    });
    let expected = "failed to set app image: failed to parse arguments: -run-image is required when there is no run \
                    image metadata available";
    assert_eq!(world.refused(), expected);
}

#[test]
fn what_is_missing_or_broken_is_named_and_nothing_is_written() {
    let mut world = World::new();
    world.run_image = Some("reg.io/nowhere");
    assert_eq!(world.refused(), "failed to access run image: image 'reg.io/nowhere' not found");
    // Compressed digests as diff ids, shifted layers, blobs that are empty: what a store finds when it opens an image.
    world.run_image = Some(OLD);
    world.images.corrupt(OLD, "the manifest has 2 layers and the config has 3");
    let expected = "image 'reg.io/run:1' is corrupt: the manifest has 2 layers and the config has 3";
    assert_eq!(world.refused(), format!("failed to access run image: {expected}"));
    let world = World::new();
    world.images.insert(OLD, config("", &[], &[]), Vec::new());
    assert_eq!(world.refused(), "failed to access run image: image 'reg.io/run:1' has no layers");
    let world = World::new();
    world.images.corrupt(APP, "layer x has an empty blob");
    let set = "failed to set app image: ";
    let access = "failed to access image to rebase: ";
    assert_eq!(world.refused(), format!("{set}{access}image 'reg.io/app:1' is corrupt: layer x has an empty blob"));
    let world = World::new();
    world.images.remove(APP);
    assert_eq!(world.refused(), format!("{set}{access}image 'reg.io/app:1' not found"));
    world.images.deny_read(APP, "401 Unauthorized");
    assert_eq!(world.refused(), format!("{set}{access}401 Unauthorized"));
    let world = World::new();
    world.app(config("0.13", &[(label::LIFECYCLE_METADATA, r#"{"app":{}}"#)], HISTORY), |_| {});
    let unreadable = "failed to unmarshal context of label 'io.buildpacks.lifecycle.metadata': ";
    assert!(world.refused().starts_with(&format!("{set}{unreadable}")));
}

#[test]
fn every_name_is_written_and_those_that_fail_are_told() {
    let mut world = World::new();
    world.names = vec!["reg.io/out:1", "reg.io/out:2"];
    let report = world.rebase().0.unwrap();
    assert_eq!(report.tags, ["reg.io/out:1", "reg.io/out:2"]);
    assert!(report.digest.is_some());
    assert_eq!(
        world.images.get(APP).unwrap().config.diff_ids[0],
        diff_id(b"old 1"),
        "the image that was rebased stays"
    );
    world.images.deny_write("reg.io/out:1", "denied");
    let error = world.rebase().0.unwrap_err();
    let expected = "failed to rebase: failed to write image to the following tags: [reg.io/out:1: denied]";
    assert_eq!(error.to_string(), expected);
    let Error::Tags { report, .. } = error else { panic!("{error}") };
    assert_eq!(report.tags, ["reg.io/out:2"]);
}

#[test]
fn a_second_rebase_changes_nothing() {
    let world = World::new();
    let first = world.rebased();
    assert_eq!(world.rebased().config, first.config);
}

#[test]
fn a_rebased_image_is_an_image_to_build_on() {
    for kind in [StoreKind::Registry, StoreKind::Daemon, StoreKind::Layout] {
        let world = World { images: MemoryImages::new(kind), ..World::new() };
        let old = config("", &[], &["old 1", "old 2"]);
        world.images.insert(OLD, old, vec![b"old 1".to_vec(), b"old 2".to_vec()]);
        world.app(config("0.13", &[], HISTORY), |metadata| metadata.run_image.names = names(OLD, &[]));
        world.run(OLD, &[]);
        assert_eq!(world.rebased().layers.len(), 6);
        conforms(&world.images, APP, &["reg.io/next".to_owned()]);
    }
}
