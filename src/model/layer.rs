//! A layer of a buildpack: what it is for and what its buildpack noted about it.
//!
//! Clause: buildpack.md#layer-content-metadata-toml.

use super::value::Value;

/// What a layer is for: the `[types]` of `<layer>.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTypes {
    /// Later buildpacks of this build use it.
    pub build: bool,
    /// It is part of the app image.
    pub launch: bool,
    /// The next build gets it back.
    pub cache: bool,
}

impl LayerTypes {
    /// Says whether the layer is for nothing, so that its folder is set aside.
    pub fn is_none(self) -> bool {
        !(self.build || self.launch || self.cache)
    }
}

/// The contents of `<layer>.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerMetadata {
    /// `[types]`.
    pub types: LayerTypes,
    /// `metadata`, a table by the specification; [`Value::Null`] when the file has none.
    pub metadata: Value,
}
