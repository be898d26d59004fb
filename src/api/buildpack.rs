//! The Buildpack API: its versions and what each brought.
//!
//! Clause: buildpack.md; policy P35 for 0.13.

use std::fmt;

use super::support::{Gate, Negotiated, NegotiationError, Row, Support, zero};
use super::version::Version;

/// A Buildpack API version that was negotiated with a buildpack or extension and is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BuildpackApi(Version);

/// What differs between versions of the Buildpack API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuildpackFeature {
    /// Positional arguments are given as variables, too.
    PathVariables,
    /// A process may name its working directory.
    ProcessWorkingDir,
    /// `command` is a list and `direct` is no key of launch.toml any more.
    ProcessCommandLists,
    /// A user's arguments replace the default ones of a process.
    OverridableArguments,
    /// `CNB_TARGET_*` are set.
    TargetVariables,
    /// The bionic stack is read as a target even beside other stacks.
    BionicBesideOtherStacks,
    /// `CNB_EXEC_ENV` is set and `exec-env` of the descriptor is honoured.
    ExecEnv,
}

use BuildpackFeature as F;
use Gate::Since;

const fn row(feature: F, gate: Gate, clause: &'static str) -> Row<F> {
    Row { feature, gate, clause }
}

/// Every difference between versions of the Buildpack API.
pub const BUILDPACK_FEATURES: &[Row<F>] = &[
    row(F::PathVariables, Since(0, 8), "buildpack.md#detection"),
    row(F::ProcessWorkingDir, Since(0, 8), "buildpack.md#launchtoml-toml"),
    row(F::ProcessCommandLists, Since(0, 9), "buildpack.md#launchtoml-toml"),
    row(F::OverridableArguments, Since(0, 9), "buildpack.md#launchtoml-toml"),
    row(F::TargetVariables, Since(0, 10), "buildpack.md#targets"),
    row(F::BionicBesideOtherStacks, Since(0, 10), "buildpack.md#buildpacktoml-toml"),
    row(F::ExecEnv, Since(0, 12), "buildpack.md#execution-environments"),
];

const SUPPORTED: [Version; 7] = zero(7);

impl BuildpackApi {
    /// The versions offered to buildpacks and extensions.
    pub const SUPPORT: Support<'static> = Support { supported: &SUPPORTED, deprecated: &[] };

    /// Negotiates the version that a descriptor declares.
    ///
    /// # Errors
    /// As [`Support::negotiate`].
    pub fn negotiate(requested: Option<&str>) -> Result<Self, NegotiationError> {
        Self::SUPPORT.negotiate(requested).map(Self::from)
    }

    /// Says whether this version has a feature.
    pub fn has(self, feature: BuildpackFeature) -> bool {
        BUILDPACK_FEATURES.iter().any(|row| row.feature == feature && row.gate.is_open(self.0))
    }

    /// The version for messages.
    pub fn version(self) -> Version {
        self.0
    }

    /// Every supported version, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        SUPPORTED.into_iter().map(Self)
    }
}

impl From<Negotiated> for BuildpackApi {
    fn from(negotiated: Negotiated) -> Self {
        Self(negotiated.version)
    }
}

impl fmt::Display for BuildpackApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_flips_exactly_once() {
        for row in BUILDPACK_FEATURES {
            let states: Vec<bool> = BuildpackApi::all().map(|api| api.has(row.feature)).collect();
            assert_eq!(states.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1, "{:?}", row.feature);
        }
    }
}
