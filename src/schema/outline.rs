//! Where the keys of a TOML text are, and that it does not nest deeper than the stack can bear.
//!
//! The toml crate bounds lists and inline tables at 80 and dotted keys at 80 parts, but not the two together: a short
//! text can nest thousands of levels deep.

use toml_parser::decoder::Encoding;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, Source, Span};

use super::read::join;

/// How many tables and lists may lie in each other.
const DEEPEST: usize = 128;

/// The keys of a text, in its order.
pub(super) struct Outline {
    keys: Vec<Key>,
    headers: Vec<Key>,
    deepest: usize,
}

/// One occurrence of a key.
struct Key {
    /// The dotted path from the root.
    path: String,
    /// Where the last part of the key begins, in bytes.
    at: usize,
    /// What belongs to it: for a key from its `=` to the end of the line, for a header everything behind it.
    reach: std::ops::Range<usize>,
}

impl Outline {
    /// Looks through a text, which need not be valid.
    pub(super) fn of(text: &str) -> Self {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut walk = Walk {
            source,
            outline: Self { keys: Vec::new(), headers: Vec::new(), deepest: 0 },
            root: Place::default(),
            open: Vec::new(),
            parts: Vec::new(),
            value: Place::default(),
            line: 0,
        };
        parse_document(&tokens, &mut walk, &mut ());
        walk.outline
    }

    /// Says whether the text may be given to a recursive parser.
    pub(super) fn is_shallow(&self) -> bool {
        self.deepest <= DEEPEST
    }

    /// Where a key occurs last, in bytes.
    pub(super) fn last(&self, path: &str) -> Option<usize> {
        self.keys.iter().chain(&self.headers).filter(|key| key.path == path).map(|key| key.at).max()
    }

    /// The key whose last part begins at a place.
    pub(super) fn at(&self, place: usize) -> Option<&str> {
        self.keys.iter().chain(&self.headers).find(|key| key.at == place).map(|key| key.path.as_str())
    }

    /// The key whose value a place belongs to, else the header above it.
    pub(super) fn around(&self, place: usize) -> Option<&str> {
        let within = |keys: &'_ [Key]| keys.iter().rposition(|key| key.reach.contains(&place));
        let key = within(&self.keys).map(|index| &self.keys[index]);
        key.or_else(|| within(&self.headers).map(|index| &self.headers[index])).map(|key| key.path.as_str())
    }
}

/// A table or list, by its path and by how many it lies in.
#[derive(Clone, Default)]
struct Place {
    path: String,
    depth: usize,
}

struct Walk<'t> {
    source: Source<'t>,
    outline: Outline,
    /// The table of the last header.
    root: Place,
    /// Lists and inline tables that are not closed yet.
    open: Vec<Place>,
    /// Parts of the key that is being read, with where they begin.
    parts: Vec<(String, usize)>,
    /// The value behind the last key.
    value: Place,
    /// The first key of the line.
    line: usize,
}

impl Walk<'_> {
    fn place(&self) -> &Place {
        self.open.last().unwrap_or(&self.root)
    }

    /// Takes the parts of a key below a table and returns its place.
    fn finish_key(&mut self, table: &Place, header: bool, from: usize) -> Place {
        let mut place = table.clone();
        let count = self.parts.len();
        for (index, (part, at)) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            place = Place { path: join(&place.path, &part), depth: place.depth + 1 };
            let is_last = index + 1 == count;
            let reach = if is_last { from..usize::MAX } else { 0..0 };
            let keys = if header { &mut self.outline.headers } else { &mut self.outline.keys };
            keys.push(Key { path: place.path.clone(), at, reach });
        }
        place
    }

    fn open(&mut self) -> bool {
        let place = Place { depth: self.value.depth + 1, ..self.value.clone() };
        self.outline.deepest = self.outline.deepest.max(place.depth);
        self.value = place.clone();
        self.open.push(place);
        self.outline.is_shallow()
    }

    fn close(&mut self) {
        self.open.pop();
        self.value = self.place().clone();
    }

    fn open_header(&mut self) {
        self.open.clear();
        self.parts.clear();
        self.root = Place::default();
    }

    fn close_header(&mut self, span: Span) {
        self.root = self.finish_key(&Place::default(), true, span.end());
    }
}

impl EventReceiver for Walk<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_header(span);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_header(span);
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.parts.clear();
        self.open()
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.open()
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        // What is refused anyway is not worth the paths, whose length would grow with the square of the text's.
        if !self.outline.is_shallow() {
            return;
        }
        let mut part = std::borrow::Cow::Borrowed("");
        if let Some(text) = self.source.get(span) {
            let raw = toml_parser::Raw::new_unchecked(text.as_str(), encoding, span);
            raw.decode_key(&mut part, errors);
        }
        self.parts.push((part.into_owned(), span.start()));
        self.outline.deepest = self.outline.deepest.max(self.place().depth + self.parts.len());
    }

    fn key_val_sep(&mut self, span: Span, _: &mut dyn ErrorSink) {
        let table = self.place().clone();
        self.value = self.finish_key(&table, false, span.end());
    }

    fn value_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.parts.clear();
        self.value = self.place().clone();
    }

    fn newline(&mut self, span: Span, _: &mut dyn ErrorSink) {
        if self.open.is_empty() {
            self.parts.clear();
            for key in &mut self.outline.keys[self.line..] {
                key.reach.end = span.end();
            }
            self.line = self.outline.keys.len();
        }
    }
}
