//! run.toml and stack.toml. Clauses: platform.md#runtoml-toml, platform.md#stacktoml-toml.

use super::wire::{each, run_image};
use super::{Error, read};
use crate::model::run_image::{RunImageRef, RunImages};

/// Reads run.toml.
pub fn parse_run(text: &str) -> Result<RunImages, Error> {
    read::toml(text, |root| Ok(RunImages { images: each(root, "images", run_image)? }))
}

/// Reads the `[run-image]` of stack.toml.
pub fn parse_stack(text: &str) -> Result<RunImageRef, Error> {
    read::toml(text, |root| root.table("run-image")?.map_or(Ok(RunImageRef::default()), |image| run_image(&image)))
}
