//! group.toml. Clause: platform.md#grouptoml-toml.

use super::Error;
use crate::model::order::Group;

/// Reads group.toml.
pub fn parse(_text: &str) -> Result<Group, Error> {
    unimplemented!()
}
/// Writes group.toml.
pub fn render(_group: &Group) -> String {
    unimplemented!()
}
