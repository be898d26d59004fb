//! sbom.legacy.json.

use crate::model::launch::BomEntry;

/// Writes sbom.legacy.json: a list and a newline, or `null` when there are no entries.
pub fn render_legacy(_entries: &[BomEntry]) -> String {
    unimplemented!()
}
