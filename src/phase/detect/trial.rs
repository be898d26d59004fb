//! One trial of plan resolution: whether the build plans of modules, one alternative of each, fit together.
//!
//! Clause: buildpack.md#phase-1-detection, "resolution of build plans".

use crate::effect::events::Transcript;
use crate::model::order::GroupElement;
use crate::model::plan::{Plan, PlanEntry, PlanSection, Provider, Require};

/// What the modules of a group agreed on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Agreement {
    /// The modules that are left, each with the `optional` of its group.
    pub modules: Vec<GroupElement>,
    pub plan: Plan,
}

/// One alternative of one module's plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternative<'a> {
    pub section: &'a PlanSection,
    /// The group can do without the module when this alternative does not fit: it is optional, and this is its last.
    pub droppable: bool,
}

/// A module with the alternative that is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    pub module: &'a GroupElement,
    pub alternative: Alternative<'a>,
}

/// A dependency, while modules are walked through.
#[derive(Default)]
struct Dependency<'a> {
    name: &'a str,
    /// Modules, by index, that provide it and whose offer was taken.
    providers: Vec<usize>,
    /// Modules that provide it and wait for someone who requires it.
    waiting: Vec<usize>,
    requires: Vec<&'a Require>,
    /// Modules that require it before anyone provides it.
    early: Vec<usize>,
}

/// Tries one combination: drops optional modules that do not fit until all that are left do.
pub(super) fn attempt(mut choices: Vec<Choice<'_>>, transcript: &mut Vec<Transcript>) -> Option<Agreement> {
    loop {
        let dependencies = walk(&choices);
        let mut dropped = vec![false; choices.len()];
        let unprovided = dependencies.iter().flat_map(|it| it.early.iter().map(move |&index| (index, it.name, true)));
        let unused = dependencies.iter().flat_map(|it| it.waiting.iter().map(move |&index| (index, it.name, false)));
        for (index, name, is_unprovided) in unprovided.chain(unused) {
            let choice = &choices[index];
            let module = GroupElement { optional: choice.alternative.droppable, ..choice.module.clone() };
            let dependency = name.to_owned();
            transcript.push(if is_unprovided {
                Transcript::Unprovided { module, dependency }
            } else {
                Transcript::Unused { module, dependency }
            });
            if !choice.alternative.droppable {
                return None;
            }
            dropped[index] = true;
        }
        if !dropped.contains(&true) {
            if choices.is_empty() {
                transcript.push(Transcript::NoViableBuildpacks);
                return None;
            }
            return Some(agree(&choices, &dependencies));
        }
        let mut dropped = dropped.iter();
        choices.retain(|_| dropped.next() != Some(&true));
    }
}

/// Walks through the modules: provides of each before its requires. The first requirement of a dependency that is
/// provided takes every offer so far.
fn walk<'a>(choices: &[Choice<'a>]) -> Vec<Dependency<'a>> {
    let mut dependencies: Vec<Dependency<'a>> = Vec::new();
    for (index, choice) in choices.iter().enumerate() {
        for name in &choice.alternative.section.provides {
            entry(&mut dependencies, name).waiting.push(index);
        }
        for require in &choice.alternative.section.requires {
            let dependency = entry(&mut dependencies, &require.name);
            dependency.providers.append(&mut dependency.waiting);
            if dependency.providers.is_empty() {
                dependency.early.push(index);
            } else {
                dependency.requires.push(require);
            }
        }
    }
    dependencies
}

fn entry<'v, 'a>(dependencies: &'v mut Vec<Dependency<'a>>, name: &'a str) -> &'v mut Dependency<'a> {
    let index = dependencies.iter().position(|dependency| dependency.name == name).unwrap_or_else(|| {
        dependencies.push(Dependency { name, ..Dependency::default() });
        dependencies.len() - 1
    });
    &mut dependencies[index]
}

/// Writes down what fits; entries in the order in which their names were first required (policy P16).
fn agree(choices: &[Choice<'_>], dependencies: &[Dependency<'_>]) -> Agreement {
    let mut names: Vec<&str> = Vec::new();
    for require in choices.iter().flat_map(|choice| &choice.alternative.section.requires) {
        if !names.contains(&require.name.as_str()) {
            names.push(&require.name);
        }
    }
    let provider = |&index: &usize| {
        let module = choices[index].module;
        Provider { kind: module.kind, id: module.id.clone(), version: module.version.clone() }
    };
    let entries = names
        .iter()
        .filter_map(|name| dependencies.iter().find(|dependency| dependency.name == *name))
        .map(|dependency| PlanEntry {
            providers: dependency.providers.iter().map(provider).collect(),
            requires: dependency.requires.iter().map(|&require| require.clone()).collect(),
        })
        .collect();
    Agreement { modules: choices.iter().map(|choice| choice.module.clone()).collect(), plan: Plan { entries } }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{element, extension, names, optional, plan};
    use super::*;
    use crate::model::plan::DetectPlan;

    /// Tries modules with one alternative each.
    fn tried(modules: &[(GroupElement, &str)]) -> (Option<Agreement>, Vec<Transcript>) {
        let plans: Vec<DetectPlan> = modules.iter().map(|(_, text)| plan(text)).collect();
        let choice = |(module, plan)| {
            let (module, plan): (&(GroupElement, &str), &DetectPlan) = (module, plan);
            let alternative = Alternative { section: &plan.alternatives[0], droppable: module.0.optional };
            Choice { module: &module.0, alternative }
        };
        let mut transcript = Vec::new();
        let agreement = attempt(modules.iter().zip(&plans).map(choice).collect(), &mut transcript);
        (agreement, transcript)
    }

    /// Who is left, and the plan as `<name>: <providers> <- <number of requires>`.
    fn summary(modules: &[(GroupElement, &str)]) -> Option<(Vec<String>, Vec<String>)> {
        let agreement = tried(modules).0?;
        let entries = agreement.plan.entries.iter().map(|entry| {
            let providers: Vec<_> = entry.providers.iter().map(|provider| provider.id.as_str()).collect();
            format!("{}: {} <- {}", entry.requires[0].name, providers.join(" "), entry.requires.len())
        });
        Some((names(&agreement.modules), entries.collect()))
    }

    fn agreed(modules: &[&str], entries: &[&str]) -> (Vec<String>, Vec<String>) {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        (owned(modules), owned(entries))
    }

    #[test]
    fn nothing_asked_is_nothing_planned() {
        assert_eq!(summary(&[(element("a@1"), "")]), Some(agreed(&["a@1"], &[])));
    }

    #[test]
    fn a_requirement_without_provider_fails_a_required_module_and_drops_an_optional_one() {
        let (agreement, transcript) = tried(&[(element("a@1"), "-dep")]);
        assert_eq!(agreement, None);
        let unprovided = Transcript::Unprovided { module: element("a@1"), dependency: "dep".into() };
        assert_eq!(transcript, [unprovided]);
        assert_eq!(summary(&[(optional("a@1"), "-dep"), (element("b@1"), "")]), Some(agreed(&["b@1"], &[])));
    }

    #[test]
    fn an_offer_without_requirement_fails_a_required_module_and_drops_an_optional_one() {
        let (agreement, transcript) = tried(&[(element("a@1"), "+dep")]);
        assert_eq!(agreement, None);
        let unused = Transcript::Unused { module: element("a@1"), dependency: "dep".into() };
        assert_eq!(transcript, [unused]);
        assert_eq!(summary(&[(optional("a@1"), "+dep"), (element("b@1"), "")]), Some(agreed(&["b@1"], &[])));
    }

    #[test]
    fn a_provider_must_stand_at_or_before_who_requires() {
        assert_eq!(summary(&[(element("a@1"), "-dep"), (element("b@1"), "+dep")]), None);
        assert_eq!(summary(&[(element("a@1"), "+dep -dep")]), Some(agreed(&["a@1"], &["dep: a <- 1"])));
    }

    #[test]
    fn all_providers_before_a_requirement_share_the_entry_and_one_after_the_last_is_unused() {
        let modules =
            [(element("a@1"), "+dep"), (element("b@1"), "+dep"), (element("c@1"), "-dep"), (element("d@1"), "-dep")];
        assert_eq!(summary(&modules), Some(agreed(&["a@1", "b@1", "c@1", "d@1"], &["dep: a b <- 2"])));
        let modules = [(element("a@1"), "+dep -dep"), (optional("b@1"), "+dep")];
        assert_eq!(summary(&modules), Some(agreed(&["a@1"], &["dep: a <- 1"])));
    }

    #[test]
    fn what_depended_on_a_dropped_module_is_dropped_with_it() {
        let modules = [(optional("a@1"), "+x -missing"), (optional("b@1"), "-x +y"), (element("c@1"), "")];
        assert_eq!(summary(&modules), Some(agreed(&["c@1"], &[])));
        let modules = [(optional("a@1"), "+x -missing"), (element("b@1"), "-x")];
        assert_eq!(summary(&modules), None);
    }

    #[test]
    fn entries_stand_in_the_order_in_which_they_were_first_required() {
        let modules = [(element("a@1"), "+x +y +z"), (element("b@1"), "-z -x"), (element("c@1"), "-y -z")];
        assert_eq!(summary(&modules), Some(agreed(&["a@1", "b@1", "c@1"], &["z: a <- 2", "x: a <- 1", "y: a <- 1"])));
    }

    #[test]
    fn a_group_of_which_nothing_is_left_fails_and_one_of_extensions_does_not() {
        let (agreement, transcript) = tried(&[(optional("a@1"), "-x")]);
        assert_eq!((agreement, transcript.last()), (None, Some(&Transcript::NoViableBuildpacks)));
        assert_eq!(summary(&[(extension("e@1"), ""), (optional("a@1"), "-x")]), Some(agreed(&["e@1"], &[])));
    }
}
