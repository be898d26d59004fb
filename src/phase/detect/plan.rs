//! Plan resolution: which alternatives of the modules' build plans fit together.
//!
//! Clause: buildpack.md#phase-1-detection, "resolution of build plans". One combination is tried in `trial`.

use super::combinations;
use super::trial::{Agreement, Alternative, Choice, attempt};
use crate::effect::events::Transcript;
use crate::model::order::GroupElement;
use crate::model::plan::{DetectPlan, PlanSection};

/// Combinations that are tried one by one, each told, before the search skips those that cannot fit.
const TRIED_ONE_BY_ONE: u64 = 100;

/// A module that passed, with its build plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'a> {
    pub module: &'a GroupElement,
    pub plan: &'a DetectPlan,
}

/// Finds the first combination of alternatives that fits, the leftmost module's changing slowest. `None` if none does.
pub(super) fn resolve(passed: &[Passed<'_>], transcript: &mut Vec<Transcript>) -> Option<Agreement> {
    let alternatives: Vec<Vec<Alternative<'_>>> = passed.iter().map(alternatives).collect();
    let attempt = |number: u64, chosen: &[usize], transcript: &mut Vec<Transcript>| {
        transcript.push(Transcript::PlanTried(number));
        attempt(choices(passed, &alternatives, chosen), transcript)
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

fn choices<'a>(passed: &[Passed<'a>], alternatives: &[Vec<Alternative<'a>>], chosen: &[usize]) -> Vec<Choice<'a>> {
    let chosen = alternatives.iter().zip(chosen).map(|(alternatives, &index)| alternatives[index]);
    passed.iter().zip(chosen).map(|(passed, alternative)| Choice { module: passed.module, alternative }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{element, names, optional, plan, require};
    use super::*;
    use proptest::prelude::*;

    fn resolved(modules: &[(GroupElement, &str)]) -> (Option<Agreement>, Vec<Transcript>) {
        let plans: Vec<DetectPlan> = modules.iter().map(|(_, text)| plan(text)).collect();
        let passed: Vec<_> = modules.iter().zip(&plans).map(|((module, _), plan)| Passed { module, plan }).collect();
        let mut transcript = Vec::new();
        let agreement = resolve(&passed, &mut transcript);
        (agreement, transcript)
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
            if let Some(agreement) = attempt(choices(passed, &alternatives, &chosen), &mut Vec::new()) {
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
                attempt(choices(&passed, &alternatives, &chosen), &mut Vec::new())
            });
            prop_assert_eq!(found, expected);
        }
    }
}
