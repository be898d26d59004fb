//! analyzed.toml. Clause: platform.md#analyzedtoml-toml.

use super::Error;
use crate::model::analyzed::Analyzed;

/// Reads analyzed.toml.
pub fn parse(_text: &str) -> Result<Analyzed, Error> {
    unimplemented!()
}
/// Writes analyzed.toml.
pub fn render(_analyzed: &Analyzed) -> String {
    unimplemented!()
}
