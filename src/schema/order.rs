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
        let system = root.section("system")?;
        let buildpacks = |key| each(&system.section(key)?, "buildpacks", member);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups_of_buildpacks_and_extensions() {
        let order = parse(
            "[[order]]\nexec-env = ['ignored']\ngroup = [{id = 'a', version = '1', optional = true, homepage = 'h'}, {id = 'b'}]\n[[order]]\n[[order-extensions]]\n[[order-extensions.group]]\nid = 'e'\nversion = '2'",
        )
        .unwrap();
        assert_eq!(order.buildpacks.len(), 2);
        let first = &order.buildpacks[0].elements;
        assert!(first[0].optional && !first[1].optional);
        assert_eq!((first[0].homepage.as_str(), first[1].version.as_str()), ("", ""));
        assert_eq!(order.buildpacks[1], OrderGroup::default());
        let extension = &order.extensions[0].elements[0];
        assert_eq!((extension.kind, extension.optional), (ModuleKind::Extension, true));
    }

    #[test]
    fn reads_system_buildpacks_which_are_never_optional() {
        let text =
            "[[system.pre.buildpacks]]\nid = 'a'\nversion = '1'\noptional = true\n[[system.post.buildpacks]]\nid = 'b'";
        let system = parse_system(text).unwrap();
        assert_eq!((system.pre[0].id.as_str(), system.pre[0].optional), ("a", false));
        assert_eq!(system.post[0].id.as_str(), "b");
        assert_eq!(parse_system("[system]"), Ok(SystemBuildpacks::default()));
        assert_eq!(parse_system(""), Ok(SystemBuildpacks::default()));
    }
}
