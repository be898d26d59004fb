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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ModuleId;
    use crate::model::launch::{BomEntry, BomSource};
    use crate::model::value::{Table, Value};

    #[test]
    fn writes_what_each_kind_of_export_knows() {
        let tags = vec!["a".to_owned(), "b".to_owned()];
        let digest = format!("sha256:{}", "a".repeat(64));
        let registry = Report {
            tags: tags.clone(),
            digest: Digest::parse(&digest).ok(),
            manifest_size: 1866,
            ..Report::default()
        };
        let expected = format!("[image]\n  tags = [\"a\", \"b\"]\n  digest = \"{digest}\"\n  manifest-size = 1866\n");
        assert_eq!(render(&registry), expected);
        let daemon = Report { tags: tags.clone(), image_id: Some("0a".into()), ..Report::default() };
        assert_eq!(render(&daemon), "[image]\n  tags = [\"a\", \"b\"]\n  image-id = \"0a\"\n");
        let layout = Report { tags, ..Report::default() };
        assert_eq!(render(&layout), "[image]\n  tags = [\"a\", \"b\"]\n");
    }

    #[test]
    fn the_bill_of_materials_comes_first() {
        let entry = BomEntry {
            name: "n".into(),
            version: None,
            metadata: Some(Table::from([("a".into(), Value::Int(1))])),
            buildpack: Some(BomSource { id: ModuleId::parse("b/one").unwrap(), version: "1".into() }),
        };
        let report = Report { tags: vec!["a".into()], build_bom: vec![entry], ..Report::default() };
        let expected = r#"[build]

  [[build.bom]]
    name = "n"
    [build.bom.metadata]
      a = 1
    [build.bom.buildpack]
      id = "b/one"
      version = "1"

[image]
  tags = ["a"]
"#;
        assert_eq!(render(&report), expected);
    }
}
