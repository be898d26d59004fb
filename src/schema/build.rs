//! build.toml. Clause: buildpack.md#buildtoml-toml.

use super::Error;
use crate::model::launch::Build;

/// Reads build.toml.
pub fn parse(_text: &str) -> Result<Build, Error> {
    unimplemented!()
}
