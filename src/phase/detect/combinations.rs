//! Combinations of alternatives: their order, and the first one that fits, found without trying each.
//!
//! There are as many combinations as the product of all alternatives; twenty modules with two alternatives each have a
//! million. Whether the rest of the modules can fit depends only on what was provided before and what still waits to be
//! required, so each such state is looked at once.

use std::collections::{BTreeSet, HashMap};

use super::trial::Alternative;

/// Goes to the next combination, the rightmost changing fastest. `false` when there is none.
pub(super) fn advance(chosen: &mut [usize], alternatives: &[Vec<Alternative<'_>>]) -> bool {
    for (index, alternatives) in chosen.iter_mut().zip(alternatives).rev() {
        *index += 1;
        if *index < alternatives.len() {
            return true;
        }
        *index = 0;
    }
    false
}

/// The number of a combination, from 1; the highest number there is where it does not fit.
pub(super) fn number(chosen: &[usize], alternatives: &[Vec<Alternative<'_>>]) -> u64 {
    let zero_based = chosen.iter().zip(alternatives).fold(0_u64, |number, (&index, alternatives)| {
        number.saturating_mul(alternatives.len() as u64).saturating_add(index as u64)
    });
    zero_based.saturating_add(1)
}

/// Finds the first combination in which every module that cannot be dropped fits.
///
/// A module fits when what it requires is provided by itself or by one before it, and what it provides is required by
/// itself or by one after it, counting only modules that fit.
pub(super) fn first_that_fits(alternatives: &[Vec<Alternative<'_>>]) -> Option<Vec<usize>> {
    let possible = possible(alternatives);
    if alternatives.iter().zip(&possible).any(|(alternatives, possible)| {
        !alternatives.iter().zip(possible).any(|(alternative, possible)| *possible || alternative.droppable)
    }) {
        return None;
    }
    let mut wanted = vec![BTreeSet::new(); alternatives.len() + 1];
    for index in (0..alternatives.len()).rev() {
        let own = required(&alternatives[index], &possible[index]);
        wanted[index] = own.chain(wanted[index + 1].iter().copied()).collect();
    }
    let mut search = Search { alternatives, possible: &possible, wanted, known: HashMap::new() };
    // An optional module can leave more than one state behind; equal ones are one.
    let mut states = BTreeSet::from([State::default()]);
    let choose = |index: usize| {
        (0..alternatives[index].len()).find_map(|choice| {
            let next: BTreeSet<State<'_>> =
                states.iter().flat_map(|state| search.after(index, choice, state)).collect();
            let next: BTreeSet<State<'_>> = next.into_iter().filter(|state| search.fits(index + 1, state)).collect();
            (!next.is_empty()).then(|| {
                states = next;
                choice
            })
        })
    };
    (0..alternatives.len()).map(choose).collect()
}

/// Which alternatives can fit at all: what they require may be provided, what they provide may be required, by some
/// alternative that is itself possible.
fn possible(alternatives: &[Vec<Alternative<'_>>]) -> Vec<Vec<bool>> {
    let mut possible: Vec<Vec<bool>> = alternatives.iter().map(|alternatives| vec![true; alternatives.len()]).collect();
    loop {
        let before = possible.clone();
        let mut provided = BTreeSet::new();
        for (alternatives, possible) in alternatives.iter().zip(&mut possible) {
            for (alternative, possible) in alternatives.iter().zip(possible.iter_mut()) {
                *possible &= alternative.section.requires.iter().all(|require| {
                    provided.contains(require.name.as_str()) || alternative.section.provides.contains(&require.name)
                });
            }
            provided
                .extend(those(alternatives, possible).flat_map(|it| it.section.provides.iter().map(String::as_str)));
        }
        let mut wanted = BTreeSet::new();
        for (alternatives, possible) in alternatives.iter().zip(&mut possible).rev() {
            for (alternative, possible) in alternatives.iter().zip(possible.iter_mut()) {
                let own = |name: &String| alternative.section.requires.iter().any(|require| &require.name == name);
                *possible &=
                    alternative.section.provides.iter().all(|name| wanted.contains(name.as_str()) || own(name));
            }
            wanted.extend(required(alternatives, possible));
        }
        if possible == before {
            return possible;
        }
    }
}

fn those<'v, 'a>(
    alternatives: &'v [Alternative<'a>],
    possible: &'v [bool],
) -> impl Iterator<Item = &'v Alternative<'a>> {
    alternatives.iter().zip(possible).filter_map(|(alternative, possible)| possible.then_some(alternative))
}

fn required<'v, 'a: 'v>(
    alternatives: &'v [Alternative<'a>],
    possible: &'v [bool],
) -> impl Iterator<Item = &'a str> + 'v {
    those(alternatives, possible).flat_map(|it| it.section.requires.iter().map(|require| require.name.as_str()))
}

type Names<'a> = BTreeSet<&'a str>;

/// What the modules chosen for so far mean for the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State<'a> {
    /// What is provided and may yet be required.
    provided: Names<'a>,
    /// What is provided and must yet be required.
    waiting: Names<'a>,
}

struct Search<'v, 'a> {
    alternatives: &'v [Vec<Alternative<'a>>],
    possible: &'v [Vec<bool>],
    /// What the module at an index and those after it may require.
    wanted: Vec<Names<'a>>,
    /// Whether the modules from an index on can fit after a state.
    known: HashMap<(usize, State<'a>), bool>,
}

impl<'a> Search<'_, 'a> {
    /// The states after an alternative of the module at `index`: with the module, and without it if it can be dropped.
    fn after(&self, index: usize, choice: usize, state: &State<'a>) -> Vec<State<'a>> {
        let alternative = self.alternatives[index][choice];
        let mut states = Vec::new();
        if self.possible[index][choice] {
            let mut state = state.clone();
            for name in alternative.section.provides.iter().map(String::as_str) {
                state.provided.insert(name);
                state.waiting.insert(name);
            }
            let mut requires = alternative.section.requires.iter().map(|require| require.name.as_str());
            if requires.all(|name| {
                state.waiting.remove(name);
                state.provided.contains(name)
            }) {
                states.push(state);
            }
        }
        if alternative.droppable {
            states.push(state.clone());
        }
        // What nobody requires from here on makes no difference, or makes all the difference.
        let wanted = &self.wanted[index + 1];
        states.retain_mut(|state| {
            state.provided.retain(|name| wanted.contains(name));
            state.waiting.is_subset(wanted)
        });
        states
    }

    /// Says whether some choice for the modules from `index` on fits after a state.
    fn fits(&mut self, index: usize, state: &State<'a>) -> bool {
        if index == self.alternatives.len() {
            return true;
        }
        let key = (index, state.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let fits = (0..self.alternatives[index].len())
            .any(|choice| self.after(index, choice, state).iter().any(|next| self.fits(index + 1, next)));
        self.known.insert(key, fits);
        fits
    }
}
