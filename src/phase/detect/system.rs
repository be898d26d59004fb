//! Buildpacks of system.toml around the groups of the order.
//!
//! Clause: platform.md#systemtoml-toml.

use crate::effect::Effects;
use crate::effect::events::DetectEvent;
use crate::model::order::{GroupElement, OrderGroup, SystemBuildpacks};

/// Puts system buildpacks in front of and behind every group, but for those whose id the group has, whatever the
/// version. They are always required.
pub(super) fn merge(effects: &Effects<'_>, groups: &[OrderGroup], system: &SystemBuildpacks) -> Vec<OrderGroup> {
    groups
        .iter()
        .map(|group| {
            let pre = missing(group, &system.pre);
            let post = missing(group, &system.post);
            if !pre.is_empty() {
                effects.emit(DetectEvent::SystemPrepended(pre.len()));
            }
            if !post.is_empty() {
                effects.emit(DetectEvent::SystemAppended(post.len()));
            }
            OrderGroup { elements: [pre, group.elements.clone(), post].concat() }
        })
        .collect()
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
    use super::super::fixtures::{Recorder, element, names, optional};
    use super::*;
    use crate::effect::events::Event;

    #[test]
    fn puts_system_buildpacks_around_each_group_and_leaves_out_ids_that_it_has() {
        let recorder = Recorder::default();
        let groups = [OrderGroup { elements: vec![element("a@1")] }, OrderGroup { elements: vec![element("pre@2")] }];
        let system = SystemBuildpacks { pre: vec![optional("pre@1")], post: vec![element("post@1")] };
        let merged = merge(&recorder.effects(), &groups, &system);
        assert_eq!(names(&merged[0].elements), ["pre@1", "a@1", "post@1"]);
        assert!(!merged[0].elements[0].optional, "a system buildpack is always required");
        assert_eq!(names(&merged[1].elements), ["pre@2", "post@1"]);
        assert_eq!(
            recorder.events(),
            [
                Event::Detect(DetectEvent::SystemPrepended(1)),
                Event::Detect(DetectEvent::SystemAppended(1)),
                Event::Detect(DetectEvent::SystemAppended(1)),
            ],
        );
    }

    #[test]
    fn an_empty_order_stays_empty() {
        let system = SystemBuildpacks { pre: vec![element("pre@1")], post: Vec::new() };
        assert!(merge(&Recorder::default().effects(), &[], &system).is_empty());
    }
}
