//! Secrets, and taking them out of what programs print: before it is kept, sent or cut (telemetry R35).
//!
//! [`Redactor`] knows the secrets of a run, `variants` the forms in which each may be printed, `patterns` finds them all
//! at once, and a [`Scanner`] does so in the two streams of one program, wherever their writes end. [`Parts`] finds parts of
//! them, too, in short texts.

mod parts;
mod patterns;
mod scanner;
mod spans;
#[cfg(test)]
mod tests;
mod variants;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use parts::Parts;
use patterns::Patterns;
pub use scanner::{Released, Scanner};

/// What stands in the place of secrets.
pub const MARK: &[u8] = b"[REDACTED]";

/// Shorter texts are no secrets: they would be found everywhere.
pub const SHORTEST: usize = 6;

/// Longer secrets are looked for in pieces of this length, each by itself.
const LONGEST: usize = 4096;

/// How many bytes all secrets may have with their forms. This bounds the memory of the search, to some 40 times as much, and
/// twice that while secrets are added: a phase has 48 MiB.
const MOST: usize = 256 * 1024;

const TOO_MANY: &str = "there are too many to look for all of them";
const TOO_MANY_FORMS: &str = "there are too many to look for all their encoded forms";

/// The secrets of a run. Secrets that are added later count from then on, in streams that are already open too.
#[derive(Default)]
pub struct Redactor {
    secrets: Mutex<Secrets>,
    patterns: RwLock<Arc<Patterns>>,
}

#[derive(Default)]
struct Secrets {
    /// Those that are looked for.
    known: BTreeSet<Vec<u8>>,
    /// What is not looked for, a part of a sentence each, and how many of these were told.
    gaps: Vec<String>,
    told: usize,
}

impl Secrets {
    fn lack(&mut self, gap: &str) {
        if !self.gaps.iter().any(|known| known == gap) {
            self.gaps.push(gap.to_owned());
        }
    }
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
        let (forms, gap) = forms(&all.known, MOST);
        // There will not be room for the others later, either.
        all.known.retain(|secret| forms.contains(secret));
        if let Some(gap) = gap.filter(|_| !all.gaps.iter().any(|known| known == TOO_MANY)) {
            all.lack(gap);
        }
        *self.patterns.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Patterns::new(&forms));
    }

    /// Takes note of secrets that could not be added: a part of a sentence.
    pub fn lack(&self, gap: &str) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).lack(gap);
    }

    /// What the user should know of secrets that are not looked for in all their forms, or not at all: one sentence, once.
    pub fn take_warning(&self) -> Option<String> {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let gaps = secrets.gaps[secrets.told..].join("; ");
        secrets.told = secrets.gaps.len();
        (!gaps.is_empty()).then(|| format!("not every secret is redacted in what leaves or is shown: {gaps}"))
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

/// What is looked for: secrets, and then their forms, as far as all together have no more than `most` bytes; the short ones
/// first, for more of them have room. Also what has no room.
fn forms(known: &BTreeSet<Vec<u8>>, most: usize) -> (BTreeSet<Vec<u8>>, Option<&'static str>) {
    let (mut forms, mut bytes) = (BTreeSet::new(), 0);
    let mut has_room = |form: Vec<u8>| {
        let is_known = forms.contains(&form);
        let has_room = is_known || bytes + form.len() <= most;
        if has_room && !is_known {
            bytes += form.len();
            forms.insert(form);
        }
        has_room
    };
    let mut by_length: Vec<&Vec<u8>> = known.iter().collect();
    by_length.sort_by_key(|secret| secret.len());
    let have_room = by_length.iter().all(|secret| has_room((*secret).clone()));
    if !have_room {
        return (forms, Some(TOO_MANY));
    }
    let have_room = by_length.into_iter().flat_map(|secret| variants::of(secret)).all(has_room);
    (forms, (!have_room).then_some(TOO_MANY_FORMS))
}

/// A secret in pieces that are neither too long nor too short; the last overlaps the one before it.
fn pieces(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = (0..secret.len()).step_by(LONGEST);
    let starts = starts.map(|start| start.min(secret.len().saturating_sub(LONGEST)));
    starts.map(|start| &secret[start..secret.len().min(start + LONGEST)]).filter(|piece| piece.len() >= SHORTEST)
}
