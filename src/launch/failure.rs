//! Why a launch failed: the sentences and the exit codes.
//!
//! Clause: platform.md#launcher, exit codes 11, 12, 80-89.

use nix::errno::Errno;

use super::environment::EnvironmentError;
use super::exec_d::ExecDError;
use super::metadata::MetadataError;
use super::path_lookup::LookPathError;
use super::select::SelectError;
use super::shell::ProfileError;
use crate::os::error_text;

/// Why the launcher ends instead of becoming a process.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// `CNB_PLATFORM_API` has no value.
    #[error(
        "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired platform API version"
    )]
    NoPlatformApi,
    /// `CNB_PLATFORM_API` is no version.
    #[error("failed to parse platform API '{0}'")]
    ParsePlatformApi(String),
    /// `CNB_PLATFORM_API` is a version that is not served.
    #[error("failed to set platform API: platform API version '{0}' is incompatible with the lifecycle")]
    PlatformApi(String),
    /// `metadata.toml` is missing or wrong.
    #[error("failed to read metadata: {0}")]
    Metadata(#[from] MetadataError),
    /// A buildpack in `metadata.toml` declares no version. The reference prints its null pointer here, and so does this.
    #[error("failed to parse buildpack API '<nil>' for buildpack '{0}'")]
    ParseBuildpackApi(String),
    /// A buildpack in `metadata.toml` declares a version that is not served.
    #[error("failed to set API for buildpack '{id}': buildpack API version '{api}' is incompatible with the lifecycle")]
    BuildpackApi {
        /// The buildpack.
        id: String,
        /// The version that it declares.
        api: String,
    },
    /// The process could not be prepared or started.
    #[error("failed to launch: {0}")]
    Launch(#[from] LaunchError),
}

impl Failure {
    /// The exit code of the launcher.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Metadata(_) => 1,
            Self::NoPlatformApi | Self::ParsePlatformApi(_) | Self::PlatformApi(_) => 11,
            Self::ParseBuildpackApi(_) | Self::BuildpackApi { .. } => 12,
            Self::Launch(_) => 82,
        }
    }
}

/// Which step of the launch failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No process to start.
    #[error("determine start command: {0}")]
    Select(SelectError),
    /// The app directory is no working directory.
    #[error("change to app directory: {0}")]
    AppDir(String),
    /// The layers of a buildpack cannot be read.
    #[error("modify env: {0}")]
    Environment(EnvironmentError),
    /// An exec.d program failed.
    #[error("exec.d: {0}")]
    ExecD(ExecDError),
    /// `PATH` has a NUL byte.
    #[error("set path: setenv: invalid argument")]
    SetPath,
    /// The process has an empty command.
    #[error("no command provided for process type {}", super::path_lookup::quoted(.0.as_ref()))]
    NoCommand(String),
    /// The command is no program.
    #[error("path lookup: {0}")]
    PathLookup(LookPathError),
    /// The working directory of the process does not exist.
    #[error("change directory: {0}")]
    WorkingDir(String),
    /// The system refused the program.
    #[error("direct exec: {}", error_text(&(*.0).into()))]
    DirectExec(Errno),
    /// The profiles cannot be found.
    #[error("find profiles: {0}")]
    Profiles(ProfileError),
    /// A process with arguments names a buildpack that is not in the metadata.
    #[error("process type '{process}' provided by unknown buildpack '{buildpack}'")]
    UnknownBuildpack {
        /// The process.
        process: String,
        /// The buildpack that it names.
        buildpack: String,
    },
    /// The system refused bash.
    #[error("bash exec: {}", error_text(&(*.0).into()))]
    BashExec(Errno),
}
