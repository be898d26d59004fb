//! What an export tells the platform: report.toml.
//!
//! Clause: platform.md#reporttoml-toml.

use super::digest::Digest;
use super::launch::BomEntry;

/// The contents of report.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Names under which the image was written, or their paths in a layout.
    pub tags: Vec<String>,
    /// The manifest's digest; registries only.
    pub digest: Option<Digest>,
    /// The image id, 64 hex digits without a prefix; daemons only.
    pub image_id: Option<String>,
    /// The manifest's size in bytes; 0 if unknown.
    pub manifest_size: u64,
    /// `[build] bom`; only below Platform API 0.9.
    pub build_bom: Vec<BomEntry>,
}
