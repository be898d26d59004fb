//! RESTORE: layers, their metadata and SBOM files, from the previous image and the cache.
//!
//! Clause: platform.md#restorer; catalogue 1, section 4.3 and 4.4.

use std::path::PathBuf;

use crate::api::PlatformApi;
use crate::effect::Effects;
use crate::effect::cache::Cache;
use crate::model::app_metadata::AppMetadata;
use crate::model::layers_dir::LayersDir;
use crate::model::order::Group;

/// What the restore phase works on.
pub struct Inputs<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// The layers folder.
    pub layers: LayersDir,
    /// The group: nothing is restored for others.
    pub group: Group,
    /// What the previous image remembers.
    pub app_metadata: AppMetadata,
    /// The cache, if there is one.
    pub cache: Option<&'a dyn Cache>,
    /// Only store.toml files are restored.
    pub skip_layers: bool,
    /// Where layers are extracted; their names are absolute, so this is `/` but in tests.
    pub extract_root: PathBuf,
}

/// Why restoring failed. Each variant prints what the reference prints; all end the phase with exit code 42.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Restores everything that buildpacks of the group may find again.
///
/// # Errors
/// Files cannot be written. A fault of the cache is a warning, not an error (policy P28).
pub fn restore(_effects: &Effects<'_>, _inputs: &Inputs<'_>) -> Result<(), Error> {
    unimplemented!()
}
