//! Heredocs: `<<WORD` in `RUN`, `ADD` and `COPY`.

use super::command;
use super::split::{self, Parts};
use crate::model::dockerfile::Heredoc;

/// Says whether an instruction may have heredocs: one that reads files, and whose arguments are no JSON.
pub(super) fn may_be_in(parts: &Parts<'_>, escape: char) -> bool {
    let inner = parts.name.eq_ignore_ascii_case("onbuild").then(|| split::instruction(parts.arguments, escape));
    let parts = inner.as_ref().unwrap_or(parts);
    let reads = ["run", "add", "copy"].iter().any(|name| parts.name.eq_ignore_ascii_case(name));
    reads && parts.arguments.contains("<<") && !matches!(command::json(parts.arguments), Ok(Some(_)))
}

/// The heredocs that a line starts, without their bodies. A line with an open quote starts none.
pub(super) fn in_line(line: &str) -> Vec<Heredoc> {
    shell_words(line).unwrap_or_default().iter().filter_map(|word| parse(word)).collect()
}

/// Reads `<<WORD`, `<<-WORD`, `3<<WORD`; `None` where a word is no heredoc.
pub(super) fn parse(word: &str) -> Option<Heredoc> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strip_tabs, word) = word.strip_prefix('-').map_or((false, word), |word| (true, word));
    let word = word.trim_start();
    if word.is_empty() || word.contains('<') {
        return None;
    }
    let (name, quoted) = unquoted(word)?;
    Some(Heredoc { name, expand: !quoted, strip_tabs, body: String::new() })
}

/// A word without quotes and escapes, and whether it had quotes; `None` where it is empty or not one word.
fn unquoted(word: &str) -> Option<(String, bool)> {
    let mut name = String::new();
    let mut quoted = false;
    let mut quote = None;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => return None,
            None if c == '\'' || c == '"' => (quote, quoted) = (Some(c), true),
            None if c == '\\' => name.extend(chars.next()),
            Some('"') if c == '\\' && chars.peek().is_some_and(|next| "\"$\\".contains(*next)) => {
                name.extend(chars.next());
            }
            Some(open) if c == open => quote = None,
            _ => name.push(c),
        }
    }
    (quote.is_none() && !name.is_empty()).then_some((name, quoted))
}

/// Splits a line as a shell does; quotes and escapes stay. `None` where a quote or a variable has no end.
fn shell_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            '\'' | '"' => {
                word.push(c);
                loop {
                    let inner = chars.next()?;
                    word.push(inner);
                    if inner == c {
                        break;
                    }
                    if inner == '\\' && c == '"' {
                        word.push(chars.next()?);
                    }
                }
            }
            '\\' => {
                word.push(c);
                word.extend(chars.next());
            }
            '$' if chars.peek() == Some(&'{') => {
                word.push(c);
                loop {
                    let inner = chars.next()?;
                    word.push(inner);
                    if inner == '}' {
                        break;
                    }
                }
            }
            '<' if chars.peek() == Some(&'<') => {
                word.push_str("<<");
                chars.next();
                // Blanks may stand between `<<` and its word.
                while let Some(blank) = chars.next_if(|c| c.is_whitespace()) {
                    word.push(blank);
                }
            }
            _ => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    Some(words)
}
