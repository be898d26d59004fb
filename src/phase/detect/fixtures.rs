//! Modules and effects as literals, for the tests of detection.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::api::BuildpackApi;
use crate::effect::Effects;
use crate::effect::events::{Event, Events};
use crate::effect::images::{ImageDraft, ImageError, Images, Opened, StoreKind, WrittenImage};
use crate::effect::processes::{Command, Exit, Finished, Output, Processes, StartError};
use crate::effect::telemetry::NoTelemetry;
use crate::model::descriptor::Descriptor;
use crate::model::digest::DiffId;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::image::ImageRecord;
use crate::model::order::{GroupElement, OrderGroup};

/// A required buildpack, from `<id>@<version>`.
pub(super) fn element(name: &str) -> GroupElement {
    let (id, version) = name.split_once('@').unwrap();
    GroupElement {
        kind: ModuleKind::Buildpack,
        id: ModuleId::parse(id).unwrap(),
        version: version.to_owned(),
        api: String::new(),
        homepage: String::new(),
        optional: false,
    }
}

/// An optional buildpack.
pub(super) fn optional(name: &str) -> GroupElement {
    GroupElement { optional: true, ..element(name) }
}

/// An extension.
pub(super) fn extension(name: &str) -> GroupElement {
    GroupElement { kind: ModuleKind::Extension, ..optional(name) }
}

/// A group of required buildpacks.
pub(super) fn group(elements: &[&str]) -> OrderGroup {
    OrderGroup { elements: elements.iter().map(|name| element(name)).collect() }
}

/// A buildpack's descriptor.
pub(super) fn descriptor(name: &str) -> Descriptor {
    let module = element(name);
    Descriptor {
        kind: module.kind,
        root: PathBuf::from("/no/such/folder"),
        api: "0.10".to_owned(),
        id: module.id,
        version: module.version,
        name: String::new(),
        homepage: String::new(),
        clear_env: false,
        exec_env: Vec::new(),
        sbom_formats: Vec::new(),
        order: Vec::new(),
        targets: Vec::new(),
        stacks: Vec::new(),
    }
}

/// A composite's descriptor.
pub(super) fn composite(name: &str, order: Vec<OrderGroup>) -> Descriptor {
    Descriptor { order, ..descriptor(name) }
}

/// A Buildpack API.
pub(super) fn api(version: &str) -> BuildpackApi {
    BuildpackApi::negotiate(Some(version)).unwrap()
}

/// `<id>@<version>` of each module.
pub(super) fn names(elements: &[GroupElement]) -> Vec<String> {
    elements.iter().map(ToString::to_string).collect()
}

/// Keeps events, runs real programs and has no images.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(super) fn effects(&self) -> Effects<'_> {
        Effects { images: &NoImages, processes: &Programs, events: self, telemetry: &NoTelemetry, phase: None }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

impl Events for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Runs programs with both streams in one file, as simply as possible.
struct Programs;

impl Processes for Programs {
    fn run(&self, command: &Command, _: Output) -> Result<Finished, StartError> {
        use std::os::unix::process::ExitStatusExt as _;
        let start_error = |error: &std::io::Error| {
            StartError(format!("fork/exec {}: {}", command.program.display(), crate::os::error_text(error)))
        };
        let mut both = tempfile::tempfile().unwrap();
        let status = std::process::Command::new(&command.program)
            .args(&command.args)
            .current_dir(&command.dir)
            .env_clear()
            .envs(command.env.iter())
            .stdin(std::process::Stdio::null())
            .stdout(both.try_clone().unwrap())
            .stderr(both.try_clone().unwrap())
            .status()
            .map_err(|error| start_error(&error))?;
        let mut output = Vec::new();
        std::io::Seek::rewind(&mut both).unwrap();
        std::io::Read::read_to_end(&mut both, &mut output).unwrap();
        let exit = match status.code() {
            Some(code) => Exit::Code(code),
            None => Exit::Signal(status.signal().unwrap()),
        };
        Ok(Finished { exit, output })
    }
}

struct NoImages;

impl Images for NoImages {
    fn kind(&self) -> StoreKind {
        StoreKind::Layout
    }

    fn open(&self, _: &str) -> Result<Opened, ImageError> {
        Ok(Opened::Missing)
    }

    fn check_read(&self, _: &str) -> Result<(), ImageError> {
        Ok(())
    }

    fn check_write(&self, _: &str) -> Result<(), ImageError> {
        Ok(())
    }

    fn layer(&self, _: &ImageRecord, _: &DiffId) -> Result<Box<dyn std::io::Read + Send>, ImageError> {
        Err(ImageError::permanent("there are no images here"))
    }

    fn write(&self, _: &ImageDraft, _: &[String]) -> Result<WrittenImage, ImageError> {
        Err(ImageError::permanent("there are no images here"))
    }
}
