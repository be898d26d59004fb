//! Reads a document of either format into fields, with errors that name the key.
//!
//! Keys are found exactly, else in any case; unknown keys are ignored; an absent key and JSON's `null` are alike
//! (catalogue 1, section 1.10).

use super::Error;
use super::{syntax, value};
use crate::model::digest::DiffId;
use crate::model::id::ModuleId;
use crate::model::value::{Table, Value};

/// Why a well-formed document could not be taken.
#[derive(Debug)]
pub(super) enum Problem {
    /// A value has another type.
    Type { key: String, found: &'static str, wanted: Wanted },
    /// Something else, in words.
    Other(String),
}

/// What type a value should have had.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Text,
    Flag,
    Integer,
    List,
    Table,
}

/// Reads TOML.
pub(super) fn toml<T>(text: &str, decode: impl FnOnce(&Fields<'_>) -> Result<T, Problem>) -> Result<T, Error> {
    let table = value::table_from_toml(syntax::parse(text)?);
    decode(&Fields { table: &table, path: String::new() }).map_err(|problem| match problem {
        Problem::Other(words) => Error(words),
        Problem::Type { key, found, wanted: Wanted::Table } => {
            syntax::wrong_type(text, &key, &format!("type mismatch for {key}: expected table but found {found}"))
        }
        Problem::Type { key, found, wanted } => {
            let wanted = wanted.in_toml();
            let words = format!("incompatible types: TOML value has type {found}; destination has type {wanted}");
            syntax::wrong_type(text, &key, &words)
        }
    })
}

/// Reads JSON.
pub(super) fn json<T>(text: &[u8], decode: impl FnOnce(&Fields<'_>) -> Result<T, Problem>) -> Result<T, Error> {
    let document: super::json::Json = serde_json::from_slice(text).map_err(|error| Error(format!("json: {error}")))?;
    let table = match value::from_json(document) {
        Value::Table(table) => table,
        Value::Null => Table::new(),
        other => {
            let found = name_in_json(name(&other));
            return Err(Error(format!("json: cannot unmarshal {found} into a document of type object")));
        }
    };
    decode(&Fields { table: &table, path: String::new() }).map_err(|problem| match problem {
        Problem::Other(words) => Error(words),
        Problem::Type { key, found, wanted } => {
            let (found, wanted) = (name_in_json(found), wanted.in_json());
            Error(format!("json: cannot unmarshal {found} into field {key} of type {wanted}"))
        }
    })
}

/// Reads JSON that is a list of objects, as some answers are.
pub(super) fn json_list<T>(text: &[u8], decode: impl Fn(&Fields<'_>) -> Result<T, Problem>) -> Result<Vec<T>, Error> {
    // As if it were the only key of a document: so it is read, and told about, like every other list.
    let whole = [br#"{"list":"#, text, b"}"].concat();
    json(&whole, |root| root.tables("list")?.iter().map(decode).collect())
}

static EMPTY: Table = Table::new();

/// The keys of one table.
pub(super) struct Fields<'v> {
    table: &'v Table,
    path: String,
}

impl<'v> Fields<'v> {
    /// Finds a key; `null` counts as absent.
    fn find(&self, key: &str) -> Option<(&'v str, &'v Value)> {
        let exact = self.table.get_key_value(key);
        let found = exact.or_else(|| self.table.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)));
        found.map(|(name, value)| (name.as_str(), value)).filter(|(_, value)| !matches!(value, Value::Null))
    }

    /// Finds a key and takes its value, or says that the value has the wrong type.
    fn take<T>(
        &self,
        key: &str,
        wanted: Wanted,
        take: impl FnOnce(&'v Value, &str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some((name, value)) = self.find(key) else { return Ok(None) };
        let path = join(&self.path, name);
        match take(value, &path) {
            Some(taken) => Ok(Some(taken)),
            None => Err(Problem::Type { key: path, found: self::name(value), wanted }),
        }
    }

    /// Says whether there is such a key, in exactly this spelling.
    pub(super) fn has_exactly(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Says whether there is such a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Every key.
    pub(super) fn names(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Text that may be absent.
    pub(super) fn text_if_any(&self, key: &str) -> Result<Option<String>, Problem> {
        self.take(key, Wanted::Text, |value, _| value.as_str().map(str::to_owned))
    }

    /// Text; empty if absent.
    pub(super) fn text(&self, key: &str) -> Result<String, Problem> {
        Ok(self.text_if_any(key)?.unwrap_or_default())
    }

    /// A boolean that may be absent.
    pub(super) fn flag_if_any(&self, key: &str) -> Result<Option<bool>, Problem> {
        self.take(key, Wanted::Flag, |value, _| if let Value::Bool(flag) = value { Some(*flag) } else { None })
    }

    /// A boolean; false if absent.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Problem> {
        Ok(self.flag_if_any(key)?.unwrap_or_default())
    }

    /// A number of things or bytes; 0 if absent.
    pub(super) fn size(&self, key: &str) -> Result<u64, Problem> {
        let size = self.take(key, Wanted::Integer, |value, _| match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        })?;
        Ok(size.unwrap_or_default())
    }

    /// A list of texts that may be absent.
    pub(super) fn texts_if_any(&self, key: &str) -> Result<Option<Vec<String>>, Problem> {
        let Some(items) = self.items(key)? else { return Ok(None) };
        let (name, items) = items;
        let texts = items.iter().map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            other => Err(Problem::Type { key: name.clone(), found: self::name(other), wanted: Wanted::Text }),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// A list of texts; empty if absent.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, Problem> {
        Ok(self.texts_if_any(key)?.unwrap_or_default())
    }

    /// A table that may be absent.
    pub(super) fn table(&self, key: &str) -> Result<Option<Fields<'v>>, Problem> {
        self.take(key, Wanted::Table, |value, path| {
            value.as_table().map(|table| Fields { table, path: path.to_owned() })
        })
    }

    /// A table; empty if absent.
    pub(super) fn section(&self, key: &str) -> Result<Fields<'v>, Problem> {
        Ok(self.table(key)?.unwrap_or(Fields { table: &EMPTY, path: String::new() }))
    }

    /// A list of tables; empty if absent.
    pub(super) fn tables(&self, key: &str) -> Result<Vec<Fields<'v>>, Problem> {
        let Some((path, items)) = self.items(key)? else { return Ok(Vec::new()) };
        let tables = items.iter().map(|item| match item {
            Value::Table(table) => Ok(Fields { table, path: path.clone() }),
            Value::Null => Ok(Fields { table: &EMPTY, path: path.clone() }),
            other => Err(Problem::Type { key: path.clone(), found: self::name(other), wanted: Wanted::Table }),
        });
        tables.collect()
    }

    /// Every key of this table with the table behind it.
    pub(super) fn entries(&self) -> Result<Vec<(String, Fields<'v>)>, Problem> {
        self.table
            .keys()
            .filter_map(|key| Some(self.table(key).transpose()?.map(|table| (key.clone(), table))))
            .collect()
    }

    /// Every key of this table with the text behind it.
    pub(super) fn text_entries(&self) -> Result<Vec<(String, String)>, Problem> {
        self.table.keys().map(|key| Ok((key.clone(), self.text(key)?))).collect()
    }

    /// A free-form table that may be absent. The reference takes anything else for absent, too.
    pub(super) fn free_table(&self, key: &str) -> Option<Table> {
        self.find(key)?.1.as_table().cloned()
    }

    /// Any value; [`Value::Null`] if absent.
    pub(super) fn value(&self, key: &str) -> Value {
        self.find(key).map_or(Value::Null, |(_, value)| value.clone())
    }

    /// The id of a buildpack or extension.
    pub(super) fn id(&self, key: &str) -> Result<ModuleId, Problem> {
        ModuleId::parse(&self.text(key)?).map_err(|error| Problem::Other(error.to_string()))
    }

    /// A diff id that may be absent. Other texts than `sha256:<hex>` name no layer that could be found again, so they
    /// count as absent.
    pub(super) fn diff_id(&self, key: &str) -> Result<Option<DiffId>, Problem> {
        Ok(DiffId::parse(&self.text(key)?).ok())
    }

    /// An error about a key's value.
    pub(super) fn mismatch(&self, key: &str, wanted: Wanted) -> Problem {
        let found = self.find(key);
        let key = join(&self.path, found.map_or(key, |(name, _)| name));
        Problem::Type { key, found: found.map_or("<nil>", |(_, value)| self::name(value)), wanted }
    }

    fn items(&self, key: &str) -> Result<Option<(String, &'v [Value])>, Problem> {
        self.take(key, Wanted::List, |value, path| match value {
            Value::Array(items) => Some((path.to_owned(), items.as_slice())),
            _ => None,
        })
    }
}

impl Wanted {
    fn in_toml(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Flag => "boolean",
            Self::Integer => "integer",
            Self::List => "slice",
            Self::Table => "map",
        }
    }

    fn in_json(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Flag => "bool",
            Self::Integer => "number",
            Self::List => "array",
            Self::Table => "object",
        }
    }
}

/// Appends a key to a path of keys, as error messages show it.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What the reference calls the type of a TOML value.
fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Datetime(_) => "time.Time",
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| matches!(item, Value::Table(_))) => {
            "[]map[string]any"
        }
        Value::Array(_) => "[]any",
        Value::Table(_) => "map[string]any",
    }
}

fn name_in_json(name: &'static str) -> &'static str {
    match name {
        "int64" | "float64" => "number",
        "[]any" | "[]map[string]any" => "array",
        "map[string]any" => "object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: std::fmt::Debug>(text: &str, decode: impl FnOnce(&Fields<'_>) -> Result<T, Problem>) -> String {
        toml(text, decode).map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
    }

    #[test]
    fn finds_a_key_exactly_and_else_in_any_case() {
        assert_eq!(read("ID = 'x'", |root| root.text("id")), "\"x\"");
        assert_eq!(read("ID = 'x'\nid = 'y'", |root| root.text("id")), "\"y\"");
    }

    #[test]
    fn names_the_line_and_types_of_a_mismatch() {
        let key = |root: &Fields<'_>| root.table("a")?.map(|a| a.flag("b")).transpose();
        assert_eq!(
            read("\n\n\n\n[a]\n\nb = 'x'", key),
            "toml: line 7 (last key \"a.b\"): incompatible types: TOML value has type string; destination has type boolean"
        );
        assert_eq!(
            read("A.B = 1979-05-27", key),
            "toml: line 1 (last key \"A.B\"): incompatible types: TOML value has type time.Time; destination has type boolean"
        );
        assert_eq!(
            read("a = [{}]", key),
            "toml: line 1 (last key \"a\"): type mismatch for a: expected table but found []map[string]any"
        );
    }

    #[test]
    fn names_the_list_when_an_item_has_the_wrong_type() {
        assert_eq!(
            read("l = [1]", |root| root.texts("l")),
            "toml: line 1 (last key \"l\"): incompatible types: TOML value has type int64; destination has type string"
        );
        assert_eq!(
            read("l = 1.5", |root| root.texts("l")),
            "toml: line 1 (last key \"l\"): incompatible types: TOML value has type float64; destination has type slice"
        );
        let flags = |root: &Fields<'_>| root.tables("t")?.iter().map(|t| t.flag("x")).collect::<Result<Vec<_>, _>>();
        assert_eq!(
            read("[[t]]\nx = true\n[[t]]\nx = 1", flags),
            "toml: line 4 (last key \"t.x\"): incompatible types: TOML value has type int64; destination has type boolean"
        );
    }

    #[test]
    fn null_is_absent_in_json() {
        let text = |text: &str| json(text.as_bytes(), |root| root.text_if_any("a"));
        assert_eq!(text("{\"a\":null}"), Ok(None));
        assert_eq!(text("null"), Ok(None));
        assert_eq!(text("{\"a\":\"\"}"), Ok(Some(String::new())));
        assert_eq!(
            text("{\"a\":1}"),
            Err(Error("json: cannot unmarshal number into field a of type string".to_owned()))
        );
        assert_eq!(text("[]"), Err(Error("json: cannot unmarshal array into a document of type object".to_owned())));
        assert!(text("{} x").is_err());
        assert!(text(&"[".repeat(100_000)).is_err());
    }
}
