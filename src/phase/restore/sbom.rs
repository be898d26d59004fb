//! SBOM files of layers: from `<layers>/sbom`, where previous image and cache left them, to their buildpacks.
//!
//! Catalogue 1, section 4.3, D.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use super::{Error, Inputs};
use crate::api::PlatformFeature;
use crate::buildpack::{layers, sbom};
use crate::effect::Effects;
use crate::effect::events::RestoreEvent;
use crate::model::app_metadata::CacheMetadata;
use crate::model::digest::DiffId;
use crate::model::layers_dir::LayersDir;

/// What was restored, the later one over the earlier one.
const FOLDERS: [&str; 2] = ["cache", "launch"];

/// The layer of SBOM files in the cache, if it is to be restored.
pub(super) fn choose(effects: &Effects<'_>, inputs: &Inputs<'_>, cache_metadata: &CacheMetadata) -> Option<DiffId> {
    let sbom = cache_metadata.sbom.clone().filter(|_| inputs.api.has(PlatformFeature::SbomFiles))?;
    effects.emit(RestoreEvent::Sbom);
    (!inputs.skip_layers).then_some(sbom)
}

/// The folder that the cache's SBOM layer may write.
pub(super) fn cached(layers: &LayersDir) -> PathBuf {
    layers.sbom().join("cache")
}

/// Copies the SBOM files of layers beside them, as `<layer>.sbom.<format>.json`, and removes `<layers>/sbom`. Whether
/// the layer itself was restored does not matter.
pub(super) fn distribute(inputs: &Inputs<'_>) -> Result<(), Error> {
    if inputs.skip_layers || !inputs.api.has(PlatformFeature::SbomFiles) {
        return Ok(());
    }
    let sbom = inputs.layers.sbom();
    for purpose in FOLDERS.map(|folder| sbom.join(folder)) {
        for buildpack in &inputs.group.buildpacks {
            let to = inputs.layers.buildpack(&buildpack.id);
            let from = purpose.join(buildpack.id.escaped());
            if [&sbom, &purpose, &from, &to].into_iter().all(|path| is_real_folder(path)) {
                distribute_to(&from, &to)?;
            }
        }
    }
    layers::remove_tree(&inputs.layers.sbom()).map_err(Error::Remove)
}

/// Copies `<from>/<layer>/sbom.<format>.json` to `<to>/<layer>.sbom.<format>.json`.
fn distribute_to(from: &Path, to: &Path) -> Result<(), Error> {
    for layer in folder(from).into_iter().filter(|entry| is_real_folder(&entry.path())) {
        for file in folder(&layer.path()) {
            let name = file.file_name();
            let bytes = name.as_encoded_bytes();
            let is_file = file.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && bytes.starts_with(b"sbom.") && bytes.ends_with(b".json") {
                let mut target = layer.file_name();
                target.push(".");
                target.push(&name);
                sbom::copy(&file.path(), &to.join(target))?;
            }
        }
    }
    Ok(())
}

/// The entries of a folder in byte order; none if it cannot be read.
fn folder(path: &Path) -> Vec<DirEntry> {
    let mut entries: Vec<_> = path.read_dir().into_iter().flatten().flatten().collect();
    entries.sort_by_key(DirEntry::file_name);
    entries
}

/// Says whether a path is a folder itself, and no link to one.
fn is_real_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}
