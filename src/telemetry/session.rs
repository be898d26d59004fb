//! Telemetry of one program run: its folders, its trace, a tracer for each phase, a file for each program it starts.
//!
//! Telemetry T2-T5, T7. Whatever fails here is a [`Fault`](super::Fault), and the spans concerned go nowhere.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::{IdGenerator, SdkTracer};

use super::attributes::{Key, text};
use super::context::{self, Origin};
use super::files::{FileError, Folder, Seen};
use super::ids::BuildIds;
use super::live::Live;
use super::tail::Following;
use super::{Faults, TelemetryConfig, provider};
use crate::api::PlatformApi;
use crate::effect::events::{Phase, Step};
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::layers_dir::LayersDir;

/// The parts of telemetry that last as long as the program.
#[derive(Debug)]
pub struct Session {
    config: TelemetryConfig,
    ids: Arc<dyn IdGenerator>,
    folders: Option<Folders>,
    origin: Origin,
    trace_state: Option<String>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Folders {
    lifecycle: Folder,
    buildpacks: Folder,
    extensions: Folder,
}

/// The file that a program of a buildpack or extension writes to.
#[derive(Debug)]
pub enum LogPath {
    /// The platform's own, of which nothing is known.
    Platform(OsString),
    /// One that was made for this program, in a folder.
    Provided(Seen),
}

impl Session {
    /// Opens the folders, makes them where needed, and finds the trace.
    pub fn begin(mut config: TelemetryConfig, ids: Arc<dyn IdGenerator>) -> Self {
        // Programs run in another folder, so the paths that they are given must not be relative.
        if let Ok(absolute) = std::path::absolute(&config.layers_dir) {
            config.layers_dir = absolute;
        }
        let faults = Arc::new(Faults::default());
        let folders = if config.files { faults.unless(Folders::open(&config)) } else { None };
        let lifecycle = folders.as_ref().map(|folders| &folders.lifecycle);
        let platform = config.platform_traceparent.as_deref();
        let origin = context::origin(platform, config.phase, lifecycle, &*ids, &faults);
        let trace_state = context::trace_state(origin, config.platform_tracestate.as_deref());
        Self { config, ids, folders, origin, trace_state, faults }
    }

    /// What this program was told.
    pub fn config(&self) -> &TelemetryConfig {
        &self.config
    }

    /// Where the first span hangs.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What vendors added to the platform's context, for programs.
    pub fn trace_state(&self) -> Option<&str> {
        self.trace_state.as_deref()
    }

    /// What went wrong so far.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Where spans go that are sent as they end; nowhere where the platform does not want this trace (R22).
    fn live(&self) -> Option<&Arc<Live>> {
        let unwanted = matches!(self.origin, Origin::Platform(context) if context.flags & 1 == 0);
        self.config.live.as_ref().filter(|_| !unwanted)
    }

    /// Sends what a program writes to a provided file, if that was asked for, until the result is dropped.
    pub fn follow(&self, kind: ModuleKind, seen: &Seen) -> Option<Following> {
        let live = self.live().filter(|live| live.follows())?;
        let file = self.with_folder(kind, seen, |folder| self.faults.unless(folder.reads(seen)))??;
        live.follow(file, seen.path.clone(), u64::try_from(seen.size()).unwrap_or(0))
    }

    /// Builds the tracer of a phase, whose spans go to `<layers>/tracing/lifecycle/<phase>.jsonl`.
    pub fn tracer(&self, phase: Phase) -> SdkTracer {
        let file = self.folders.as_ref().map(|folders| folders.lifecycle.append(&format!("{}.jsonl", phase.verb())));
        let file = file.and_then(|file| self.faults.unless(file));
        let ids = BuildIds::new(TraceId::from_bytes(self.origin.trace_id()), Arc::clone(&self.ids));
        let faults = Arc::clone(&self.faults);
        let (stdout, live) = (self.config.stdout, self.live().cloned());
        provider::tracer(
            resource(phase, &self.config.version, self.config.platform_api),
            &self.config.version,
            ids,
            file,
            stdout,
            faults,
            live,
        )
    }

    /// Provides the file that a program writes its own spans to; none where that fails.
    pub fn log_path(&self, step: Step, kind: ModuleKind, id: &ModuleId, version: &str) -> Option<LogPath> {
        let name = format!("{}@{}-{}.jsonl", id.escaped(), version.replace('/', "_"), step.name());
        // OpenTelemetry takes an empty variable for one that is not set.
        if let Some(value) = self.config.platform_log_path.as_deref().filter(|value| !value.is_empty()) {
            if !self.config.files || !is_folder(value) {
                return Some(LogPath::Platform(value.to_owned()));
            }
            let provided = self.platform_folder(value).and_then(|folder| folder.provide(&name));
            return self.faults.unless(provided).map(LogPath::Provided);
        }
        let provided = self.own_folder(kind)?.provide(&name);
        self.faults.unless(provided).map(LogPath::Provided)
    }

    /// Says whether a provided file is still the one that was made, and no shorter.
    pub fn kept(&self, kind: ModuleKind, seen: &Seen) -> bool {
        self.with_folder(kind, seen, |folder| folder.kept(seen)).unwrap_or(false)
    }

    /// Asks the folder that a provided file is in; none where it is gone.
    fn with_folder<T>(&self, kind: ModuleKind, seen: &Seen, ask: impl FnOnce(&Folder) -> T) -> Option<T> {
        let parent = seen.path.parent();
        match self.own_folder(kind) {
            Some(folder) if Some(folder.path()) == parent => Some(ask(folder)),
            _ => parent.and_then(|path| Folder::given(path, None).ok()).map(|folder| ask(&folder)),
        }
    }

    fn own_folder(&self, kind: ModuleKind) -> Option<&Folder> {
        let folders = self.folders.as_ref()?;
        Some(match kind {
            ModuleKind::Buildpack => &folders.buildpacks,
            ModuleKind::Extension => &folders.extensions,
        })
    }

    /// The folder that the platform's `CNB_OTEL_LOG_PATH` names; its last part is made where it is missing.
    fn platform_folder(&self, value: &OsStr) -> Result<Folder, FileError> {
        let path = Path::new(value);
        match (path.is_dir(), path.parent(), path.file_name().and_then(OsStr::to_str)) {
            (false, Some(parent), Some(name)) => Folder::given(parent, self.config.owner)?.inside(name),
            _ => Folder::given(path, self.config.owner),
        }
    }
}

/// What all spans and log records of a phase say of the lifecycle.
pub fn resource(phase: Phase, version: &str, platform_api: PlatformApi) -> Vec<KeyValue> {
    vec![
        text(Key::ServiceName, "lifecycle"),
        text(Key::ServiceVersion, version),
        text(Key::LifecycleVersion, version),
        text(Key::Phase, phase.verb()),
        text(Key::PlatformApi, &platform_api.to_string()),
    ]
}

impl Folders {
    /// Opens all three at once: a phase that is root may be the only one that can make them.
    fn open(config: &TelemetryConfig) -> Result<Self, FileError> {
        let layers = LayersDir::new(&config.layers_dir);
        let tracing = layers.tracing();
        let name = tracing.file_name().and_then(OsStr::to_str).unwrap_or("tracing");
        // The first phase may be the one to make <layers>; where it cannot, the line below says why. As root it makes none:
        // the user of the build could not write to it, and a phase would fail that did not without telemetry.
        if config.owner.is_none() {
            let _ = std::fs::create_dir_all(layers.path());
        }
        let tracing = Folder::given(layers.path(), config.owner)?.inside(name)?;
        Ok(Self {
            lifecycle: tracing.inside("lifecycle")?,
            buildpacks: tracing.inside("buildpacks")?,
            extensions: tracing.inside("extensions")?,
        })
    }
}

/// Says whether the platform means a folder (T4). A relative path is left to the program, whose working folder is another.
fn is_folder(value: &OsStr) -> bool {
    let path = Path::new(value);
    path.is_absolute() && (value.as_bytes().ends_with(b"/") || path.is_dir())
}
