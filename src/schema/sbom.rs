//! sbom.legacy.json: the bills of materials of the time before SBOM files.

use super::json;
use super::label::LegacyBom;
use crate::model::launch::BomEntry;

/// Writes sbom.legacy.json: a list and a newline, or `null` when there are no entries.
pub fn render_legacy(entries: &[BomEntry]) -> String {
    format!("{}\n", json::render(&LegacyBom::of(entries)))
}
