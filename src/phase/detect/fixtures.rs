//! Modules and effects as literals, for the tests of detection.

use std::ffi::OsString;
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use crate::api::BuildpackApi;
use crate::effect::Effects;
use crate::effect::events::{Event, Events, WorkId};
use crate::effect::images::StoreKind;
use crate::effect::processes::{Command, Exit, Finished, Output, Processes, StartError};
use crate::effect::telemetry::ProcessTelemetry;
use crate::image::memory::MemoryImages;
use crate::model::descriptor::Descriptor;
use crate::model::id::{ModuleId, ModuleKind};
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

/// Keeps events, runs shell scripts and has no images.
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    images: MemoryImages,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { events: Mutex::default(), images: MemoryImages::new(StoreKind::Layout) }
    }
}

impl Recorder {
    pub(super) fn effects(&self) -> Effects<'_> {
        Effects { images: &self.images, processes: &Scripts, events: self, telemetry: self, phase: None }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Events for Recorder {
    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl ProcessTelemetry for Recorder {
    fn variables(&self, _: WorkId) -> Vec<(&'static str, OsString)> {
        vec![("CNB_OTEL_LOG_PATH", "/ours".into()), ("TRACEPARENT", "ours".into())]
    }
}

/// Runs programs that are shell scripts, both streams into one file. The shell reads them, so that a file that another
/// test has just written is never "busy".
struct Scripts;

impl Processes for Scripts {
    fn run(&self, command: &Command, output: Output) -> Result<Finished, StartError> {
        assert_eq!(output, Output::Collect);
        let metadata = std::fs::metadata(&command.program);
        let reason = match metadata.map(|metadata| metadata.permissions().mode() & 0o111) {
            Err(error) => Some(crate::os::error_text(&error)),
            Ok(0) => Some("permission denied".to_owned()),
            Ok(_) => None,
        };
        if let Some(reason) = reason {
            return Err(StartError(format!("fork/exec {}: {reason}", command.program.display())));
        }
        let mut both = tempfile::tempfile().unwrap();
        let status = std::process::Command::new("/bin/sh")
            .arg(&command.program)
            .args(&command.args)
            .current_dir(&command.dir)
            .env_clear()
            .envs(command.env.iter())
            .stdin(Stdio::null())
            .stdout(both.try_clone().unwrap())
            .stderr(both.try_clone().unwrap())
            .status()
            .unwrap();
        let mut output = Vec::new();
        both.rewind().unwrap();
        both.read_to_end(&mut output).unwrap();
        let exit = status.code().map_or_else(|| Exit::Signal(status.signal().unwrap()), Exit::Code);
        Ok(Finished { exit, output })
    }
}
