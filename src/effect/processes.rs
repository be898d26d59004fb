//! Running programs of buildpacks and extensions.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::events::WorkId;
use crate::model::env::Environment;

/// A program to run, with standard input empty.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory.
    pub dir: PathBuf,
    /// Its whole environment.
    pub env: Environment,
    /// The work that it does, for who keeps what it prints.
    pub work: Option<WorkId>,
}

/// Where its standard output and error go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the lifecycle's own standard output, while it runs.
    Stream,
    /// Into [`Finished::output`], both streams as one.
    Collect,
}

/// One of the two outputs of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Hears what programs print, their two outputs apart.
pub trait Capture: Send + Sync {
    /// A program is about to start, for a piece of work.
    fn program(&self, work: Option<WorkId>) -> Arc<dyn Printed>;
}

/// Hears what one program prints.
pub trait Printed: Send + Sync {
    /// Takes bytes as they come, and hands to `show` what a person may read of them, now or later. False says that nobody
    /// listens any more: these bytes were not taken, and the program's output is let go.
    fn take(&self, stream: Stream, bytes: &[u8], show: &dyn Fn(&[u8])) -> bool;

    /// The program has ended: what was kept back is handed to `show`. Others that it left behind may print more.
    fn end(&self, show: &dyn Fn(&[u8]));
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// A program that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it printed, if that was to be collected.
    pub output: Vec<u8>,
}

/// A program that could not be started. The text is as the reference's: `fork/exec <path>: permission denied`,
/// `chdir <path>: no such file or directory`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// Runs programs.
pub trait Processes: Send + Sync {
    /// Runs a program and waits for its end.
    ///
    /// # Errors
    /// It could not be started.
    fn run(&self, command: &Command, output: Output) -> Result<Finished, StartError>;
}

impl Stream {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Stdout => Self::Stderr,
            Self::Stderr => Self::Stdout,
        }
    }

    /// Its place in a pair.
    pub fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    /// Its name, as `log.iostream` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Exit {
    /// Says whether the program succeeded.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    /// Prints what the reference prints: `exit status 3`, `signal: killed`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => match SIGNALS.iter().find(|(number, _)| number == signal) {
                Some((_, name)) => write!(f, "signal: {name}"),
                None => write!(f, "signal: signal {signal}"),
            },
        }
    }
}

/// Signals by the words that the reference uses for them.
const SIGNALS: &[(i32, &str)] = &[
    (1, "hangup"),
    (2, "interrupt"),
    (3, "quit"),
    (4, "illegal instruction"),
    (5, "trace/breakpoint trap"),
    (6, "aborted"),
    (7, "bus error"),
    (8, "floating point exception"),
    (9, "killed"),
    (10, "user defined signal 1"),
    (11, "segmentation fault"),
    (12, "user defined signal 2"),
    (13, "broken pipe"),
    (14, "alarm clock"),
    (15, "terminated"),
];
