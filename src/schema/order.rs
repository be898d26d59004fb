//! order.toml and system.toml.

use super::Error;
use crate::model::order::{Order, SystemBuildpacks};

/// Reads order.toml.
pub fn parse(_text: &str) -> Result<Order, Error> {
    unimplemented!()
}
/// Reads system.toml.
pub fn parse_system(_text: &str) -> Result<SystemBuildpacks, Error> {
    unimplemented!()
}
