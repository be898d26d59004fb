//! Plan resolution: which alternatives of the modules' build plans fit together.
//!
//! Clause: buildpack.md#build-plan-resolution (phase 1, "requirements").

use super::combinations;
use crate::effect::events::Transcript;
use crate::model::order::GroupElement;
use crate::model::plan::{DetectPlan, Plan, PlanEntry, PlanSection, Provider, Require};

/// Combinations that are tried one by one, each told, before the search skips those that cannot fit.
const TRIED_ONE_BY_ONE: u64 = 100;

/// A module that passed, with its build plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'a> {
    pub module: &'a GroupElement,
    pub plan: &'a DetectPlan,
}

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

/// Finds the first combination of alternatives that fits, the leftmost module's changing slowest. `None` if none does.
pub(super) fn resolve(passed: &[Passed<'_>], transcript: &mut Vec<Transcript>) -> Option<Agreement> {
    let alternatives: Vec<Vec<Alternative<'_>>> = passed.iter().map(alternatives).collect();
    let attempt = |number: u64, chosen: &[usize], transcript: &mut Vec<Transcript>| {
        transcript.push(Transcript::PlanTried(number));
        let options = passed.iter().zip(&alternatives).zip(chosen).map(|((passed, alternatives), &index)| Option_ {
            module: passed.module,
            alternative: alternatives[index],
        });
        attempt(options.collect(), transcript)
    };
    let mut chosen = vec![0; passed.len()];
    for number in 1..=TRIED_ONE_BY_ONE {
        if let Some(agreement) = attempt(number, &chosen, transcript) {
            return Some(agreement);
        }
        if !combinations::advance(&mut chosen, &alternatives) {
            return None;
        }
    }
    // Where none fits, the last of all is tried, so that the transcript ends as if each had been.
    let next = combinations::first_that_fits(&alternatives)
        .unwrap_or_else(|| alternatives.iter().map(|alternatives| alternatives.len() - 1).collect());
    attempt(combinations::number(&next, &alternatives), &next, transcript)
}

/// The alternatives of a module; only the last of an optional one can be dropped.
fn alternatives<'a>(passed: &Passed<'a>) -> Vec<Alternative<'a>> {
    static EMPTY: PlanSection = PlanSection { provides: Vec::new(), requires: Vec::new() };
    let sections = &passed.plan.alternatives;
    let mut alternatives: Vec<_> = sections.iter().map(|section| Alternative { section, droppable: false }).collect();
    if alternatives.is_empty() {
        alternatives.push(Alternative { section: &EMPTY, droppable: false });
    }
    if let Some(last) = alternatives.last_mut() {
        last.droppable = passed.module.optional;
    }
    alternatives
}

/// A module with the alternative that is tried.
#[derive(Clone, Copy)]
struct Option_<'a> {
    module: &'a GroupElement,
    alternative: Alternative<'a>,
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
fn attempt(mut options: Vec<Option_<'_>>, transcript: &mut Vec<Transcript>) -> Option<Agreement> {
    loop {
        let dependencies = walk(&options);
        let mut dropped = vec![false; options.len()];
        let unprovided = dependencies.iter().flat_map(|it| it.early.iter().map(move |&index| (index, it.name, true)));
        let unused = dependencies.iter().flat_map(|it| it.waiting.iter().map(move |&index| (index, it.name, false)));
        for (index, name, is_unprovided) in unprovided.chain(unused) {
            let option = &options[index];
            let module = GroupElement { optional: option.alternative.droppable, ..option.module.clone() };
            let dependency = name.to_owned();
            transcript.push(if is_unprovided {
                Transcript::Unprovided { module, dependency }
            } else {
                Transcript::Unused { module, dependency }
            });
            if !option.alternative.droppable {
                return None;
            }
            dropped[index] = true;
        }
        if !dropped.contains(&true) {
            if options.is_empty() {
                transcript.push(Transcript::NoViableBuildpacks);
                return None;
            }
            return Some(agree(&options, &dependencies));
        }
        let mut dropped = dropped.iter();
        options.retain(|_| dropped.next() != Some(&true));
    }
}

/// Walks through the modules: provides of each before its requires. The first requirement of a dependency that is
/// provided takes every offer so far.
fn walk<'a>(options: &[Option_<'a>]) -> Vec<Dependency<'a>> {
    let mut dependencies: Vec<Dependency<'a>> = Vec::new();
    for (index, option) in options.iter().enumerate() {
        for name in &option.alternative.section.provides {
            entry(&mut dependencies, name).waiting.push(index);
        }
        for require in &option.alternative.section.requires {
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
fn agree(options: &[Option_<'_>], dependencies: &[Dependency<'_>]) -> Agreement {
    let mut names: Vec<&str> = Vec::new();
    for require in options.iter().flat_map(|option| &option.alternative.section.requires) {
        if !names.contains(&require.name.as_str()) {
            names.push(&require.name);
        }
    }
    let provider = |&index: &usize| {
        let module = options[index].module;
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
    Agreement { modules: options.iter().map(|option| option.module.clone()).collect(), plan: Plan { entries } }
}
