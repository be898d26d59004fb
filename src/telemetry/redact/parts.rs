//! Parts of credentials in short texts of others, who may have cut them, or written a piece in one form and the next in
//! another.

use std::collections::{BTreeSet, HashMap};

use super::scanner::replace;
use super::{SHORTEST, variants};

/// How many bytes in a row of a credential are one, too.
const PART: usize = 8;

/// Finds parts of credentials. Texts are short, and credentials may be long: so it is the parts of a text that are looked
/// for in the credentials, one form of them at a time, and no others are kept.
pub struct Parts(BTreeSet<Vec<u8>>);

impl Parts {
    /// Knows credentials; those with less than [`SHORTEST`] bytes are left out.
    pub fn of(credentials: impl IntoIterator<Item = String>) -> Self {
        let trimmed = credentials.into_iter().map(|text| text.trim().as_bytes().to_vec());
        Self(trimmed.filter(|credential| credential.len() >= SHORTEST).collect())
    }

    /// Redacts a text that is complete.
    pub fn hide(&self, text: &[u8]) -> Vec<u8> {
        let mut secret = vec![false; text.len()];
        let mut are_secret: HashMap<&[u8], bool> = text.windows(PART).map(|part| (part, false)).collect();
        for form in self.forms() {
            if form.len() < PART {
                mark(text, &mut secret, form.len(), |part| part == form);
                continue;
            }
            for part in form.windows(PART) {
                // A blank in front is the text's own: the part behind it finds what there is of the credential.
                if !part.starts_with(b" ")
                    && let Some(is_secret) = are_secret.get_mut(part)
                {
                    *is_secret = true;
                }
            }
        }
        mark(text, &mut secret, PART, |part| are_secret[part]);
        let mut hidden = Vec::with_capacity(text.len());
        replace(text, Some(&secret), &mut false, |bytes| hidden.extend_from_slice(bytes));
        hidden
    }

    fn forms(&self) -> impl Iterator<Item = Vec<u8>> {
        self.0.iter().flat_map(|credential| [credential.clone()].into_iter().chain(variants::in_order(credential)))
    }
}

/// Marks the parts of a length that are secret.
fn mark(text: &[u8], secret: &mut [bool], length: usize, is_secret: impl Fn(&[u8]) -> bool) {
    for (start, part) in text.windows(length).enumerate() {
        if is_secret(part) {
            secret[start..start + length].fill(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters without an order, so that hardly eight of them come twice.
    fn long(letters: &str) -> String {
        let letters: Vec<char> = letters.chars().collect();
        let mut state = 1_u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            letters[usize::try_from(state >> 33).unwrap() % letters.len()]
        };
        (0..32_000).map(|_| letter()).collect()
    }

    #[test]
    fn of_long_credentials_no_more_is_kept_than_they_are_and_each_form_is_read_once() {
        for letters in ["abcdefghijklmnopqrstuvwxyz0123456789", "abc&<>\"'+/=$%~()[]{}*? defghijklm"] {
            let credential = long(letters);
            let length = credential.len();
            let parts = Parts::of([credential.clone(), credential]);
            assert!(parts.0.iter().map(Vec::len).sum::<usize>() <= length);
            assert!(parts.forms().map(|form| form.len()).sum::<usize>() < 150 * length);
        }
    }

    #[test]
    fn eight_bytes_from_anywhere_in_a_long_credential_are_hidden() {
        let credential = long("abcdefghijklmnopqrstuvwxyz0123456789");
        let parts = Parts::of([credential.clone()]);
        for start in (0..credential.len() - PART).step_by(7919) {
            let text = format!("is {} it", &credential[start..start + PART]);
            assert_eq!(parts.hide(text.as_bytes()), b"is [REDACTED] it");
        }
        assert_eq!(parts.hide(b"is harmless"), b"is harmless");
    }
}
