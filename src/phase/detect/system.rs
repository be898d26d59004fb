//! Buildpacks of system.toml around the groups of the order.
//!
//! Clause: platform.md#systemtoml-toml.

use crate::model::order::{GroupElement, OrderGroup, SystemBuildpacks};

/// A group with the buildpacks of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub group: OrderGroup,
    /// How many stand in front of those of the order.
    pub prepended: usize,
    /// How many stand behind them.
    pub appended: usize,
}

/// Puts system buildpacks in front of and behind a group, but for those whose id the group has, whatever the version.
/// They are always required.
pub(super) fn merge(group: &OrderGroup, system: &SystemBuildpacks) -> Merged {
    let pre = missing(group, &system.pre);
    let post = missing(group, &system.post);
    let (prepended, appended) = (pre.len(), post.len());
    Merged { group: OrderGroup { elements: [pre, group.elements.clone(), post].concat() }, prepended, appended }
}

fn missing(group: &OrderGroup, system: &[GroupElement]) -> Vec<GroupElement> {
    system
        .iter()
        .filter(|wanted| group.elements.iter().all(|element| element.id != wanted.id))
        .map(|wanted| GroupElement { optional: false, ..wanted.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{element, group, names, optional};
    use super::*;

    #[test]
    fn puts_system_buildpacks_around_a_group_and_leaves_out_ids_that_it_has() {
        let system = SystemBuildpacks { pre: vec![optional("pre@1")], post: vec![element("post@1")] };
        let merged = merge(&group(&["a@1"]), &system);
        assert_eq!(names(&merged.group.elements), ["pre@1", "a@1", "post@1"]);
        assert!(!merged.group.elements[0].optional, "a system buildpack is always required");
        assert_eq!((merged.prepended, merged.appended), (1, 1));
        let merged = merge(&group(&["pre@2"]), &system);
        assert_eq!(names(&merged.group.elements), ["pre@2", "post@1"]);
        assert_eq!((merged.prepended, merged.appended), (0, 1));
    }
}
