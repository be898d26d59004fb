//! All forms of all secrets as one automaton, fed byte by byte.
//!
//! `aho-corasick`'s own search for streams stops at the first of several overlapping matches and so leaks the others (R35):
//! here its states are walked, every match is told, and each state says how many bytes may still begin a secret.

use std::collections::BTreeSet;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// The automaton, and what its states mean; none where there is nothing to look for.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    automaton: Option<NFA>,
    states: States,
    start: StateID,
}

/// What is known in a state. "Behind" means: at the end of what was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// How many bytes behind begin some pattern, or are one.
    pub(super) depth: u16,
    /// How many bytes behind begin a pattern that goes on.
    pub(super) held: u16,
    /// The length of the longest pattern that ends here.
    matched: u16,
}

/// Each state that there is, sorted: there are as many as bytes of patterns, and a map would take most of the memory.
#[derive(Debug, Default)]
struct States(Vec<(StateID, State)>);

impl States {
    fn get(&self, id: StateID) -> State {
        self.0.binary_search_by_key(&id, |(id, _)| *id).map_or_else(|_| State::default(), |index| self.0[index].1)
    }
}

impl Patterns {
    /// Makes it of patterns, none of them empty.
    pub(super) fn new(patterns: &BTreeSet<Vec<u8>>) -> Self {
        if patterns.is_empty() {
            return Self::default();
        }
        // The builder fails only at limits (2^31 states) that are out of reach.
        let automaton = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(patterns).ok();
        let (start, states) = automaton.as_ref().map(|automaton| states(automaton, patterns)).unwrap_or_default();
        Self { automaton, states, start }
    }

    /// Says whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// Before the first byte.
    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// What is known in a state.
    pub(super) fn state(&self, id: StateID) -> State {
        self.states.get(id)
    }

    /// Reads bytes; tells for each pattern that ends, the longest where several do, how many of the bytes were read and
    /// how many the pattern has.
    pub(super) fn read(&self, from: StateID, bytes: &[u8], found: &mut dyn FnMut(usize, usize)) -> StateID {
        let Some(automaton) = &self.automaton else { return from };
        let mut state = from;
        for (index, byte) in bytes.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                found(index + 1, self.state(state).matched.into());
            }
        }
        state
    }
}

/// Walks each pattern from the start, which meets every state: there is one for each beginning of a pattern.
fn states(automaton: &NFA, patterns: &BTreeSet<Vec<u8>>) -> (StateID, States) {
    let start = automaton.start_state(Anchored::No).unwrap_or_default();
    let next = |state, byte: &u8| automaton.next_state(Anchored::No, state, *byte);
    // No form of a piece of a secret is as long as that.
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let mut states = Vec::with_capacity(1 + patterns.iter().map(Vec::len).sum::<usize>());
    states.push((start, State::default()));
    for pattern in patterns {
        let mut id = start;
        for (index, byte) in pattern.iter().enumerate() {
            id = next(id, byte);
            let depth = short(index + 1);
            let held = if index + 1 < pattern.len() { depth } else { 0 };
            let ends = if automaton.is_match(id) { automaton.match_len(id) } else { 0 };
            let ends = (0..ends).map(|number| automaton.pattern_len(automaton.match_pattern(id, number)));
            states.push((id, State { depth, held, matched: short(ends.max().unwrap_or_default()) }));
        }
    }
    states.sort_unstable_by_key(|(id, _)| *id);
    states.dedup_by(|(id, again), (known, state)| {
        let is_known = id == known;
        if is_known {
            state.held = state.held.max(again.held);
        }
        is_known
    });
    let mut states = States(states);
    // Where a pattern ends and none goes on, a shorter end of it may begin another.
    for pattern in patterns {
        let end = pattern.iter().fold(start, next);
        let mut from = 0;
        let mut id = end;
        while id != start && states.get(id).held == 0 {
            from = pattern.len() - usize::from(states.get(id).depth) + 1;
            id = pattern[from..].iter().fold(start, next);
        }
        if from > 0 {
            let held = states.get(id).held;
            if let Ok(index) = states.0.binary_search_by_key(&end, |(id, _)| *id) {
                states.0[index].1.held = held;
            }
        }
    }
    (start, states)
}
