//! project-metadata.toml. Clause: platform.md#project-metadatatoml-toml.

use serde_json::Map;

use super::json::{self, Json};
use super::value::table_to_json;
use super::{Error, read};
use crate::model::value::Table;

/// Reads project-metadata.toml and writes the label `io.buildpacks.project.metadata`.
pub fn to_label(text: &str) -> Result<String, Error> {
    let source = read::toml(text, |root| {
        let Some(source) = root.table("source")? else { return Ok(None) };
        Ok(Some((source.text("type")?, source.free_table("version"), source.free_table("metadata"))))
    })?;
    let mut label = Map::new();
    if let Some((kind, version, metadata)) = source {
        let mut source = Map::new();
        if !kind.is_empty() {
            source.insert("type".to_owned(), kind.into());
        }
        for (key, table) in [("version", version), ("metadata", metadata)] {
            if let Some(table) = table.filter(|table: &Table| !table.is_empty()) {
                source.insert(key.to_owned(), table_to_json(&table)?);
            }
        }
        label.insert("source".to_owned(), Json::Object(source));
    }
    Ok(json::render(&label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_known_keys_in_order() {
        for (text, label) in [
            ("", "{}"),
            ("[source]", r#"{"source":{}}"#),
            ("[source]\ntype = ''\nversion = {}", r#"{"source":{}}"#),
            (
                "unknown = 1\n[source]\nother = 2\nmetadata.url = 'http://x?a&b'\nmetadata.refs = ['m']\nversion.commit = 'c'\ntype = 'git'",
                r#"{"source":{"type":"git","version":{"commit":"c"},"metadata":{"refs":["m"],"url":"http://x?a\u0026b"}}}"#,
            ),
        ] {
            assert_eq!(to_label(text).unwrap(), label, "{text}");
        }
    }

    #[test]
    fn refuses_numbers_that_json_cannot_hold() {
        assert!(to_label("[source.version]\nx = nan").is_err());
    }
}
