//! Work that takes time, and its parts: what spans are made of.
//!
//! Telemetry R24, R25, R26.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Event, Events};
use crate::model::id::{ModuleId, ModuleKind};

/// A phase of a build, or the creator, or the rebaser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `analyzer`.
    Analyze,
    /// `detector`.
    Detect,
    /// `restorer`.
    Restore,
    /// `extender`.
    Extend,
    /// `builder`.
    Build,
    /// `exporter`.
    Export,
    /// `creator`.
    Create,
    /// `rebaser`.
    Rebase,
}

/// Names one piece of work in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(u64);

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A whole phase.
    Phase(Phase),
    /// A program of a buildpack or extension.
    Process {
        /// `detect`, `build` or `generate`.
        step: Step,
        /// Whose program.
        kind: ModuleKind,
        /// Its id.
        id: ModuleId,
        /// Its version.
        version: String,
    },
    /// Trying the groups of the order.
    ResolveOrder,
    /// Finding a combination of build plans.
    ResolvePlan,
    /// Checking that images can be read and written.
    CheckAccess,
    /// Opening the previous image.
    ReadPreviousImage,
    /// Opening the run image.
    ReadRunImage,
    /// Giving a layer back from the cache or an image.
    RestoreLayer(String),
    /// Making and hashing a layer's tar.
    HashLayer(String),
    /// Compressing and storing a layer.
    WriteLayer(String),
    /// Writing the image under all its names.
    WriteImage,
    /// Putting a layer into the cache.
    CacheLayer(String),
    /// Making the new cache the current one.
    CommitCache,
    /// One request to a registry or daemon: its method and what it is about, never where it goes.
    Request {
        /// `GET`, `HEAD`, `POST`, ...
        method: &'static str,
        /// `manifest`, `blob`, `upload`, `token`, `ping`, ...
        about: &'static str,
    },
}

/// Which program of a buildpack or extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `bin/detect`.
    Detect,
    /// `bin/build`.
    Build,
    /// `bin/generate`.
    Generate,
}

/// How a piece of work ended, in the words of `cicd.pipeline.task.run.result`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// As wished.
    #[default]
    Success,
    /// It did its work and says no.
    Failure,
    /// It could not do its work.
    Error,
    /// It took too long.
    Timeout,
    /// It was not needed, or opted out.
    Skip,
    /// It was told to stop.
    Cancellation,
}

/// What is known at the end of a piece of work; what does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Bytes read, written or sent.
    pub bytes: Option<u64>,
    /// Files in a layer.
    pub files: Option<u64>,
    /// The layer was taken over instead of made.
    pub reused: Option<bool>,
    /// The cache had it.
    pub cache_hit: Option<bool>,
    /// The exit code of a program, or of the phase.
    pub exit_code: Option<i32>,
    /// The HTTP status of a request.
    pub status: Option<u16>,
    /// What kind of error, as a fixed word: `exit`, `signal`, `start`, `timeout`, `io`, ...
    pub error_type: Option<&'static str>,
}

/// Something worth noting during a piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A module passed detection.
    DetectPass {
        /// Its id.
        id: ModuleId,
        /// Its version.
        version: String,
    },
    /// A request is tried again.
    Retry {
        /// The number of the try that failed, from 1.
        attempt: u32,
        /// Its HTTP status, if there was an answer.
        status: Option<u16>,
    },
}

impl Step {
    /// The program's name, and the step's in telemetry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Build => "build",
            Self::Generate => "generate",
        }
    }
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Analyze,
        Self::Detect,
        Self::Restore,
        Self::Extend,
        Self::Build,
        Self::Export,
        Self::Create,
        Self::Rebase,
    ];

    /// The verb: the name of its subcommand, and of its telemetry file.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::Detect => "detect",
            Self::Restore => "restore",
            Self::Extend => "extend",
            Self::Build => "build",
            Self::Export => "export",
            Self::Create => "create",
            Self::Rebase => "rebase",
        }
    }

    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Analyze => "analyzer",
            Self::Detect => "detector",
            Self::Restore => "restorer",
            Self::Extend => "extender",
            Self::Build => "builder",
            Self::Export => "exporter",
            Self::Create => "creator",
            Self::Rebase => "rebaser",
        }
    }
}

impl WorkId {
    /// An id that no other work of this process has.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A piece of work that has begun. Dropping it without [`Ongoing::end`] ends it as [`Outcome::Error`], so that an early
/// return with `?` leaves no work open.
pub struct Ongoing<'a> {
    events: &'a dyn Events,
    id: WorkId,
    ended: bool,
}

impl<'a> Ongoing<'a> {
    /// Tells that work begins.
    pub fn begin(events: &'a dyn Events, parent: Option<WorkId>, work: Work) -> Self {
        let id = WorkId::next();
        events.emit(Event::Begin { id, parent, work });
        Self { events, id, ended: false }
    }

    /// Its id, for parts of it.
    pub fn id(&self) -> WorkId {
        self.id
    }

    /// Tells something about it.
    pub fn note(&self, note: Note) {
        self.events.emit(Event::Note { id: self.id, note });
    }

    /// Tells that it ended.
    pub fn end(mut self, outcome: Outcome, facts: Facts) {
        self.ended = true;
        self.events.emit(Event::End { id: self.id, outcome, facts });
    }
}

/// Who hears of work, and what it is a part of.
#[derive(Clone)]
pub struct Listener {
    /// Who hears.
    pub events: Arc<dyn Events>,
    /// What all of the work is a part of.
    pub parent: Option<WorkId>,
}

impl Listener {
    /// Tells that work begins.
    pub fn begin(&self, work: Work) -> Ongoing<'_> {
        Ongoing::begin(&*self.events, self.parent, work)
    }
}

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.events.emit(Event::End { id: self.id, outcome: Outcome::Error, facts: Facts::default() });
        }
    }
}
