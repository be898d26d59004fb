//! <layer>.toml and store.toml.

use super::Error;
use crate::model::layer::LayerMetadata;
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
pub fn parse(_text: &str) -> Result<LayerMetadata, LayerError> {
    unimplemented!()
}
/// Writes `<layer>.toml` as the restorer leaves it: `[metadata]` alone; an absent table is an empty text.
pub fn render_restored(_metadata: Option<&Table>) -> String {
    unimplemented!()
}
/// Reads the `[metadata]` of store.toml.
pub fn parse_store(_text: &str) -> Result<Option<Table>, Error> {
    unimplemented!()
}
/// Writes store.toml.
pub fn render_store(_metadata: &Table) -> String {
    unimplemented!()
}
