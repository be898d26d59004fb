//! group.toml. Clause: platform.md#grouptoml-toml.

use super::wire::{each, element, element_block, extension};
use super::write::Block;
use super::{Error, read};
use crate::model::order::Group;

/// Reads group.toml. Extensions are optional, whatever the file says.
pub fn parse(text: &str) -> Result<Group, Error> {
    read::toml(text, |root| {
        Ok(Group { buildpacks: each(root, "group", element)?, extensions: each(root, "group-extensions", extension)? })
    })
}

/// Writes group.toml, without `optional`: whoever is in the group has passed.
pub fn render(group: &Group) -> String {
    Block::new()
        .tables("group", group.buildpacks.iter().map(element_block))
        .tables("group-extensions", group.extensions.iter().map(element_block))
        .render()
}
