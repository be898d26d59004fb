//! `<layer>.toml` and store.toml. Clauses: buildpack.md#layer-content-metadata-toml, buildpack.md#storetoml-toml.

use super::read::Fields;
use super::write::Block;
use super::{Error, read};
use crate::model::layer::{LayerMetadata, LayerTypes};
use crate::model::value::Value;

/// What is wrong with a layer file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// It is no TOML, or a value has the wrong type.
    #[error(transparent)]
    Syntax(#[from] Error),
    /// `launch`, `build` or `cache` stand at the top level.
    #[error("the launch, cache and build flags should be in the types table")]
    TopLevelTypes,
}

/// Reads `<layer>.toml`.
pub fn parse(text: &str) -> Result<LayerMetadata, LayerError> {
    let (layer, misplaced) = read::toml(text, |root| {
        let types = root.section("types")?;
        let types =
            LayerTypes { build: types.flag("build")?, launch: types.flag("launch")?, cache: types.flag("cache")? };
        let layer = LayerMetadata { types, metadata: root.value("metadata") };
        Ok((layer, ["build", "launch", "cache"].iter().any(|key| root.has_exactly(key))))
    })?;
    if misplaced { Err(LayerError::TopLevelTypes) } else { Ok(layer) }
}

/// Writes `<layer>.toml` as the restorer leaves it: `metadata` alone; [`Value::Null`] is an empty text.
pub fn render_restored(metadata: &Value) -> String {
    Block::new().value("metadata", metadata).render()
}

/// Reads the `[metadata]` of store.toml; [`Value::Null`] if there is none.
pub fn parse_store(text: &str) -> Result<Value, Error> {
    read::toml(text, |root| Ok(store(root)))
}

/// Takes the `metadata` of a store: the reference takes what is no table for none.
pub(super) fn store(fields: &Fields<'_>) -> Value {
    fields.free_table("metadata").map_or(Value::Null, Value::Table)
}

/// Writes store.toml; [`Value::Null`] is an empty text.
pub fn render_store(metadata: &Value) -> String {
    Block::new().value("metadata", metadata).render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Table;

    #[test]
    fn reads_types_and_metadata() {
        let layer = parse("[types]\nlaunch = true\ncache = true\n[metadata]\nx = 1").unwrap();
        assert_eq!(layer.types, LayerTypes { build: false, launch: true, cache: true });
        assert_eq!(layer.metadata.as_table().unwrap()["x"], Value::Int(1));
        assert_eq!(parse("").unwrap(), LayerMetadata::default());
    }

    #[test]
    fn refuses_types_at_the_top_level() {
        for key in ["build", "launch", "cache"] {
            assert_eq!(parse(&format!("{key} = false")), Err(LayerError::TopLevelTypes), "{key}");
        }
    }

    #[test]
    fn refuses_types_that_are_no_booleans() {
        let error = parse("[types]\nbuild = 'yes'").unwrap_err();
        assert_eq!(
            error.to_string(),
            "toml: line 2 (last key \"types.build\"): incompatible types: TOML value has type string; destination has type boolean"
        );
    }

    #[test]
    fn a_restored_layer_has_its_metadata_alone() {
        assert_eq!(render_restored(&Value::Null), "");
        assert_eq!(render_restored(&Value::Table(Table::new())), "[metadata]\n");
        let metadata = Table::from([("i".to_owned(), Value::Int(3)), ("d".to_owned(), Value::String("x".into()))]);
        assert_eq!(render_restored(&Value::Table(metadata)), "[metadata]\n  d = \"x\"\n  i = 3\n");
    }

    #[test]
    fn metadata_may_be_anything() {
        for text in ["metadata = \"x\"\n", "metadata = 3\n", "metadata = [1, 2]\n", "metadata = false\n"] {
            assert_eq!(render_restored(&parse(text).unwrap().metadata), text);
        }
    }

    #[test]
    fn writes_the_store_that_it_reads() {
        let text = "[metadata]\n  k = 1.0\n  [metadata.t]\n    x = []\n";
        assert_eq!(render_store(&parse_store(text).unwrap()), text);
        assert_eq!((parse_store(""), render_store(&Value::Null)), (Ok(Value::Null), String::new()));
    }
}
