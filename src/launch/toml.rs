//! Reading TOML without keeping it: a document becomes a sequence of values, each with its path.
//!
//! Made of `toml_parser`'s tokens and events, because the launcher has no room for more. Tables that are defined twice
//! are not noticed here; whoever reads a document refuses keys that it would see twice.

use std::borrow::Cow;
use std::fmt;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, ParseError, Raw, Source, Span};

/// How deep arrays and inline tables may lie in each other.
const MAX_DEPTH: u32 = 80;

/// The step of a path that stands for an item of an array.
const ITEM: Cow<'static, str> = Cow::Borrowed("");

/// A value of a document. What lies in an array or a table comes after it, each with a path of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    String(Cow<'a, str>),
    /// A boolean.
    Bool(bool),
    /// A number or a date, by the name that the reference has for it.
    Other(&'static str),
    /// An array.
    Array,
    /// A table, possibly one that only the path of another key implies.
    Table,
    /// The header `[[name]]`; the table follows.
    Tables,
}

impl Value<'_> {
    /// The reference's sentence for a value of the wrong type.
    pub fn is_no(&self, wanted: &str) -> String {
        format!("incompatible types: TOML value has type {}; destination has type {wanted}", self.kind())
    }

    /// The reference's name for the type of the value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Bool(_) => "bool",
            Self::Other(kind) => kind,
            Self::Array => "[]any",
            Self::Table => "map[string]any",
            Self::Tables => "[]map[string]any",
        }
    }
}

/// The reference's sentence for a key that is there twice.
pub fn defined_twice(name: &str) -> String {
    format!("Key '{name}' has already been defined.")
}

/// The keys of a path with dots between them, items left out.
pub fn name(path: &[Cow<'_, str>]) -> String {
    path.iter().filter(|step| **step != ITEM).map(AsRef::as_ref).collect::<Vec<_>>().join(".")
}

/// The document is no TOML, or not what its reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlError {
    /// The line, counted from 1.
    pub line: usize,
    /// The key, if the document is well-formed up to there.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl std::error::Error for TomlError {}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "toml: line {}", self.line)?;
        if let Some(key) = &self.key {
            write!(f, " (last key {})", super::path_lookup::quoted(key.as_ref()))?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Takes the values of a document as they come; an error is a sentence about the value.
pub type Visitor<'v> = dyn FnMut(&[Cow<'_, str>], Value<'_>) -> Result<(), String> + 'v;

/// Reads a document. `lists` names the arrays of tables at its top that the visitor wants to follow.
///
/// # Errors
/// The first thing that is no TOML or that the visitor refuses.
pub fn read(document: &[u8], lists: &[&str], visitor: &mut Visitor<'_>) -> Result<(), TomlError> {
    let line = |offset: usize| document[..offset.min(document.len())].split(|b| *b == b'\n').count();
    let text = std::str::from_utf8(document).map_err(|error| {
        let offset = error.valid_up_to();
        TomlError { line: line(offset), key: None, message: format!("invalid UTF-8 byte: {:#04x}", document[offset]) }
    })?;

    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut walker = Walker {
        source,
        visitor,
        path: Vec::new(),
        keys: Vec::new(),
        key_start: 0,
        containers: vec![0],
        lists,
        open_lists: Vec::new(),
        refused: None,
    };
    let mut syntax = None::<ParseError>;
    {
        let mut whitespace = ValidateWhitespace::new(&mut walker, source);
        parse_document(&tokens, &mut RecursionGuard::new(&mut whitespace, MAX_DEPTH), &mut syntax);
    }
    let offset_of = |error: &ParseError| error.unexpected().or(error.context()).map_or(text.len(), |span| span.start());
    let syntax = syntax.map(|error| (offset_of(&error), None, error.description().to_owned()));
    let refused = walker.refused.map(|(offset, key, message)| (offset, Some(key), message));
    match syntax.into_iter().chain(refused).min_by_key(|(offset, ..)| *offset) {
        None => Ok(()),
        Some((offset, key, message)) => Err(TomlError { line: line(offset), key, message }),
    }
}

/// Follows the events of the parser and knows the path of each value.
struct Walker<'s, 'v> {
    source: Source<'s>,
    visitor: &'v mut Visitor<'v>,
    path: Vec<Cow<'s, str>>,
    /// The dotted key that is being read.
    keys: Vec<Cow<'s, str>>,
    /// Where that key starts.
    key_start: usize,
    /// For each open table or array, the length of the path of what it contains.
    containers: Vec<usize>,
    /// The arrays of tables that are followed.
    lists: &'v [&'v str],
    /// Those of them that have a table: a later header below one of them means its last table.
    open_lists: Vec<&'v str>,
    /// Where the visitor refused a value, its name and the reason.
    refused: Option<(usize, String, String)>,
}

impl<'s> Walker<'s, '_> {
    fn visit(&mut self, value: Value<'s>) {
        if self.refused.is_none()
            && let Err(message) = (self.visitor)(&self.path, value)
        {
            self.refused = Some((self.key_start, name(&self.path), message));
        }
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Raw<'s> {
        let text = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        Raw::new_unchecked(text, encoding, span)
    }

    /// Goes back to the path of the innermost open container.
    fn rewind(&mut self) {
        self.path.truncate(self.containers.last().copied().unwrap_or(0));
    }

    /// Opens what the path names: all that follows lies in it.
    fn open(&mut self) {
        self.containers.push(self.path.len());
    }

    fn close(&mut self) {
        if self.containers.len() > 1 {
            self.containers.pop();
        }
        self.rewind();
    }

    fn start_header(&mut self) {
        self.keys.clear();
        self.path.clear();
        self.containers.clear();
    }

    fn end_header(&mut self, is_list: bool) {
        let keys = std::mem::take(&mut self.keys);
        let last = keys.len().saturating_sub(1);
        for (index, key) in keys.into_iter().enumerate() {
            let is_top = index == 0;
            self.path.push(key);
            if index == last && is_list {
                if is_top {
                    self.open_lists.extend(self.lists.iter().filter(|list| **list == self.path[0]));
                    self.open_lists.dedup();
                }
                self.visit(Value::Tables);
                self.path.push(ITEM);
                self.visit(Value::Table);
            } else if index < last && is_top && self.open_lists.contains(&self.path[0].as_ref()) {
                self.path.push(ITEM);
            } else {
                self.visit(Value::Table);
            }
        }
        self.open();
    }
}

impl EventReceiver for Walker<'_, '_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.start_header();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.end_header(false);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.start_header();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.end_header(true);
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if self.keys.is_empty() {
            self.key_start = span.start();
        }
        let mut key = Cow::Borrowed("");
        self.raw(span, encoding).decode_key(&mut key, error);
        self.keys.push(key);
    }

    fn key_val_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.rewind();
        let mut keys = std::mem::take(&mut self.keys);
        let last = keys.pop();
        for key in keys {
            self.path.push(key);
            self.visit(Value::Table);
        }
        self.path.extend(last);
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.visit(Value::Table);
        self.open();
        true
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.visit(Value::Array);
        self.path.push(ITEM);
        self.open();
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let mut is_sound = true;
        let mut error = |what: ParseError| {
            is_sound = false;
            error.report_error(what);
        };
        let value = match self.raw(span, encoding).decode_scalar(&mut text, &mut error) {
            ScalarKind::String => Value::String(text),
            ScalarKind::Boolean(value) => Value::Bool(value),
            ScalarKind::DateTime => Value::Other("time.Time"),
            ScalarKind::Float => Value::Other("float64"),
            ScalarKind::Integer(_) => Value::Other("int64"),
        };
        if is_sound {
            self.visit(value);
        }
        self.rewind();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every value of a document as `path=kind`, with `[]` for an item.
    fn walked(text: &str) -> Vec<String> {
        let mut values = Vec::new();
        read(text.as_bytes(), &["a"], &mut |path: &[Cow<'_, str>], value: Value<'_>| {
            let steps: Vec<&str> = path.iter().map(|step| if *step == ITEM { "[]" } else { step }).collect();
            let value = if let Value::String(text) = &value { text } else { value.kind() };
            values.push(format!("{}={value}", steps.join(".")));
            Ok(())
        })
        .unwrap();
        values
    }

    #[test]
    fn names_every_value_by_its_path() {
        assert_eq!(walked("a.b = 'x'\nc = true\n"), ["a=map[string]any", "a.b=x", "c=bool"]);
        let nested = walked("a = [1, {b = ['x', []], c = 1.5}]\nd = 1\n");
        let wanted = [
            "a=[]any",
            "a.[]=int64",
            "a.[]=map[string]any",
            "a.[].b=[]any",
            "a.[].b.[]=x",
            "a.[].b.[]=[]any",
            "a.[].c=float64",
            "d=int64",
        ];
        assert_eq!(nested, wanted);
    }

    #[test]
    fn a_header_below_a_list_of_tables_means_its_last_table() {
        let text = "[[a]]\nb = 'x'\n[a.c]\nd = 'y'\n[[a]]\n[e.f]\ng = 'z'\n";
        let wanted = [
            "a=[]map[string]any",
            "a.[]=map[string]any",
            "a.[].b=x",
            "a.[].c=map[string]any",
            "a.[].c.d=y",
            "a=[]map[string]any",
            "a.[]=map[string]any",
            "e=map[string]any",
            "e.f=map[string]any",
            "e.f.g=z",
        ];
        assert_eq!(walked(text), wanted);
    }

    #[test]
    fn the_first_of_two_errors_is_told() {
        let refuse = |text: &str| {
            let mut visitor = |_: &[Cow<'_, str>], value: Value<'_>| match value {
                Value::Bool(_) => Err("no".to_owned()),
                _ => Ok(()),
            };
            read(text.as_bytes(), &["a"], &mut visitor).unwrap_err().to_string()
        };
        assert_eq!(refuse("x = 1\n[a]\nb = [true]\nc = =\n"), "toml: line 3 (last key \"a.b\"): no");
        assert!(refuse("x = 1\na = =\nb = true\n").starts_with("toml: line 2: "));
        assert_eq!(refuse("x = tru"), "toml: line 1: invalid boolean");
    }

    #[test]
    fn deep_nesting_is_an_error() {
        for deep in ["[", "{a=", "[{a="] {
            let text = format!("a = {}", deep.repeat(200_000));
            assert!(read(text.as_bytes(), &["a"], &mut |_, _| Ok(())).is_err());
        }
        let text = format!("a = {}{}", "[".repeat(100), "]".repeat(100));
        let error = read(text.as_bytes(), &["a"], &mut |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("recurs"), "{error}");
        let deep_key = format!("{}a = 1", "a.".repeat(100_000));
        assert!(read(deep_key.as_bytes(), &[], &mut |_, _| Ok(())).is_ok());
    }

    proptest! {
        #[test]
        fn no_document_makes_it_panic(text in "([a-c\\[\\]{}=.,'\"\n #0-9\\\\u]|\\PC|'''|\"\"\"|\\[\\[|\\]\\]){0,60}") {
            let _ = read(text.as_bytes(), &["a"], &mut |_, _| Ok(()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&bytes, &[], &mut |_, _| Ok(()));
        }
    }
}
