//! <layer>.toml and store.toml. Clauses: buildpack.md#layer-content-metadata-toml, buildpack.md#storetoml-toml.

use super::write::Block;
use super::{Error, read};
use crate::model::layer::{LayerMetadata, LayerTypes};
use crate::model::value::Table;

/// What is wrong with a layer file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// It is no TOML, or a value has the wrong type.
    #[error(transparent)]
    Syntax(#[from] Error),
    /// `launch`, `build` or `cache` stand at the top level.
    #[error("the launch, cache and build flags should be in the types table")]
    TopLevelTypes,
}

/// Reads `<layer>.toml`.
pub fn parse(text: &str) -> Result<LayerMetadata, LayerError> {
    let (layer, misplaced) = read::toml(text, |root| {
        let types = match root.table("types")? {
            None => LayerTypes::default(),
            Some(types) => {
                LayerTypes { build: types.flag("build")?, launch: types.flag("launch")?, cache: types.flag("cache")? }
            }
        };
        let layer = LayerMetadata { types, metadata: root.free_table("metadata")? };
        Ok((layer, ["build", "launch", "cache"].iter().any(|key| root.has_exactly(key))))
    })?;
    if misplaced { Err(LayerError::TopLevelTypes) } else { Ok(layer) }
}

/// Writes `<layer>.toml` as the restorer leaves it: `[metadata]` alone; an absent table is an empty text.
pub fn render_restored(metadata: Option<&Table>) -> String {
    Block::new().table_if_any("metadata", metadata.map(Block::free)).render()
}

/// Reads the `[metadata]` of store.toml.
pub fn parse_store(text: &str) -> Result<Option<Table>, Error> {
    read::toml(text, |root| root.free_table("metadata"))
}

/// Writes store.toml.
pub fn render_store(metadata: &Table) -> String {
    render_restored(Some(metadata))
}
