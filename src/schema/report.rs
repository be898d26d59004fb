//! report.toml. Clause: platform.md#reporttoml-toml.

use crate::model::report::Report;

/// Writes report.toml.
pub fn render(_report: &Report) -> String {
    unimplemented!()
}
