//! What a user hears of the program itself: APIs, inputs, privileges.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::Phase;
use crate::model::id::ModuleKind;

/// Something that happened in the program itself.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent {
    /// The program starts, under the name by which it was called.
    Starting(String),
    /// Inputs are read.
    ParsingInputs,
    /// Folders are given to the user, credentials are read, privileges are dropped.
    EnsuringPrivileges,
    /// The phase starts.
    Executing,
    /// A positional argument looks like a flag.
    FlagLikeArgument(String),
    /// The platform asks for an API that is on its way out.
    DeprecatedPlatformApi {
        /// The version.
        version: String,
        /// `CNB_DEPRECATION_MODE=error`: the program ends.
        refused: bool,
    },
    /// A buildpack or extension asks for an API that is on its way out.
    DeprecatedBuildpackApi {
        /// Buildpack or extension.
        kind: ModuleKind,
        /// `<id>@<version>`.
        module: String,
        /// The version of the API.
        version: String,
        /// `CNB_DEPRECATION_MODE=error`: the phase ends.
        refused: bool,
    },
    /// The platform asks for a feature that needs `CNB_EXPERIMENTAL_MODE`.
    Experimental {
        /// Its name.
        feature: &'static str,
        /// `CNB_EXPERIMENTAL_MODE=error`: the program ends.
        refused: bool,
    },
    /// There is neither a cache folder nor a cache image.
    NoCache,
    /// `-launch-cache` without `-daemon`.
    LaunchCacheIgnored,
    /// The daemon that images are in does not answer while nobody needs it: why.
    DaemonAsleep(String),
    /// `-parallel` without a cache.
    ParallelWithoutCache,
    /// A registry is reached in a way that others could listen to or step into.
    UnsafeRegistry {
        /// The registry.
        registry: String,
        /// By http, without encryption; else by https with a certificate that is not verified.
        plain: bool,
    },
    /// analyzed.toml is missing.
    NoAnalyzed(PathBuf),
    /// analyzed.toml cannot be read; the restorer goes on without it.
    AnalyzedUnusable(String),
    /// run.toml is missing.
    NoRunMetadata(PathBuf),
    /// stack.toml is missing.
    NoStackMetadata(PathBuf),
    /// system.toml is missing.
    NoSystemBuildpacks(PathBuf),
    /// project-metadata.toml is missing.
    NoProjectMetadata(PathBuf),
    /// The creator starts a phase.
    Banner(Phase),
    /// A phase's work starts.
    TimerStarted {
        /// Whose work.
        work: Timed,
        /// When.
        at: SystemTime,
    },
    /// A phase's work is done.
    TimerEnded {
        /// Whose work.
        work: Timed,
        /// When.
        at: SystemTime,
        /// How long it took.
        took: Duration,
    },
    /// A program of a buildpack ended, and others still hold its output: nobody waits for them.
    HeldOutput(PathBuf),
    /// The phase is done; what waits is sent to a collector, and that takes a while.
    Delivering {
        /// How many spans and log records wait.
        waiting: u64,
        /// How long they may take at most.
        deadline: Duration,
    },
    /// Telemetry has a fault; the build goes on.
    Telemetry(String),
    /// The program ends with an error: the line for the reader.
    Failed(String),
    /// What to do about it.
    Hint(String),
}

/// Work whose start and length are told to who looks for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    /// A phase's own.
    Phase(Phase),
    /// Generating, which the detector does behind its own work.
    Generate,
}
