//! report.toml. Clause: platform.md#reporttoml-toml.

use super::wire::bom_block;
use super::write::Block;
use crate::model::digest::Digest;
use crate::model::report::Report;

/// Writes report.toml.
pub fn render(report: &Report) -> String {
    let document = if report.build_bom.is_empty() {
        Block::new()
    } else {
        Block::new().table("build", Block::new().tables("bom", report.build_bom.iter().map(bom_block)))
    };
    let image = Block::new()
        .texts("tags", &report.tags)
        .text_if_any("image-id", report.image_id.as_deref().unwrap_or_default())
        .text_if_any("digest", report.digest.as_ref().map_or("", Digest::as_str));
    let image = match report.manifest_size {
        0 => image,
        size => image.raw("manifest-size", size.to_string()),
    };
    document.table("image", image).render()
}
