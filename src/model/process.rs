//! Processes that an app image can start.
//!
//! Clause: buildpack.md#launchtoml-toml.

/// One `[[processes]]` entry, in one form for every API version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its name, such as `web`.
    pub r#type: String,
    /// The command and the arguments that a user cannot replace.
    pub command: Vec<String>,
    /// Arguments that a user may replace; `None` when the document has no such key.
    pub args: Option<Vec<String>>,
    /// Starts without a shell.
    pub direct: bool,
    /// Is the default process of its buildpack.
    pub default: bool,
    /// Working directory; empty means the app directory.
    pub working_dir: String,
    /// Execution environments in which it exists; empty means all.
    pub exec_env: Vec<String>,
    /// The buildpack that contributed it; empty in a buildpack's own launch.toml.
    pub buildpack_id: String,
}

/// The execution environment when nobody names one.
pub const DEFAULT_EXEC_ENV: &str = "production";

impl Process {
    /// Says whether the process exists in an execution environment.
    ///
    /// Clause: platform.md#execution-environment.
    pub fn is_for(&self, exec_env: &str) -> bool {
        self.exec_env.is_empty() || self.exec_env.iter().any(|env| env == "*" || env == exec_env)
    }
}
