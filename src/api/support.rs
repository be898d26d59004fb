//! Which versions this lifecycle supports, and negotiation.
//!
//! Clauses: platform.md#platform-api-compatibility, buildpack.md#buildpack-api-version, policy P35.

use super::version::Version;

/// From which version on, or until which, a feature exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// In this version and every later one.
    Since(u32, u32),
    /// In every version before this one.
    Until(u32, u32),
}

impl Gate {
    /// Says whether the gate is open at a version.
    pub(super) fn is_open(self, version: Version) -> bool {
        match self {
            Self::Since(major, minor) => version.is_at_least(Version::new(major, minor)),
            Self::Until(major, minor) => !version.is_at_least(Version::new(major, minor)),
        }
    }

    /// Says whether the gate is open at a Platform API.
    pub fn at_platform(self, api: super::PlatformApi) -> bool {
        self.is_open(api.version())
    }
}

/// One row of a feature table.
#[derive(Clone, Copy, Debug)]
pub struct Row<F> {
    /// What is gated.
    pub feature: F,
    /// When it exists.
    pub gate: Gate,
    /// The clause that says so.
    pub clause: &'static str,
}

/// The versions that a lifecycle offers for one of the two APIs, each list in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct Support<'a> {
    /// Every version that is accepted.
    pub supported: &'a [Version],
    /// Those of them that draw a warning.
    pub deprecated: &'a [Version],
}

/// The result of a successful negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version asked for.
    pub version: Version,
    /// It is on its way out: `CNB_DEPRECATION_MODE` decides what to do.
    pub deprecated: bool,
}

/// What becomes of who asks for a deprecated version: `CNB_DEPRECATION_MODE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeprecationMode {
    /// It is served and nothing said.
    Quiet,
    /// It is served with a warning. So it is for values that are none, as in the reference.
    #[default]
    Warn,
    /// It is not served.
    Error,
}

impl DeprecationMode {
    /// Reads the variable's value.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("quiet") => Self::Quiet,
            Some("error") => Self::Error,
            _ => Self::Warn,
        }
    }
}

/// Why a requested API version cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// No version was given, or only blanks.
    #[error("no API version was given")]
    Missing,
    /// The text is no version.
    #[error("'{0}' is no API version")]
    Unparsable(String),
    /// The version is none of those supported.
    #[error("API version '{0}' is incompatible with the lifecycle")]
    Unsupported(String),
}

impl Support<'_> {
    /// Finds the version that a platform, buildpack or extension asks for.
    ///
    /// # Errors
    /// The text is empty or no version, or the version is not supported.
    pub fn negotiate(&self, requested: Option<&str>) -> Result<Negotiated, NegotiationError> {
        let text = requested.filter(|text| !text.trim().is_empty()).ok_or(NegotiationError::Missing)?;
        let version = Version::parse(text).map_err(|_| NegotiationError::Unparsable(text.to_owned()))?;
        if !self.supported.iter().any(|offered| offered.serves(version)) {
            return Err(NegotiationError::Unsupported(text.to_owned()));
        }
        let deprecated = self.deprecated.iter().any(|offered| offered.serves(version));
        Ok(Negotiated { version, deprecated })
    }
}

/// Makes the list `0.<first>` to `0.<last>`.
pub(super) const fn zero<const N: usize>(first: u32) -> [Version; N] {
    let mut list = [Version::new(0, 0); N];
    let mut index = 0;
    let mut minor = first;
    while index < N {
        list[index] = Version::new(0, minor);
        index += 1;
        minor += 1;
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORT: Support<'_> = Support {
        supported: &[Version::new(0, 7), Version::new(0, 8), Version::new(1, 2)],
        deprecated: &[Version::new(0, 7)],
    };

    #[test]
    fn serves_equal_versions_below_one_and_lower_minors_above() {
        assert_eq!(SUPPORT.negotiate(Some("v0.8")).map(|n| n.deprecated), Ok(false));
        assert_eq!(SUPPORT.negotiate(Some("1.1")).map(|n| n.version), Ok(Version::new(1, 1)));
        assert_eq!(SUPPORT.negotiate(Some("1.3")), Err(NegotiationError::Unsupported("1.3".into())));
        assert_eq!(SUPPORT.negotiate(Some("0.9")), Err(NegotiationError::Unsupported("0.9".into())));
    }

    #[test]
    fn tells_a_deprecated_version() {
        assert_eq!(SUPPORT.negotiate(Some("0.7")).map(|n| n.deprecated), Ok(true));
    }

    #[test]
    fn refuses_blanks_as_missing() {
        assert_eq!(SUPPORT.negotiate(Some(" ")), Err(NegotiationError::Missing));
        assert_eq!(SUPPORT.negotiate(None), Err(NegotiationError::Missing));
    }
}
