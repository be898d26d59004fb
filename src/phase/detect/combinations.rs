//! Combinations of alternatives: their order, and the first one that fits, found without trying each.
//!
//! There are as many combinations as the product of all alternatives; twenty modules with two alternatives each have a
//! million. Whether the rest of the modules can fit depends only on what was provided before and what still waits to be
//! required, so each such state is looked at once.

use std::collections::{BTreeSet, HashSet};

use super::plan::Alternative;

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
        wanted[index] = wanted[index + 1].clone();
        wanted[index].extend(required(&alternatives[index], &possible[index]));
    }
    let mut search = Search { alternatives, possible: &possible, wanted, dead: HashSet::new(), chosen: Vec::new() };
    search.fits(BTreeSet::new(), &BTreeSet::new()).then_some(search.chosen)
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

struct Search<'v, 'a> {
    alternatives: &'v [Vec<Alternative<'a>>],
    possible: &'v [Vec<bool>],
    /// What the module at an index and those after it may require.
    wanted: Vec<Names<'a>>,
    /// States from which the rest does not fit: how many modules are chosen, what is provided, what waits.
    dead: HashSet<(usize, Names<'a>, Names<'a>)>,
    chosen: Vec<usize>,
}

impl<'a> Search<'_, 'a> {
    /// Chooses for the modules not yet chosen for, given what those before provide and what of it nobody requires yet.
    fn fits(&mut self, mut provided: Names<'a>, waiting: &Names<'a>) -> bool {
        let index = self.chosen.len();
        let Some(alternatives) = self.alternatives.get(index) else {
            return waiting.is_empty();
        };
        // What nobody requires from here on makes no difference, or makes all the difference.
        if !waiting.is_subset(&self.wanted[index]) {
            return false;
        }
        provided.retain(|name| self.wanted[index].contains(name));
        let state = (index, provided, waiting.clone());
        if self.dead.contains(&state) {
            return false;
        }
        let provided = &state.1;
        for (choice, alternative) in alternatives.iter().enumerate() {
            self.chosen.push(choice);
            if self.possible[index][choice] {
                let provides = || alternative.section.provides.iter().map(String::as_str);
                let provided: Names<'a> = provided.iter().copied().chain(provides()).collect();
                let mut waiting: Names<'a> = waiting.iter().copied().chain(provides()).collect();
                let mut requires = alternative.section.requires.iter().map(|require| require.name.as_str());
                let is_provided = requires.all(|name| {
                    waiting.remove(name);
                    provided.contains(name)
                });
                if is_provided && self.fits(provided, &waiting) {
                    return true;
                }
            }
            if alternative.droppable && self.fits(provided.clone(), waiting) {
                return true;
            }
            self.chosen.pop();
        }
        self.dead.insert(state);
        false
    }
}
