//! Secrets, and taking them out of what programs print: before it is kept, sent or cut (telemetry R35).
//!
//! [`Redactor`] knows the secrets of a run, `variants` the forms in which each may be printed, `patterns` finds them all
//! at once, and a [`Scanner`] does so in the two streams of one program, wherever their writes end.

mod patterns;
mod scanner;
mod spans;
#[cfg(test)]
mod tests;
mod variants;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use patterns::Patterns;
pub use scanner::{Released, Scanner};

/// What stands in the place of secrets.
pub const MARK: &[u8] = b"[REDACTED]";

/// Shorter texts are no secrets: they would be found everywhere.
pub const SHORTEST: usize = 6;

/// Longer secrets are looked for in pieces of this length, each by itself.
const LONGEST: usize = 4096;

/// How many bytes all secrets may have. This and the next bound the memory of the search, to some 40 times as much, and twice
/// that while secrets are added: a phase has 48 MiB.
const MOST: usize = 384 * 1024;

/// How many bytes they may have with all their forms.
const BUDGET: usize = 256 * 1024;

/// The secrets of a run. Secrets that are added later count from then on, in streams that are already open too.
#[derive(Default)]
pub struct Redactor {
    secrets: Mutex<Secrets>,
    patterns: RwLock<Arc<Patterns>>,
}

#[derive(Default)]
struct Secrets {
    known: BTreeSet<Vec<u8>>,
    /// What is to be told of secrets for which there was no room.
    warning: Option<&'static str>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Adds secrets. White space at their ends is not part of them; those with less than [`SHORTEST`] bytes are left out.
    pub fn add<T: AsRef<[u8]>>(&self, secrets: impl IntoIterator<Item = T>) {
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.known.len();
        for secret in secrets {
            let secret = secret.as_ref().trim_ascii();
            all.known.extend(pieces(secret).map(<[u8]>::to_vec));
        }
        if all.known.len() == before {
            return;
        }
        let (forms, warning) = forms(&all.known, MOST, BUDGET);
        all.warning = warning;
        *self.patterns.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Patterns::new(&forms));
    }

    /// What the user should know of secrets that are not looked for in all their forms, or not at all: a sentence, once.
    pub fn take_warning(&self) -> Option<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).warning.take().map(str::to_owned)
    }

    /// Redacts a text that is complete.
    pub fn whole(self: &Arc<Self>, text: &[u8]) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(text.len());
        let mut scanner = Scanner::new(Arc::clone(self));
        let mut keep = |released: Released<'_>| redacted.extend_from_slice(released.bytes);
        scanner.push(crate::effect::processes::Stream::Stdout, text, 0, &mut keep);
        scanner.finish(&mut keep);
        redacted
    }

    fn patterns(&self) -> Arc<Patterns> {
        Arc::clone(&self.patterns.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is looked for: all secrets, as far as they have no more than `most` bytes, and their forms, as far as all together
/// have no more than `budget`; the short ones first, for many more of them have room. Also what has no room, as a sentence.
fn forms(known: &BTreeSet<Vec<u8>>, most: usize, budget: usize) -> (BTreeSet<Vec<u8>>, Option<&'static str>) {
    let (mut forms, mut bytes) = (BTreeSet::new(), 0);
    let mut has_room = |form: Vec<u8>, limit: usize| {
        let is_known = forms.contains(&form);
        let has_room = is_known || bytes + form.len() <= limit;
        if has_room && !is_known {
            bytes += form.len();
            forms.insert(form);
        }
        has_room
    };
    let mut by_length: Vec<&Vec<u8>> = known.iter().collect();
    by_length.sort_by_key(|secret| secret.len());
    let mut warning = None;
    for secret in &by_length {
        if !has_room((*secret).clone(), most) {
            warning = Some("there are too many secrets to look for all of them in what leaves or is shown");
        }
    }
    for form in by_length.into_iter().flat_map(|secret| variants::of(secret)) {
        if !has_room(form, budget) {
            warning.get_or_insert("there are too many secrets to look for all their encoded forms");
        }
    }
    (forms, warning)
}

/// A secret in pieces that are neither too long nor too short; the last overlaps the one before it.
fn pieces(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = (0..secret.len()).step_by(LONGEST);
    let starts = starts.map(|start| start.min(secret.len().saturating_sub(LONGEST)));
    starts.map(|start| &secret[start..secret.len().min(start + LONGEST)]).filter(|piece| piece.len() >= SHORTEST)
}
