//! JSON objects of image documents: empty values are left out.

use std::collections::BTreeMap;

use serde_json::Map;

use crate::schema::json::Json;
use crate::schema::read::{Fields, Problem};

/// A JSON object on its way into a document: its keys in the order in which they are written.
pub(super) struct Object(pub(super) Map<String, Json>);

impl Object {
    pub(super) fn new() -> Self {
        Self(Map::new())
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn with_any(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.with(key, text) }
    }

    pub(super) fn with_list(self, key: &str, texts: &[String]) -> Self {
        if texts.is_empty() { self } else { self.with(key, texts.to_vec()) }
    }

    pub(super) fn with_entries(self, key: &str, entries: &BTreeMap<String, String>) -> Self {
        if entries.is_empty() {
            return self;
        }
        let object: Map<String, Json> = entries.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        self.with(key, object)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// Reads an object of texts; empty if absent.
pub(super) fn texts_by_key(fields: &Fields<'_>, key: &str) -> Result<BTreeMap<String, String>, Problem> {
    Ok(fields.section(key)?.text_entries()?.into_iter().collect())
}
