//! DETECT: which buildpacks take part, and what they agreed on.
//!
//! Clause: buildpack.md#phase-1-detection, platform.md#detector; catalogue 1, section 3.

use std::path::PathBuf;

use crate::api::PlatformApi;
use crate::buildpack::store::Store;
use crate::effect::Effects;
use crate::model::env::Environment;
use crate::model::order::{Group, Order, SystemBuildpacks};
use crate::model::plan::Plan;
use crate::model::target::RunTarget;

/// What the detect phase works on.
pub struct Inputs {
    /// The Platform API.
    pub api: PlatformApi,
    /// Groups to try.
    pub order: Order,
    /// Buildpacks around each group; ignored below Platform API 0.15.
    pub system: SystemBuildpacks,
    /// Where buildpacks and extensions are.
    pub store: Store,
    /// The app directory.
    pub app_dir: PathBuf,
    /// The platform directory.
    pub platform_dir: PathBuf,
    /// The operator's build configuration.
    pub build_config_dir: PathBuf,
    /// The execution environment; empty turns filtering off.
    pub exec_env: String,
    /// The run image's target; `None` when analyzed.toml has none.
    pub target: Option<RunTarget>,
    /// The target of this very system, from /etc/os-release and the architecture, where the run image's is not known.
    pub host_target: RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: Environment,
    /// A folder for build plans while programs write them; each phase makes and removes its own below it.
    pub temp_dir: PathBuf,
}

/// What detection chose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// group.toml.
    pub group: Group,
    /// plan.toml.
    pub plan: Plan,
}

/// Why detection failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No group passed; no program failed otherwise. Exit code 20.
    #[error("no buildpacks participating")]
    NoGroup,
    /// No group passed, and some program failed otherwise. Exit code 21.
    #[error("buildpack(s) failed with err")]
    BuildpackFailed,
}

/// Chooses the first group whose required modules pass and whose plan resolves.
///
/// # Errors
/// See [`Error`].
pub fn detect(_effects: &Effects<'_>, _inputs: &Inputs) -> Result<Outputs, Error> {
    unimplemented!()
}
