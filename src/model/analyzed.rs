//! What analysis found: analyzed.toml.
//!
//! Clause: platform.md#analyzedtoml-toml.

use super::app_metadata::AppMetadata;
use super::digest::DiffId;
use super::target::RunTarget;

/// The contents of analyzed.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analyzed {
    /// `[image] reference`: the previous image's very bytes; empty if there is none.
    pub previous_image: String,
    /// `[build-image] reference`, once the restorer resolved it.
    pub build_image: Option<String>,
    /// `[run-image]`.
    pub run_image: Option<AnalyzedRunImage>,
    /// `[metadata]`: the previous image's label.
    pub metadata: AppMetadata,
    /// `unsound-cache-layers`, of this lifecycle alone: layers that the restorer could not take out of the cache.
    pub unsound_cache_layers: Vec<DiffId>,
}

/// `[run-image]` of analyzed.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnalyzedRunImage {
    /// Its very bytes: digest reference, daemon image id or layout path with digest; empty if it was not found.
    pub reference: String,
    /// Its name as it was given; empty below Platform API 0.12.
    pub image: String,
    /// Extensions will add layers to it.
    pub extend: bool,
    /// What it offers; `None` below Platform API 0.12.
    pub target: Option<RunTarget>,
}
