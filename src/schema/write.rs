//! Writes TOML in the reference's form: plain keys first, then tables, two blanks of indent per level, the keys of
//! free-form tables sorted (catalogue 1, section 1.10).

use crate::model::value::{Table, Value};

/// A table on its way into a document: its keys in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Block(Vec<(String, Item)>);

#[derive(Clone, Debug)]
enum Item {
    /// Stands behind a `=`, finished.
    Plain(String),
    /// Has a header of its own.
    Table(Block),
    /// Has one header for each.
    Tables(Vec<Block>),
}

impl Block {
    /// Makes an empty table.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes a free-form table.
    pub(super) fn free(table: &Table) -> Self {
        Self(table.iter().filter_map(|(key, value)| Some((key.clone(), Item::of(value)?))).collect())
    }

    fn push(mut self, key: &str, item: Item) -> Self {
        self.0.push((key.to_owned(), item));
        self
    }

    /// Adds a finished value.
    pub(super) fn raw(self, key: &str, toml: String) -> Self {
        self.push(key, Item::Plain(toml))
    }

    /// Adds text, even when it is empty.
    pub(super) fn text(self, key: &str, text: &str) -> Self {
        self.raw(key, quoted(text))
    }

    /// Adds text that is not empty.
    pub(super) fn text_if_any(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.text(key, text) }
    }

    /// Adds a boolean.
    pub(super) fn flag(self, key: &str, flag: bool) -> Self {
        self.raw(key, flag.to_string())
    }

    /// Adds a boolean that is true.
    pub(super) fn flag_if_set(self, key: &str, flag: bool) -> Self {
        if flag { self.flag(key, true) } else { self }
    }

    /// Adds a list of texts, even when it is empty.
    pub(super) fn texts(self, key: &str, texts: &[String]) -> Self {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        self.raw(key, format!("[{}]", texts.join(", ")))
    }

    /// Adds a list of texts that is not empty.
    pub(super) fn texts_if_any(self, key: &str, texts: &[String]) -> Self {
        if texts.is_empty() { self } else { self.texts(key, texts) }
    }

    /// Adds a free-form value; nothing for [`Value::Null`].
    pub(super) fn value(self, key: &str, value: &Value) -> Self {
        match Item::of(value) {
            Some(item) => self.push(key, item),
            None => self,
        }
    }

    /// Adds a table.
    pub(super) fn table(self, key: &str, table: Block) -> Self {
        self.push(key, Item::Table(table))
    }

    /// Adds a table that is there.
    pub(super) fn table_if_any(self, key: &str, table: Option<Block>) -> Self {
        match table {
            Some(table) => self.table(key, table),
            None => self,
        }
    }

    /// Adds tables, each with a header; nothing if there are none.
    pub(super) fn tables(self, key: &str, tables: impl IntoIterator<Item = Block>) -> Self {
        let tables: Vec<Block> = tables.into_iter().collect();
        if tables.is_empty() { self } else { self.push(key, Item::Tables(tables)) }
    }

    /// Writes the document.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, "", 0);
        text
    }

    /// Writes the contents of the table with the dotted name `path`, which lies `depth` tables deep.
    fn write(&self, text: &mut String, path: &str, depth: usize) {
        let indent = "  ".repeat(depth);
        for (key, item) in &self.0 {
            if let Item::Plain(value) = item {
                push(text, &[&indent, &bare_or_quoted(key), " = ", value, "\n"]);
            }
        }
        for (key, item) in &self.0 {
            let key = bare_or_quoted(key);
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            match item {
                Item::Plain(_) => {}
                Item::Table(table) => {
                    if depth == 0 && !text.is_empty() {
                        text.push('\n');
                    }
                    push(text, &[&indent, "[", &path, "]\n"]);
                    table.write(text, &path, depth + 1);
                }
                Item::Tables(tables) => {
                    for table in tables {
                        if !text.is_empty() {
                            text.push('\n');
                        }
                        push(text, &[&indent, "[[", &path, "]]\n"]);
                        table.write(text, &path, depth + 1);
                    }
                }
            }
        }
    }
}

fn push(text: &mut String, pieces: &[&str]) {
    text.extend(pieces.iter().copied());
}

impl Item {
    /// Takes a free-form value; TOML has no null.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Table(table) => Some(Self::Table(Block::free(table))),
            Value::Array(items) => {
                let tables: Vec<Block> = items.iter().filter_map(Value::as_table).map(Block::free).collect();
                if !items.is_empty() && tables.len() == items.len() {
                    Some(Self::Tables(tables))
                } else {
                    inline(value).map(Self::Plain)
                }
            }
            plain => inline(plain).map(Self::Plain),
        }
    }
}

/// Writes a value on one line; nulls are left out.
fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::String(text) => quoted(text),
        Value::Datetime(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().filter_map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let (tables, plain): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| is_table(value));
            let entries = plain.into_iter().chain(tables);
            let entries =
                entries.filter_map(|(key, value)| Some(format!("{} = {}", bare_or_quoted(key), inline(value)?)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    })
}

/// Says whether a value is written behind plain keys.
fn is_table(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Value::Table(_))),
        _ => false,
    }
}

/// Prints a float: with a fraction or an exponent, so that it stays a float.
fn float(number: f64) -> String {
    if !number.is_finite() {
        let sign = if number.is_sign_negative() { "-" } else { "" };
        return format!("{sign}{}", if number.is_nan() { "nan" } else { "inf" });
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// Writes a basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\0'..='\u{1f}' | '\u{7f}' => quoted.extend(['\\', 'u', '0', '0', nibble(c, 4), nibble(c, 0)]),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// One hexadecimal digit of a control character.
fn nibble(c: char, shift: u32) -> char {
    char::from_digit(u32::from(c) >> shift & 0xf, 16).unwrap_or('0')
}

/// Writes a key.
fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { key.to_owned() } else { quoted(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Table {
        super::super::value::table_from_toml(text.parse().unwrap())
    }

    #[test]
    fn writes_free_form_tables_as_the_reference_does() {
        let table = parsed(
            r#"
            i = 3
            b = true
            neg = -5
            s = "q\"\\\t\n\u0001\u007f<&>é"
            empty = []
            arr = [1, 2.0, "x", [1, []], {z = 1, a = {q = 2}, b = [{c = 1}]}]
            aot = [{x = 1}, {x = 2, y = {z = []}}]
            nest = [[{a = 1}]]
            "odd key" = 1
            "" = 2
            "a.b" = {"c d" = 1}
            tab = {}
            d2 = 1979-05-27T00:32:00.999990-07:00
            d4 = 1979-05-27
            d6 = 1979-05-27 07:32Z
            d8 = 07:32
            [sub.deep]
            x = 1
            [[sub.list]]
            q = 1
            [[sub.list.inner]]
            r = 2
            [[sub.list]]
            "#,
        );
        let expected = r#"[metadata]
  "" = 2
  arr = [1, 2.0, "x", [1, []], {z = 1, a = {q = 2}, b = [{c = 1}]}]
  b = true
  d2 = 1979-05-27T00:32:00.99999-07:00
  d4 = 1979-05-27
  d6 = 1979-05-27T07:32:00Z
  d8 = 07:32:00
  empty = []
  i = 3
  neg = -5
  nest = [[{a = 1}]]
  "odd key" = 1
  s = "q\"\\\t\n\u0001\u007f<&>é"
  [metadata."a.b"]
    "c d" = 1

  [[metadata.aot]]
    x = 1

  [[metadata.aot]]
    x = 2
    [metadata.aot.y]
      z = []
  [metadata.sub]
    [metadata.sub.deep]
      x = 1

    [[metadata.sub.list]]
      q = 1

      [[metadata.sub.list.inner]]
        r = 2

    [[metadata.sub.list]]
  [metadata.tab]
"#;
        assert_eq!(Block::new().table("metadata", Block::free(&table)).render(), expected);
    }

    #[test]
    fn writes_floats_as_the_reference_does() {
        for (number, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e30, "1e+30"),
            (1e-7, "1e-07"),
            (123_456_789.0, "1.23456789e+08"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(number), expected);
        }
    }

    #[test]
    fn leaves_out_what_toml_does_not_have() {
        let table = Table::from([
            ("a".to_owned(), Value::Null),
            ("b".to_owned(), Value::Array(vec![Value::Int(1), Value::Null])),
        ]);
        assert_eq!(Block::free(&table).render(), "b = [1]\n");
    }
}
