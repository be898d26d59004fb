//! order.toml and system.toml. Clauses: platform.md#ordertoml-toml, platform.md#systemtoml-toml.

use super::read::{Fields, Problem};
use super::wire::{each, element, extension};
use super::{Error, read};
use crate::model::id::ModuleKind;
use crate::model::order::{GroupElement, Order, OrderGroup, SystemBuildpacks};

/// Reads order.toml.
pub fn parse(text: &str) -> Result<Order, Error> {
    read::toml(text, |root| {
        let extensions = |fields: &Fields<'_>| {
            let elements = each(fields, "group", extension)?;
            Ok(OrderGroup { elements: elements.into_iter().map(undescribed).collect() })
        };
        Ok(Order { buildpacks: each(root, "order", group)?, extensions: each(root, "order-extensions", extensions)? })
    })
}

/// Reads system.toml.
pub fn parse_system(text: &str) -> Result<SystemBuildpacks, Error> {
    read::toml(text, |root| {
        let Some(system) = root.table("system")? else { return Ok(SystemBuildpacks::default()) };
        let buildpacks = |key| system.table(key)?.map_or(Ok(Vec::new()), |list| each(&list, "buildpacks", member));
        Ok(SystemBuildpacks { pre: buildpacks("pre")?, post: buildpacks("post")? })
    })
}

/// Reads a group of an order.
pub(super) fn group(fields: &Fields<'_>) -> Result<OrderGroup, Problem> {
    Ok(OrderGroup { elements: each(fields, "group", element)?.into_iter().map(undescribed).collect() })
}

/// Drops what only the descriptor of a module can say.
fn undescribed(element: GroupElement) -> GroupElement {
    GroupElement { api: String::new(), homepage: String::new(), ..element }
}

fn member(fields: &Fields<'_>) -> Result<GroupElement, Problem> {
    Ok(GroupElement {
        kind: ModuleKind::Buildpack,
        id: fields.id("id")?,
        version: fields.text("version")?,
        api: String::new(),
        homepage: String::new(),
        optional: false,
    })
}
