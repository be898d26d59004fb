//! The Platform API: its versions and what each brought.
//!
//! Clause: platform.md; policy P35 for 0.16.

use std::fmt;

use super::support::{Gate, Negotiated, NegotiationError, Row, Support, zero};
use super::version::Version;

/// A Platform API version that was negotiated and is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlatformApi(Version);

/// What differs between versions of the Platform API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlatformFeature {
    /// SBOM files are a layer of their own, restored and exported.
    SbomFiles,
    /// `SOURCE_DATE_EPOCH` sets the creation time.
    SourceDateEpoch,
    /// The build metadata label is written without `bom`, and legacy BOM entries go to `sbom.legacy.json`.
    LegacyBomFiles,
    /// Legacy BOM entries stay in metadata.toml, report.toml and the label.
    BomInMetadata,
    /// `command` of a process is a list.
    CommandLists,
    /// The creator restores even with `-skip-restore`.
    CreatorAlwaysRestores,
    /// The restorer resolves the build image and the run image of a build with extensions.
    RestorerResolvesImages,
    /// The exporter adds the SBOMs of lifecycle and launcher.
    LifecycleSbom,
    /// run.toml takes the place of stack.toml.
    RunToml,
    /// analyzed.toml names the run image and its target.
    RunImageTarget,
    /// Buildpacks are matched against the target of the run image.
    TargetChecks,
    /// Layers carry history texts.
    LayerHistory,
    /// Layers of the extended run image are exported.
    ExtensionLayers,
    /// The rebaser checks targets and names, and copies `io.buildpacks.base.*`.
    RebaseTargets,
    /// Extensions need no experimental mode.
    ExtensionsStable,
    /// Generated files lie in a folder for each extension.
    GeneratedByExtension,
    /// The old cache image is kept.
    KeepsOldCacheImage,
    /// Layers for launch and cache are restored from the cache alone when the app image is gone.
    LaunchCacheLayersFromCache,
    /// The restorer checks that the chosen run image can be read.
    RestorerChecksRunImage,
    /// Execution environments choose buildpacks and processes.
    ExecEnv,
    /// system.toml adds buildpacks to each group.
    SystemBuildpacks,
    /// `CNB_OTEL_LOG_PATH` and `CNB_OTEL_TRACEPARENT` are part of the contract.
    OtelVariables,
}

use Gate::{Since, Until};
use PlatformFeature as F;

const fn row(feature: F, gate: Gate, clause: &'static str) -> Row<F> {
    Row { feature, gate, clause }
}

/// Every difference between versions of the Platform API that phases ask for. Flags are gated in `cli::inputs`.
pub const PLATFORM_FEATURES: &[Row<F>] = &[
    row(F::SbomFiles, Since(0, 8), "platform.md#exporter"),
    row(F::SourceDateEpoch, Since(0, 9), "platform.md#exporter"),
    row(F::LegacyBomFiles, Since(0, 9), "platform.md#builder"),
    row(F::BomInMetadata, Until(0, 9), "platform.md#metadatatoml-toml"),
    row(F::CommandLists, Since(0, 10), "platform.md#metadatatoml-toml"),
    row(F::CreatorAlwaysRestores, Since(0, 10), "platform.md#creator"),
    row(F::RestorerResolvesImages, Since(0, 10), "platform.md#restorer"),
    row(F::LifecycleSbom, Since(0, 11), "platform.md#exporter"),
    row(F::RunToml, Since(0, 12), "platform.md#runtoml-toml"),
    row(F::RunImageTarget, Since(0, 12), "platform.md#analyzedtoml-toml"),
    row(F::TargetChecks, Since(0, 12), "platform.md#detector"),
    row(F::LayerHistory, Since(0, 12), "platform.md#exporter"),
    row(F::ExtensionLayers, Since(0, 12), "platform.md#exporter"),
    row(F::RebaseTargets, Since(0, 12), "platform.md#rebaser"),
    row(F::ExtensionsStable, Since(0, 13), "platform.md#extender-optional"),
    row(F::GeneratedByExtension, Since(0, 13), "platform.md#detector"),
    row(F::KeepsOldCacheImage, Since(0, 13), "platform.md#exporter"),
    row(F::LaunchCacheLayersFromCache, Since(0, 14), "platform.md#restorer"),
    row(F::RestorerChecksRunImage, Since(0, 14), "platform.md#restorer"),
    row(F::ExecEnv, Since(0, 15), "platform.md#detector"),
    row(F::SystemBuildpacks, Since(0, 15), "platform.md#systemtoml-toml"),
    row(F::OtelVariables, Since(0, 16), "telemetry.md#T14"),
];

const SUPPORTED: [Version; 10] = zero(7);

impl PlatformFeature {
    /// Says whether a version has this feature, also one that is not served: an image keeps the one it was made at.
    pub fn is_of(self, version: Version) -> bool {
        PLATFORM_FEATURES.iter().any(|row| row.feature == self && row.gate.is_open(version))
    }
}

impl PlatformApi {
    /// The versions offered to platforms.
    pub const SUPPORT: Support<'static> = Support { supported: &SUPPORTED, deprecated: &[] };

    /// Negotiates the version that the platform asks for in `CNB_PLATFORM_API`.
    ///
    /// # Errors
    /// As [`Support::negotiate`].
    pub fn negotiate(requested: Option<&str>) -> Result<Self, NegotiationError> {
        Self::SUPPORT.negotiate(requested).map(Self::from)
    }

    /// Says whether this version has a feature.
    pub fn has(self, feature: PlatformFeature) -> bool {
        feature.is_of(self.0)
    }

    /// The version for messages, labels and the environment of the app.
    pub fn version(self) -> Version {
        self.0
    }

    /// Every supported version, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        SUPPORTED.into_iter().map(Self)
    }
}

impl From<Negotiated> for PlatformApi {
    fn from(negotiated: Negotiated) -> Self {
        Self(negotiated.version)
    }
}

impl fmt::Display for PlatformApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_flips_exactly_once() {
        for row in PLATFORM_FEATURES {
            let states: Vec<bool> = PlatformApi::all().map(|api| api.has(row.feature)).collect();
            let flips = states.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(flips, 1, "{:?}: {states:?}", row.feature);
        }
    }

    #[test]
    fn every_feature_has_one_row() {
        for row in PLATFORM_FEATURES {
            assert_eq!(PLATFORM_FEATURES.iter().filter(|other| other.feature == row.feature).count(), 1);
        }
    }
}
