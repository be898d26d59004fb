//! Dockerfiles: what an extension wants done to the build or run image.
//!
//! Clause: image_extension.md#dockerfile-requirements; the grammar is docker's. `schema::dockerfile` reads one.

use std::time::Duration;

/// A Dockerfile. Only `ARG` stands in front of the first `FROM`, and there is at least one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What takes a character's meaning away, and continues a line: `\` unless a directive says otherwise.
    pub escape: char,
    /// All instructions, first to last.
    pub instructions: Vec<Instruction>,
}

/// Which image a Dockerfile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DockerfileKind {
    /// The image that buildpacks run in.
    Build,
    /// The image that the app runs in.
    Run,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The line where it begins, from 1.
    pub line: usize,
    /// As it was written, continued lines as one, without the bodies of heredocs.
    pub text: String,
    /// `--name` and `--name=value` in front of the arguments, as far as the instruction knows them.
    pub flags: Vec<Flag>,
    /// Heredocs, in the order of their bodies.
    pub heredocs: Vec<Heredoc>,
    /// What it does.
    pub command: Command,
}

/// A flag of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name without dashes.
    pub name: String,
    /// What stands behind `=`, if there is one.
    pub value: Option<String>,
}

/// A text within a Dockerfile that an instruction reads like a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// Variables in it are expanded: no part of the word was quoted.
    pub expand: bool,
    /// Tabs at the start of its lines are no part of it: `<<-`.
    pub strip_tabs: bool,
    /// Its lines as they were written, each with its end of line.
    pub body: String,
}

/// A key and its value; quotes and variables are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// An argument that `ARG` declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What it is unless somebody gives another value; quotes are as they were written.
    pub default: Option<String>,
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A text for the shell.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

/// What `ADD` and `COPY` read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, pattern or address.
    Path(String),
    /// The heredoc of this name.
    Heredoc(String),
}

/// What `ADD` and `COPY` do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// From where.
    pub sources: Vec<Source>,
    /// To where.
    pub destination: String,
}

/// How the health of a container is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthcheck {
    /// The check; `None` turns off the one of the base image.
    pub test: Option<CommandLine>,
    /// Time between checks.
    pub interval: Option<Duration>,
    /// Time that a check may take.
    pub timeout: Option<Duration>,
    /// Time in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between checks while the container starts.
    pub start_interval: Option<Duration>,
    /// How many failures make a container unhealthy.
    pub retries: Option<u32>,
}

/// What an instruction does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the instruction of its name")]
pub enum Command {
    Add(Transfer),
    Arg(Vec<Argument>),
    Cmd(CommandLine),
    Copy(Transfer),
    Entrypoint(CommandLine),
    Env(Vec<Pair>),
    Expose(Vec<String>),
    From {
        /// The image as it was written, or the name of an earlier stage.
        image: String,
        /// The name of the stage.
        stage: Option<String>,
    },
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(String),
    /// The instruction that is kept for builds on this image, as it was written.
    Onbuild(String),
    Run(CommandLine),
    Shell(Vec<String>),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

impl Dockerfile {
    /// The instructions in front of the first `FROM`.
    pub fn preamble(&self) -> &[Instruction] {
        let from = self.instructions.iter().position(Instruction::is_from);
        &self.instructions[..from.unwrap_or(self.instructions.len())]
    }

    /// The stages: each a `FROM` and the instructions behind it.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &[Instruction])> {
        let rest = &self.instructions[self.preamble().len()..];
        rest.iter().enumerate().filter_map(move |(index, instruction)| {
            let Command::From { image, .. } = &instruction.command else { return None };
            let behind = &rest[index + 1..];
            let end = behind.iter().position(Instruction::is_from).unwrap_or(behind.len());
            Some((image.as_str(), &behind[..end]))
        })
    }
}

impl DockerfileKind {
    /// `build` or `run`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
        }
    }

    /// The file that an extension writes.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Build => "build.Dockerfile",
            Self::Run => "run.Dockerfile",
        }
    }
}

impl Instruction {
    fn is_from(&self) -> bool {
        matches!(self.command, Command::From { .. })
    }
}

impl Command {
    /// The instruction's name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::From { .. } => "FROM",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}
