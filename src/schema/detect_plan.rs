//! The build plan that bin/detect writes. Clause: buildpack.md#build-plan-toml.

use super::Error;
use crate::model::plan::DetectPlan;

/// Reads a build plan: the top level, then each `[[or]]`.
pub fn parse(_text: &str) -> Result<DetectPlan, Error> {
    unimplemented!()
}
