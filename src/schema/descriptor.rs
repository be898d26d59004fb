//! buildpack.toml and extension.toml.

use super::Error;
use crate::model::descriptor::Descriptor;
use crate::model::id::ModuleKind;
use std::path::Path;

/// Reads buildpack.toml or extension.toml of the folder `root`.
pub fn parse(_text: &str, _kind: ModuleKind, _root: &Path) -> Result<Descriptor, Error> {
    unimplemented!()
}
