//! plan.toml, and the buildpack plan that bin/build and bin/generate get.

use super::Error;
use crate::model::plan::{Plan, Require};

/// Reads plan.toml.
pub fn parse(_text: &str) -> Result<Plan, Error> {
    unimplemented!()
}
/// Writes plan.toml; an empty plan is an empty text.
pub fn render(_plan: &Plan) -> String {
    unimplemented!()
}
/// Writes the plan for one module: `[[entries]]` with name, version and metadata.
pub fn render_for_module(_requires: &[Require]) -> String {
    unimplemented!()
}
