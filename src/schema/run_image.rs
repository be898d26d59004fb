//! run.toml and stack.toml.

use super::Error;
use crate::model::run_image::{RunImageRef, RunImages};

/// Reads run.toml.
pub fn parse_run(_text: &str) -> Result<RunImages, Error> {
    unimplemented!()
}
/// Reads the `[run-image]` of stack.toml.
pub fn parse_stack(_text: &str) -> Result<RunImageRef, Error> {
    unimplemented!()
}
