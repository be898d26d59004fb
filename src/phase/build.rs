//! BUILD: every buildpack of the group contributes.
//!
//! Clause: buildpack.md#phase-3-build, platform.md#builder; catalogue 1, section 5.

use std::path::PathBuf;

use crate::api::PlatformApi;
use crate::buildpack::store::Store;
use crate::effect::Effects;
use crate::model::build_metadata::BuildMetadata;
use crate::model::env::Environment;
use crate::model::layers_dir::LayersDir;
use crate::model::order::Group;
use crate::model::plan::Plan;
use crate::model::target::RunTarget;

/// What the build phase works on.
pub struct Inputs {
    /// The Platform API.
    pub api: PlatformApi,
    /// The layers folder.
    pub layers: LayersDir,
    /// The app directory.
    pub app_dir: PathBuf,
    /// The platform directory.
    pub platform_dir: PathBuf,
    /// The operator's build configuration.
    pub build_config_dir: PathBuf,
    /// Where buildpacks are.
    pub store: Store,
    /// The group that detection chose.
    pub group: Group,
    /// The plan that detection agreed on.
    pub plan: Plan,
    /// The execution environment.
    pub exec_env: String,
    /// The run image's target; `None` when analyzed.toml has none.
    pub target: Option<RunTarget>,
    /// The target of this very system, where the run image's is not known.
    pub host_target: RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: Environment,
    /// A folder for plans while programs read them; the phase makes and removes its own below it.
    pub temp_dir: PathBuf,
}

/// Why building failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A bin/build could not be run or said no. Exit code 51.
    #[error("{0}")]
    Buildpack(String),
    /// Anything else. Exit code 52.
    #[error("{0}")]
    Other(String),
}

/// Runs bin/build of each buildpack in order, and gathers what they contribute.
///
/// # Errors
/// See [`Error`]; the first error ends the phase.
pub fn build(_effects: &Effects<'_>, _inputs: &Inputs) -> Result<BuildMetadata, Error> {
    unimplemented!()
}
