//! Which run image to use when the platform names none, and which names belong to it.
//!
//! Clauses: platform.md#run-image-resolution, platform.md#mirrors.

use crate::effect::images::Images;
use crate::model::run_image::{RunImageRef, RunImages};

/// Why no run image could be chosen. The text is what the reference prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// run.toml or stack.toml names no image.
    #[error("missing run image metadata (-run-image)")]
    NoName,
    /// run.toml is missing or has no `[[images]]`.
    #[error("-run-image is required when there is no run metadata available")]
    NoMetadata,
    /// No candidate can be read.
    #[error("failed to find accessible run image")]
    NoneReadable,
}

/// Chooses among a run image and its mirrors: the first on the target's registry that can be read, else the first that
/// can be read. In a daemon or a layout every candidate counts as readable.
///
/// # Errors
/// There is no name, or no candidate can be read.
pub fn choose(_images: &dyn Images, _target_registry: &str, _candidates: &RunImageRef) -> Result<String, Error> {
    unimplemented!()
}

/// Finds the entry of run.toml that `name` belongs to, by image or mirror, digests aside and names normalised.
pub fn find<'a>(_run: &'a RunImages, _name: &str) -> Option<&'a RunImageRef> {
    unimplemented!()
}
