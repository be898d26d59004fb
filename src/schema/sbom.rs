//! sbom.legacy.json: the bills of materials of the time before SBOM files.

use super::json;
use super::label::LegacyBom;
use crate::model::launch::BomEntry;

/// Writes sbom.legacy.json: a list and a newline, or `null` when there are no entries.
pub fn render_legacy(entries: &[BomEntry]) -> String {
    format!("{}\n", json::render(&LegacyBom::of(entries)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ModuleId;
    use crate::model::launch::BomSource;

    #[test]
    fn writes_a_list_or_null_and_a_newline() {
        assert_eq!(render_legacy(&[]), "null\n");
        let entry = BomEntry {
            name: "n".into(),
            version: None,
            metadata: None,
            buildpack: Some(BomSource { id: ModuleId::parse("b").unwrap(), version: "1".into() }),
        };
        let expected = r#"[{"name":"n","metadata":null,"buildpack":{"id":"b","version":"1"}}]"#;
        assert_eq!(render_legacy(&[entry]), format!("{expected}\n"));
    }
}
