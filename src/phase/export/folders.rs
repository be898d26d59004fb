//! What the buildpacks of the group left under `<layers>`.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 2.2, 2.7 and 2.9.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Inputs};
use crate::api::PlatformFeature;
use crate::buildpack::layers::{self, Layer};
use crate::effect::Effects;
use crate::effect::events::ExportEvent;
use crate::model::launch::{BomEntry, BomSource};
use crate::model::order::GroupElement;
use crate::model::value::Value;
use crate::os::{document, error_text};
use crate::schema;

/// What one buildpack of the group left.
#[derive(Debug)]
pub(super) struct Folder {
    /// The buildpack.
    pub buildpack: GroupElement,
    /// Its folder.
    pub path: PathBuf,
    /// Its layers, sorted by name.
    pub layers: Vec<Layer>,
    /// `[metadata]` of its store.toml.
    pub store: Option<Value>,
}

impl Folder {
    /// The id of a layer: for messages, and unique in an image.
    pub(super) fn layer_id(&self, layer: &Layer) -> String {
        format!("{}:{}", self.buildpack.id, layer.name)
    }

    /// Where a layer lies.
    pub(super) fn layer_path(&self, layer: &Layer) -> PathBuf {
        self.path.join(layer.name.as_str())
    }
}

/// Reads the folder of each buildpack of the group.
///
/// # Errors
/// A folder or a store.toml cannot be read. A `<layer>.toml` that cannot be read is left to whoever needs it.
pub(super) fn read(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<Vec<Folder>, Error> {
    inputs
        .group
        .buildpacks
        .iter()
        .map(|buildpack| {
            let path = inputs.layers.buildpack(&buildpack.id);
            effects.emit(ExportEvent::BuildpackFolder(path.clone()));
            let failed =
                |cause: String| Error::Other(format!("reading layers for buildpack '{}': {cause}", buildpack.id));
            Ok(Folder {
                layers: layers::to_export(&path).map_err(|error| failed(error.to_string()))?,
                store: store(&inputs.layers.store_toml(&buildpack.id)).map_err(failed)?,
                buildpack: buildpack.clone(),
                path,
            })
        })
        .collect()
}

/// Finds the folder of SBOM files of a kind, `launch` or `cache`; Platform API 0.8 and up.
///
/// # Errors
/// It is there and is no folder that can be read.
pub(super) fn sbom(inputs: &Inputs<'_>, kind: &str) -> Result<Option<PathBuf>, String> {
    if !inputs.api.has(PlatformFeature::SbomFiles) {
        return Ok(None);
    }
    let path = inputs.layers.sbom().join(kind);
    match fs::read_dir(&path) {
        Ok(_) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("open {}: {}", path.display(), error_text(&error))),
    }
}

/// Gathers what buildpacks wrote into `[[bom]]` of build.toml, for report.toml; only below Platform API 0.9.
///
/// # Errors
/// A build.toml cannot be read.
pub(super) fn build_bom(inputs: &Inputs<'_>, folders: &[Folder]) -> Result<Vec<BomEntry>, Error> {
    if !inputs.api.has(PlatformFeature::BomInMetadata) {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for folder in folders {
        let path = folder.path.join("build.toml");
        let Some(text) = read_if_there(&path).map_err(Error::Other)? else { continue };
        let build =
            schema::build::parse(&text).map_err(|error| Error::Other(format!("{}: {error}", path.display())))?;
        let source = BomSource { id: folder.buildpack.id.clone(), version: folder.buildpack.version.clone() };
        entries.extend(build.bom.into_iter().map(|entry| BomEntry { buildpack: Some(source.clone()), ..entry }));
    }
    Ok(entries)
}

fn store(path: &Path) -> Result<Option<Value>, String> {
    // A folder of this name is one of a layer.
    if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(None);
    }
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    schema::layer::parse_store(&text).map(Some).map_err(|error| format!("failed decoding {}: {error}", path.display()))
}

fn read_if_there(path: &Path) -> Result<Option<String>, String> {
    document::read_file(path).map_err(|error| format!("open {}: {}", path.display(), error_text(&error)))
}
