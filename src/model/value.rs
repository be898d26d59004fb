//! A free-form value, as `[metadata]` tables hold it.

use std::collections::BTreeMap;

/// A table with its keys in byte order, the order in which every document is written.
pub type Table = BTreeMap<String, Value>;

/// Any value that TOML or JSON can hold.
///
/// Integers stay integers on the way through a label (policy P37).
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// JSON's `null`; TOML has none.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    String(String),
    /// A TOML date, time or both, in its own text form; a string in JSON.
    Datetime(String),
    /// A list.
    Array(Vec<Value>),
    /// A table.
    Table(Table),
}

impl Value {
    /// The table, if this is one.
    pub fn as_table(&self) -> Option<&Table> {
        if let Self::Table(table) = self { Some(table) } else { None }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}
