//! build.toml. Clause: buildpack.md#buildtoml-toml.

use super::wire::{bom_entry, each};
use super::{Error, read};
use crate::model::launch::Build;

/// Reads build.toml.
pub fn parse(text: &str) -> Result<Build, Error> {
    read::toml(text, |root| {
        Ok(Build { unmet: each(root, "unmet", |unmet| unmet.text("name"))?, bom: each(root, "bom", bom_entry)? })
    })
}
