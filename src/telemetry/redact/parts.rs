//! Parts of credentials in short texts of others, who may have cut them, or written a piece in one form and the next in
//! another.

use std::collections::BTreeSet;

use super::scanner::replace;
use super::{SHORTEST, variants};

/// How many bytes in a row of a credential are one, too.
const PART: usize = 8;

/// Parts of credentials.
pub struct Parts(BTreeSet<Vec<u8>>);

impl Parts {
    /// Makes them of credentials; those with less than [`SHORTEST`] bytes are left out.
    pub fn of(credentials: &[String]) -> Self {
        let mut parts = BTreeSet::new();
        for credential in credentials.iter().map(|text| text.trim().as_bytes()) {
            if credential.len() < SHORTEST {
                continue;
            }
            let mut forms = variants::of(credential);
            forms.insert(credential.to_vec());
            for form in forms {
                for part in form.windows(form.len().min(PART)) {
                    // A blank in front is the text's own: the part behind it finds what there is of the credential.
                    if !part.starts_with(b" ") {
                        parts.insert(part.to_vec());
                    }
                }
            }
        }
        Self(parts)
    }

    /// Redacts a text that is complete.
    pub fn hide(&self, text: &[u8]) -> Vec<u8> {
        let mut secret = vec![false; text.len()];
        for length in SHORTEST..=PART {
            for (start, part) in text.windows(length).enumerate() {
                if self.0.contains(part) {
                    secret[start..start + length].fill(true);
                }
            }
        }
        let mut hidden = Vec::with_capacity(text.len());
        replace(text, Some(&secret), &mut false, |bytes| hidden.extend_from_slice(bytes));
        hidden
    }
}
