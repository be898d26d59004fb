//! RESTORE: layers, their metadata and SBOM files, from the previous image and the cache.
//!
//! A cache can only make a build faster: whatever is wrong with it is a warning, and the layer is built anew (policy
//! P28). What cannot be restored whole leaves nothing behind, because a toml without files would tell a buildpack that
//! it may keep a layer which the exporter then misses.
//!
//! Clause: platform.md#restorer; catalogue 1, section 4.3 and 4.4; catalogue 2, section 3.6.

mod data;
mod metadata;
pub mod run_image;
mod sbom;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::api::PlatformApi;
use crate::buildpack::layers::{self, LayerFileError};
use crate::buildpack::sbom::SbomError;
use crate::effect::Effects;
use crate::effect::cache::Cache;
use crate::effect::events::RestoreEvent;
use crate::model::app_metadata::AppMetadata;
use crate::model::digest::DiffId;
use crate::model::layers_dir::LayersDir;
use crate::model::order::Group;
use crate::model::seal::Seals;
use crate::os::error_text;

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
pub enum Error {
    /// A buildpack's folder cannot be read, or is a link.
    #[error("reading buildpack layer directory: {0}")]
    Folder(LayerFileError),
    /// What is there of a layer cannot be removed.
    #[error("removing layer: {0}")]
    Remove(LayerFileError),
    /// A file or folder cannot be written.
    #[error("{action} {}: {}", path.display(), error_text(source))]
    Write {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A layer's files cannot be written.
    #[error("restoring data: restoring layer {layer}: {reason}")]
    Layer {
        /// The layer.
        layer: String,
        /// Why.
        reason: String,
    },
    /// SBOM files cannot be written.
    #[error("restoring data: {0}")]
    Sbom(#[from] SbomError),
}

/// What an export of the same build can use of what a restore found.
#[derive(Debug, Default)]
pub struct Restored {
    /// The seals of what was restored, by which layers are known that nobody touched.
    pub seals: Seals,
    /// Layers that the cache could not give. If the build has them again, they go into the cache again (policy P28).
    pub unsound: Vec<DiffId>,
}

/// Restores everything that buildpacks of the group may find again.
///
/// # Errors
/// Files cannot be written. A fault of the cache is a warning, not an error (policy P28).
pub fn restore(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<Restored, Error> {
    if inputs.cache.is_none() {
        effects.emit(RestoreEvent::NoCache);
    }
    let cache_metadata = inputs.cache.map(Cache::metadata).unwrap_or_default();
    metadata::restore_stores(inputs)?;
    let written = metadata::restore(effects, inputs, &cache_metadata)?;
    let layers = data::choose(effects, inputs, &cache_metadata, &written)?;
    let sbom = sbom::choose(effects, inputs, &cache_metadata);
    let restored = data::restore(effects, inputs, &layers, sbom.as_ref())?;
    sbom::distribute(inputs)?;
    Ok(restored)
}

/// Writes a new file in the place of whatever is there; a link is replaced, never followed.
fn write_new(path: &Path, contents: &str) -> Result<(), Error> {
    use std::io::Write as _;
    let failed = |action| move |source| Error::Write { action, path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        layers::refuse_link(dir).map_err(Error::Folder)?;
        std::fs::create_dir_all(dir).map_err(|source| Error::Write {
            action: "mkdir",
            path: dir.to_owned(),
            source,
        })?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed("remove")(error)),
        _ => {}
    }
    let mut file = std::fs::File::create_new(path).map_err(failed("open"))?;
    file.write_all(contents.as_bytes()).map_err(failed("write"))
}
