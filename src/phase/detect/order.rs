//! The search through an order: which lists of modules to try, and when.
//!
//! Clause: buildpack.md#order-resolution. Nothing here runs or reads anything: [`Ground`] does.

use std::rc::Rc;
use std::sync::Arc;

use super::{Error, Outputs, Unresolvable};
use crate::api::BuildpackApi;
use crate::model::descriptor::Descriptor;
use crate::model::id::ModuleKind;
use crate::model::order::{GroupElement, Order, OrderGroup};
use crate::model::target::ModuleTarget;

/// What the search needs to know of the world while it goes.
pub(super) trait Ground {
    /// Reads the descriptor of a module.
    fn descriptor(&mut self, element: &GroupElement) -> Result<Arc<Descriptor>, Error>;

    /// Looks at a module that is no composite: whether it counts in its group.
    fn admit(&mut self, element: &GroupElement, descriptor: &Arc<Descriptor>) -> Result<Admission, Error>;

    /// Tries a complete list of modules.
    fn judge(&mut self, group: &[Candidate]) -> Result<Outputs, Stop>;
}

/// Whether a module counts in its group.
pub(super) enum Admission {
    /// It does; its negotiated API.
    Runs(BuildpackApi),
    /// It does, and fails unrun, as the group needs it and the target is none that it supports.
    Mismatch(BuildpackApi, Vec<ModuleTarget>),
    /// It does not: the group goes on without it.
    LeftOut,
}

/// A module of a list to be tried.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The module, with API and home page from its descriptor.
    pub element: GroupElement,
    /// Its descriptor.
    pub descriptor: Arc<Descriptor>,
    /// Its negotiated API.
    pub api: BuildpackApi,
    /// The targets that it supports, when that of the run image is none of them and the group needs it.
    pub mismatch: Option<Vec<ModuleTarget>>,
}

/// Why a list of modules, or a whole order, gave no group.
#[derive(Debug)]
pub(super) enum Stop {
    /// It did not pass.
    NotDetected,
    /// It did not pass, and some program failed otherwise than by opting out.
    BuildpackFailed,
    /// Nothing more can be tried.
    Abort(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Abort(error)
    }
}

/// A member of a group that the search has yet to come to.
#[derive(Clone)]
struct Member {
    element: GroupElement,
    /// The composite that it was written in.
    inside: Option<Rc<Expansion>>,
}

/// A composite that was replaced by one of its groups.
struct Expansion {
    composite: String,
    /// How many modules were in the list then.
    done: usize,
    /// The composite that this one was written in.
    inside: Option<Rc<Expansion>>,
}

/// Tries the groups of an order until one passes.
pub(super) fn search(ground: &mut dyn Ground, order: &Order) -> Result<Outputs, Stop> {
    let extensions: Vec<Vec<Member>> = order
        .extensions
        .iter()
        .map(|group| {
            let forced = |element: &GroupElement| GroupElement {
                kind: ModuleKind::Extension,
                optional: true,
                ..element.clone()
            };
            members(&group.elements.iter().map(forced).collect::<Vec<_>>(), None)
        })
        .collect();
    let mut search = Search { ground };
    search.first_of(&order.buildpacks, |search, group| {
        let group = members(&group.elements, None);
        // Extensions stand in front of each group like a composite that it can do without.
        if extensions.is_empty() { search.group(&group, &[]) } else { search.groups(&extensions, &[], &group, true) }
    })
}

struct Search<'a> {
    ground: &'a mut dyn Ground,
}

impl Search<'_> {
    /// Tries one alternative after the other. Only a group that does not pass leads to the next.
    fn first_of<T>(
        &mut self,
        alternatives: &[T],
        mut attempt: impl FnMut(&mut Self, &T) -> Result<Outputs, Stop>,
    ) -> Result<Outputs, Stop> {
        let mut stop = Stop::NotDetected;
        for alternative in alternatives {
            match attempt(self, alternative) {
                Err(Stop::NotDetected) => {}
                Err(Stop::BuildpackFailed) => stop = Stop::BuildpackFailed,
                end => return end,
            }
        }
        Err(stop)
    }

    /// Tries each group in front of `rest`, and then `rest` alone if the groups are optional.
    fn groups(
        &mut self,
        groups: &[Vec<Member>],
        done: &[Candidate],
        rest: &[Member],
        optional: bool,
    ) -> Result<Outputs, Stop> {
        let result = self.first_of(groups, |search, group| search.group(&[group.as_slice(), rest].concat(), done));
        match result {
            // What went wrong inside is forgotten, as the reference forgets it.
            Err(Stop::NotDetected | Stop::BuildpackFailed) if optional => self.group(rest, done),
            end => end,
        }
    }

    /// Adds each member to the list of modules and tries that. At a composite, the way parts.
    fn group(&mut self, members: &[Member], done: &[Candidate]) -> Result<Outputs, Stop> {
        let mut done = done.to_vec();
        for (index, member) in members.iter().enumerate() {
            let element = &member.element;
            if done.iter().any(|other| other.element.kind == element.kind && other.element.id == element.id) {
                continue;
            }
            let descriptor = self.ground.descriptor(element)?;
            if descriptor.is_composite() {
                let groups = expand(member, &descriptor.order, done.len())?;
                return self.groups(&groups, &done, &members[index + 1..], element.optional);
            }
            let (api, mismatch) = match self.ground.admit(element, &descriptor)? {
                Admission::Runs(api) => (api, None),
                Admission::Mismatch(api, supported) => (api, Some(supported)),
                Admission::LeftOut => continue,
            };
            let element =
                GroupElement { api: descriptor.api.clone(), homepage: descriptor.homepage.clone(), ..element.clone() };
            done.push(Candidate { element, descriptor, api, mismatch });
        }
        self.ground.judge(&done)
    }
}

fn members(elements: &[GroupElement], inside: Option<&Rc<Expansion>>) -> Vec<Member> {
    elements.iter().map(|element| Member { element: element.clone(), inside: inside.cloned() }).collect()
}

/// The groups of a composite. One that contains itself is an error when no module joined the list since it was last
/// expanded: the search would never end.
fn expand(member: &Member, order: &[OrderGroup], done: usize) -> Result<Vec<Vec<Member>>, Error> {
    let composite = member.element.to_string();
    let mut path = vec![composite.clone()];
    let mut outer = member.inside.as_ref();
    while let Some(expansion) = outer {
        path.push(expansion.composite.clone());
        if expansion.composite == composite && expansion.done == done {
            path.reverse();
            return Err(Error::Other(Unresolvable::Cycle(path)));
        }
        outer = expansion.inside.as_ref();
    }
    let expansion = Rc::new(Expansion { composite, done, inside: member.inside.clone() });
    Ok(order.iter().map(|group| members(&group.elements, Some(&expansion))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{api, composite, descriptor, element, group, names, optional};
    use super::*;
    use std::collections::BTreeMap;

    /// Modules as literals. A list passes when it is `wanted`.
    struct Known {
        descriptors: BTreeMap<String, Arc<Descriptor>>,
        wanted: &'static [&'static str],
        erring: &'static str,
        tried: Vec<Vec<String>>,
    }

    impl Ground for Known {
        fn descriptor(&mut self, element: &GroupElement) -> Result<Arc<Descriptor>, Error> {
            let name = element.to_string();
            Ok(self.descriptors.get(&name).cloned().unwrap_or_else(|| Arc::new(descriptor(&name))))
        }

        fn admit(&mut self, element: &GroupElement, _: &Arc<Descriptor>) -> Result<Admission, Error> {
            Ok(if element.id.as_str() == "out" { Admission::LeftOut } else { Admission::Runs(api("0.10")) })
        }

        fn judge(&mut self, group: &[Candidate]) -> Result<Outputs, Stop> {
            let list: Vec<String> = group.iter().map(|candidate| candidate.element.to_string()).collect();
            let erring = list.iter().any(|name| name == self.erring);
            self.tried.push(list.clone());
            assert!(self.tried.len() < 100, "the search does not end");
            match list == self.wanted {
                true => Ok(Outputs::default()),
                false if erring => Err(Stop::BuildpackFailed),
                false => Err(Stop::NotDetected),
            }
        }
    }

    fn known(composites: Vec<Descriptor>) -> Known {
        let descriptors =
            composites.into_iter().map(|it| (format!("{}@{}", it.id, it.version), Arc::new(it))).collect();
        Known { descriptors, wanted: &["nothing"], erring: "", tried: Vec::new() }
    }

    fn order(groups: Vec<OrderGroup>) -> Order {
        Order { buildpacks: groups, extensions: Vec::new() }
    }

    fn tried(known: &mut Known, order: &Order) -> Vec<String> {
        let _ = search(known, order);
        known.tried.iter().map(|list| list.join(" ")).collect()
    }

    #[test]
    fn the_first_group_that_passes_wins() {
        let mut known = Known { wanted: &["b@1"], ..known(vec![]) };
        let order = order(vec![group(&["a@1"]), group(&["b@1"]), group(&["c@1"])]);
        assert!(search(&mut known, &order).is_ok());
        assert_eq!(known.tried, [["a@1"], ["b@1"]]);
    }

    #[test]
    fn the_first_version_of_an_id_wins_and_a_module_left_out_is_not_in_the_list() {
        assert_eq!(tried(&mut known(vec![]), &order(vec![group(&["a@1", "out@1", "b@1", "a@2"])])), ["a@1 b@1"]);
    }

    #[test]
    fn composites_expand_in_place_nested_ones_too() {
        let mut known = known(vec![
            composite("outer@1", vec![group(&["a@1", "inner@1"]), group(&["b@1"])]),
            composite("inner@1", vec![group(&["c@1"]), group(&["d@1"])]),
        ]);
        let order = order(vec![group(&["x@1", "outer@1", "y@1"])]);
        assert_eq!(tried(&mut known, &order), ["x@1 a@1 c@1 y@1", "x@1 a@1 d@1 y@1", "x@1 b@1 y@1"]);
    }

    #[test]
    fn a_group_goes_on_without_an_optional_composite() {
        let mut known = known(vec![composite("comp@1", vec![group(&["a@1"])])]);
        let order = order(vec![OrderGroup { elements: vec![optional("comp@1"), element("y@1")] }]);
        assert_eq!(tried(&mut known, &order), ["a@1 y@1", "y@1"]);
    }

    #[test]
    fn an_error_anywhere_is_told_unless_an_optional_composite_hides_it() {
        let erring = |known| Known { erring: "bad@1", ..known };
        let groups = order(vec![group(&["bad@1"]), group(&["b@1"])]);
        assert!(matches!(search(&mut erring(known(vec![])), &groups), Err(Stop::BuildpackFailed)));
        let mut hidden = erring(known(vec![composite("comp@1", vec![group(&["bad@1"])])]));
        let groups = order(vec![OrderGroup { elements: vec![optional("comp@1"), element("y@1")] }]);
        assert!(matches!(search(&mut hidden, &groups), Err(Stop::NotDetected)));
    }

    #[test]
    fn extensions_are_tried_in_front_of_each_group_and_the_group_alone_last() {
        let extensions = vec![group(&["e@1"]), group(&["f@1"])];
        let order = Order { buildpacks: vec![group(&["a@1"]), group(&["e@1"])], extensions };
        let mut known = known(vec![]);
        // Buildpack and extension of one id are two modules.
        assert_eq!(tried(&mut known, &order), ["e@1 a@1", "f@1 a@1", "a@1", "e@1 e@1", "f@1 e@1", "e@1"]);
    }

    fn cycle(composites: Vec<Descriptor>, start: &str) -> Result<String, Vec<String>> {
        let mut known = known(composites);
        match search(&mut known, &order(vec![group(&[start])])) {
            Err(Stop::Abort(error)) => Ok(error.to_string()),
            _ => Err(known.tried.iter().map(|list| list.join(" ")).collect()),
        }
    }

    #[test]
    fn a_composite_that_contains_itself_is_named() {
        assert_eq!(
            cycle(vec![composite("a@1", vec![group(&["a@1"])])], "a@1"),
            Ok("composite buildpacks contain each other: a@1 -> a@1".to_owned()),
        );
        let round = vec![composite("a@1", vec![group(&["x@1", "b@1"])]), composite("b@1", vec![group(&["a@1"])])];
        assert_eq!(cycle(round, "a@1"), Ok("composite buildpacks contain each other: b@1 -> a@1 -> b@1".to_owned()),);
    }

    #[test]
    fn a_composite_may_stand_twice_in_a_group() {
        let composites = vec![composite("a@1", vec![group(&["x@1"])]), composite("b@1", vec![group(&["a@1", "a@1"])])];
        assert_eq!(cycle(composites, "b@1"), Err(vec!["x@1".to_owned()]));
    }

    #[test]
    fn an_empty_order_does_not_pass() {
        assert!(matches!(search(&mut known(vec![]), &Order::default()), Err(Stop::NotDetected)));
        assert_eq!(names(&[element("a@1")]), ["a@1"]);
    }
}
