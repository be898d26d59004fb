//! Says where and why a text is no TOML, in the reference's words where a client matches them.

use std::ops::Range;

use toml::de::{DeArray, DeTable, DeValue};

use super::Error;
use super::read::join;

/// Describes a syntax error.
pub(super) fn describe(text: &str, error: &toml::de::Error) -> Error {
    let at = error.span().map_or(text.len(), |span| span.start).min(text.len());
    let line = line_at(text, at);
    let words = unfinished_key(text, line).unwrap_or_else(|| error.message().replace('\n', ", "));
    Error(format!("toml: line {line}: {words}"))
}

/// If the line has a key without a value, says what is there instead.
fn unfinished_key(text: &str, line: usize) -> Option<String> {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut rest = text.lines().nth(line - 1)?.trim_start_matches([' ', '\t']);
    loop {
        let key = rest.trim_start_matches(bare);
        if key.len() == rest.len() {
            return None;
        }
        rest = key.trim_start_matches([' ', '\t']);
        match rest.chars().next()? {
            '=' => return None,
            '.' => rest = rest[1..].trim_start_matches([' ', '\t']),
            other => return Some(format!("expected '.' or '=', but got {other:?} instead")),
        }
    }
}

/// The line of a key, counted from 1; the last one if it occurs several times.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    find_in_table(document.get_ref(), "", key, &mut found);
    found.map(|span| line_at(text, span.start))
}

fn find_in_table(table: &DeTable<'_>, path: &str, wanted: &str, found: &mut Option<Range<usize>>) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        if path == wanted && found.as_ref().is_none_or(|last| last.start < key.span().start) {
            *found = Some(key.span());
        }
        if wanted.starts_with(&path) {
            match value.get_ref() {
                DeValue::Table(inner) => find_in_table(inner, &path, wanted, found),
                DeValue::Array(items) => find_in_array(items, &path, wanted, found),
                _ => {}
            }
        }
    }
}

fn find_in_array(items: &DeArray<'_>, path: &str, wanted: &str, found: &mut Option<Range<usize>>) {
    for item in items {
        if let DeValue::Table(table) = item.get_ref() {
            find_in_table(table, path, wanted, found);
        }
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}
