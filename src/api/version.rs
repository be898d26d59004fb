//! The grammar of API versions.
//!
//! Clause: platform.md#api-version. The reference reads `^v?(\d+)\.?(\d*)$`, and so does this.

use std::fmt;

/// One `<major>.<minor>` API version, as a platform, buildpack or extension declares it.
///
/// It can be compared for equality only; order is the business of [`super::Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
}

/// The text is no API version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no API version of the form <major>.<minor>")]
pub struct VersionError(pub String);

impl Version {
    /// Makes a version of two numbers.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Reads `0.12`, `v0.12`, `0.012`, `1`, `1.` alike.
    ///
    /// # Errors
    /// The text has another form, or a number is over 32 bits.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let digits = text.strip_prefix('v').unwrap_or(text);
        let end = digits.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
        let (major, rest) = digits.split_at(end);
        let minor = rest.strip_prefix('.').unwrap_or(rest);
        if major.is_empty() || !minor.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let number = |text: &str| if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| error()) };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }

    /// Says whether a lifecycle that supports `self` can serve a request for `wanted`: the same version while the
    /// major number is 0, else the same major number and a minor number not above.
    pub(super) fn serves(self, wanted: Self) -> bool {
        self.major == wanted.major
            && if self.major == 0 { self.minor == wanted.minor } else { self.minor >= wanted.minor }
    }

    /// Says whether this version is `other` or came after it.
    pub(super) fn is_at_least(self, other: Self) -> bool {
        (self.major, self.minor) >= (other.major, other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_that_the_reference_reads() {
        for (text, version) in [
            ("0.12", Version::new(0, 12)),
            ("v0.12", Version::new(0, 12)),
            ("0.012", Version::new(0, 12)),
            ("1", Version::new(1, 0)),
            ("0.", Version::new(0, 0)),
            ("v2.3", Version::new(2, 3)),
        ] {
            assert_eq!(Version::parse(text), Ok(version), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "v", "abc", "0.x", "0.1.2", " 0.1", "0.2wrongapiblabla", "-1", "99999999999.0"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }
}
