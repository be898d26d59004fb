//! Content digests: of blobs as they are stored, and of layers before compression.

use std::fmt;

/// The SHA-256 of a blob as it is stored and transferred: a manifest, a config, a compressed layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// The SHA-256 of a layer's uncompressed tar. Never comparable with a [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiffId(String);

/// The text is no `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no digest of the form sha256:<64 hex digits>")]
pub struct DigestError(pub String);

fn check(text: &str) -> Result<String, DigestError> {
    let valid = text
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    if valid { Ok(text.to_owned()) } else { Err(DigestError(text.to_owned())) }
}

fn from_bytes(sha256: &[u8; 32]) -> String {
    use fmt::Write as _;
    sha256.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

macro_rules! digest_type {
    ($name:ident) => {
        impl $name {
            /// Reads `sha256:<hex>`.
            ///
            /// # Errors
            /// The text has another form.
            pub fn parse(text: &str) -> Result<Self, DigestError> {
                check(text).map(Self)
            }

            /// Makes one of a finished SHA-256.
            pub fn from_sha256(sha256: &[u8; 32]) -> Self {
                Self(from_bytes(sha256))
            }

            /// The text `sha256:<hex>`.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The 64 hex digits alone.
            pub fn hex(&self) -> &str {
                &self.0["sha256:".len()..]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

digest_type!(Digest);
digest_type!(DiffId);

/// The diff id of a layer of 1,024 zero bytes: an archive with nothing in it.
pub const EMPTY_LAYER: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let digest = Digest::from_sha256(&[0xab; 32]);
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
        assert_eq!(digest.hex().len(), 64);
    }

    #[test]
    fn refuses_other_forms() {
        for text in ["", "sha256:", "sha512:00", &format!("sha256:{}", "A".repeat(64)), &"a".repeat(64)] {
            assert!(DiffId::parse(text).is_err(), "{text}");
        }
    }
}
