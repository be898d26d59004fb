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
        let options = passed
            .iter()
            .zip(&alternatives)
            .zip(chosen)
            .map(|((passed, alternatives), &index)| Choice { module: passed.module, alternative: alternatives[index] });
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
struct Choice<'a> {
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
fn attempt(mut options: Vec<Choice<'_>>, transcript: &mut Vec<Transcript>) -> Option<Agreement> {
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
fn walk<'a>(options: &[Choice<'a>]) -> Vec<Dependency<'a>> {
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
fn agree(options: &[Choice<'_>], dependencies: &[Dependency<'_>]) -> Agreement {
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{element, extension, names, optional};
    use super::*;
    use proptest::prelude::*;

    /// A section from `+provided` and `-required` names.
    fn section(text: &str) -> PlanSection {
        let mut section = PlanSection::default();
        for word in text.split_whitespace() {
            match word.split_at(1) {
                ("+", name) => section.provides.push(name.to_owned()),
                (_, name) => section.requires.push(require(name)),
            }
        }
        section
    }

    fn require(name: &str) -> Require {
        Require { name: name.to_owned(), version: None, metadata: None }
    }

    /// A plan from its alternatives, separated by `|`.
    fn plan(text: &str) -> DetectPlan {
        DetectPlan { alternatives: text.split('|').map(section).collect() }
    }

    fn resolved(modules: &[(GroupElement, &str)]) -> (Option<Agreement>, Vec<Transcript>) {
        let plans: Vec<DetectPlan> = modules.iter().map(|(_, text)| plan(text)).collect();
        let passed: Vec<_> = modules.iter().zip(&plans).map(|((module, _), plan)| Passed { module, plan }).collect();
        let mut transcript = Vec::new();
        let agreement = resolve(&passed, &mut transcript);
        (agreement, transcript)
    }

    /// Who is left, and the plan as `<name>: <providers> <- <number of requires>`.
    fn summary(modules: &[(GroupElement, &str)]) -> Option<(Vec<String>, Vec<String>)> {
        let agreement = resolved(modules).0?;
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
        let (agreement, transcript) = resolved(&[(element("a@1"), "-dep")]);
        assert_eq!(agreement, None);
        let unprovided = Transcript::Unprovided { module: element("a@1"), dependency: "dep".into() };
        assert_eq!(transcript, [Transcript::PlanTried(1), unprovided]);
        assert_eq!(summary(&[(optional("a@1"), "-dep"), (element("b@1"), "")]), Some(agreed(&["b@1"], &[])));
    }

    #[test]
    fn an_offer_without_requirement_fails_a_required_module_and_drops_an_optional_one() {
        let (agreement, transcript) = resolved(&[(element("a@1"), "+dep")]);
        assert_eq!(agreement, None);
        let unused = Transcript::Unused { module: element("a@1"), dependency: "dep".into() };
        assert_eq!(transcript, [Transcript::PlanTried(1), unused]);
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
    fn alternatives_are_tried_with_the_leftmost_changing_slowest() {
        let modules = [(element("a@1"), "+x|+y|"), (element("b@1"), "-z|-y")];
        let (agreement, transcript) = resolved(&modules);
        assert_eq!(agreement.unwrap().plan.entries[0].requires, [require("y")]);
        let tries = transcript.iter().filter(|entry| matches!(entry, Transcript::PlanTried(_))).count();
        assert_eq!(tries, 4);
    }

    #[test]
    fn only_the_last_alternative_of_an_optional_module_can_be_dropped() {
        let (agreement, transcript) = resolved(&[(optional("a@1"), "-x|-y"), (element("b@1"), "")]);
        assert_eq!(names(&agreement.unwrap().modules), ["b@1"]);
        assert_eq!(
            transcript,
            [
                Transcript::PlanTried(1),
                Transcript::Unprovided { module: element("a@1"), dependency: "x".into() },
                Transcript::PlanTried(2),
                Transcript::Unprovided { module: optional("a@1"), dependency: "y".into() },
            ],
        );
    }

    #[test]
    fn a_group_of_which_nothing_is_left_fails_and_one_of_extensions_does_not() {
        let (agreement, transcript) = resolved(&[(optional("a@1"), "-x")]);
        assert_eq!((agreement, transcript.last()), (None, Some(&Transcript::NoViableBuildpacks)));
        assert_eq!(summary(&[(extension("e@1"), ""), (optional("a@1"), "-x")]), Some(agreed(&["e@1"], &[])));
    }

    #[test]
    fn twenty_modules_with_alternatives_take_no_time_and_the_number_of_the_combination_is_told() {
        let names: Vec<String> = (0..20).map(|index| format!("m{index}@1")).collect();
        let modules = |last: &'static str| -> Vec<(GroupElement, &str)> {
            let many = names.iter().map(|name| (element(name), "+a -a|+b -b"));
            many.chain([(element("last@1"), last)]).collect()
        };
        let (agreement, transcript) = resolved(&modules("-missing"));
        assert_eq!(agreement, None);
        assert!(transcript.contains(&Transcript::PlanTried(1 << 20)));
        // It needs somebody who chooses the second alternative: the module that changes fastest.
        assert_eq!(
            resolved(&modules("-b -a")).1,
            [
                Transcript::PlanTried(1),
                Transcript::Unprovided { module: element("last@1"), dependency: "b".into() },
                Transcript::PlanTried(2)
            ]
        );
        // Nobody may choose the first: only the very last combination fits.
        let all: Vec<(GroupElement, &str)> =
            names.iter().map(|name| (element(name), "+a|+b")).chain([(element("last@1"), "-b")]).collect();
        let (agreement, transcript) = resolved(&all);
        assert_eq!(agreement.unwrap().plan.entries[0].providers.len(), 20);
        assert_eq!(transcript.last(), Some(&Transcript::PlanTried(1 << 20)));
    }

    #[test]
    fn two_modules_at_the_end_that_exclude_each_other_do_not_cost_every_combination_before_them() {
        let names: Vec<String> = (0..40).map(|index| format!("m{index}@1")).collect();
        let mut modules: Vec<(GroupElement, &str)> =
            names.iter().map(|name| (element(name), "+a -a|+b -b|+c -c")).collect();
        modules.extend([(element("x@1"), "+p|+q"), (element("y@1"), "-p -q")]);
        let (agreement, transcript) = resolved(&modules);
        assert_eq!(agreement, None);
        assert!(transcript.contains(&Transcript::PlanTried(u64::MAX)), "the number of combinations has no end");
    }

    #[test]
    fn many_modules_that_may_be_dropped_do_not_multiply() {
        let names: Vec<String> = (0..40).map(|index| format!("m{index}@1")).collect();
        let mut modules: Vec<(GroupElement, &str)> =
            names.iter().map(|name| (optional(name), "+never|-never|+a")).collect();
        modules.push((element("x@1"), "-b|-c|-a"));
        let agreement = resolved(&modules).0.unwrap();
        assert_eq!(agreement.modules.len(), 41);
    }

    /// What the specification says, word by word: every combination, one after the other.
    fn naive(passed: &[Passed<'_>]) -> Option<Agreement> {
        let alternatives: Vec<Vec<Alternative<'_>>> = passed.iter().map(alternatives).collect();
        let mut chosen = vec![0; passed.len()];
        loop {
            let options = passed.iter().zip(&alternatives).zip(&chosen).map(|((passed, alternatives), &index)| {
                Choice { module: passed.module, alternative: alternatives[index] }
            });
            if let Some(agreement) = attempt(options.collect(), &mut Vec::new()) {
                return Some(agreement);
            }
            if !combinations::advance(&mut chosen, &alternatives) {
                return None;
            }
        }
    }

    fn sections() -> impl Strategy<Value = PlanSection> {
        let names = || proptest::collection::vec("[a-d]", 0..3);
        (names(), names()).prop_map(|(provides, requires)| PlanSection {
            provides,
            requires: requires.iter().map(|name| require(name)).collect(),
        })
    }

    fn modules() -> impl Strategy<Value = Vec<(bool, DetectPlan)>> {
        let plan = proptest::collection::vec(sections(), 1..4).prop_map(|alternatives| DetectPlan { alternatives });
        proptest::collection::vec((proptest::bool::weighted(0.3), plan), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn the_search_finds_what_trying_each_combination_finds(modules in modules()) {
            let elements: Vec<GroupElement> = modules
                .iter()
                .enumerate()
                .map(|(index, (is_optional, _))| GroupElement { optional: *is_optional, ..element(&format!("m{index}@1")) })
                .collect();
            let passed: Vec<Passed<'_>> =
                elements.iter().zip(&modules).map(|(module, (_, plan))| Passed { module, plan }).collect();
            let alternatives: Vec<_> = passed.iter().map(alternatives).collect();
            let expected = naive(&passed);
            prop_assert_eq!(&resolve(&passed, &mut Vec::new()), &expected);
            let found = combinations::first_that_fits(&alternatives).and_then(|chosen| {
                let options = passed.iter().zip(&alternatives).zip(&chosen).map(|((passed, alternatives), &index)| {
                    Choice { module: passed.module, alternative: alternatives[index] }
                });
                attempt(options.collect(), &mut Vec::new())
            });
            prop_assert_eq!(found, expected);
        }
    }
}
