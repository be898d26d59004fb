//! Says where and why a text is no TOML, in the reference's words where a client matches them.

use super::Error;
use super::outline::Outline;

/// Parses a text into tables, without running out of stack.
pub(super) fn parse(text: &str) -> Result<toml::Table, Error> {
    if !Outline::of(text).is_shallow() {
        return Err(Error("toml: tables and lists are nested too deep".to_owned()));
    }
    toml::from_str(text).map_err(|error| describe(text, &error))
}

/// Describes a value of the wrong type.
pub(super) fn wrong_type(text: &str, key: &str, words: &str) -> Error {
    let place = match (key, Outline::of(text).last(key)) {
        ("", _) => String::new(),
        (key, None) => format!("(last key {key:?}): "),
        (key, Some(at)) => format!("line {} (last key {key:?}): ", line(text, at)),
    };
    Error(format!("toml: {place}{words}"))
}

fn describe(text: &str, error: &toml::de::Error) -> Error {
    let at = error.span().map_or(text.len(), |span| span.start).min(text.len());
    let outline = Outline::of(text);
    let defined_twice = outline.at(at).filter(|_| error.message() == "duplicate key");
    let words = match error.message() {
        "duplicate key" => defined_twice.map(|key| format!("Key '{key}' has already been defined.")),
        "key with no value, expected `=`" | "invalid key-value pair, expected key" => unfinished_key(text, at),
        message if message.starts_with("invalid unquoted key") => unfinished_key(text, at),
        _ => None,
    };
    let words = words.unwrap_or_else(|| error.message().replace('\n', ", "));
    let last_key = outline.around(at).filter(|_| defined_twice.is_none());
    let last_key = last_key.map_or_else(String::new, |key| format!(" (last key {key:?})"));
    Error(format!("toml: line {}{last_key}: {words}", line(text, at)))
}

/// Says what stands behind the key at the beginning of a line, instead of a `=`.
fn unfinished_key(text: &str, at: usize) -> Option<String> {
    let blank = [' ', '\t'];
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let mut rest = text.get(start..)?.trim_start_matches('\u{feff}').trim_start_matches(blank);
    loop {
        rest = match rest.chars().next()? {
            quote @ ('"' | '\'') => rest.get(1..)?.split_once(quote)?.1,
            _ => rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')),
        };
        rest = rest.trim_start_matches(blank);
        match rest.chars().next() {
            None => return Some("unexpected EOF; expected key separator '='".to_owned()),
            Some('=') => return None,
            Some('.') => rest = rest.get(1..)?.trim_start_matches(blank),
            Some(other) => return Some(format!("expected '.' or '=', but got {other:?} instead")),
        }
    }
}

/// The number of the line, counted from 1, in which a byte lies.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).map_or_else(|error| error.to_string(), |_| "valid".to_owned())
    }

    #[test]
    fn says_what_the_reference_says_of_an_unfinished_key() {
        for (text, expected) in [
            ("I am a file", "toml: line 1: expected '.' or '=', but got 'a' instead"),
            ("a", "toml: line 1: unexpected EOF; expected key separator '='"),
            ("a\n", "toml: line 1: expected '.' or '=', but got '\\n' instead"),
            ("a b = 1", "toml: line 1: expected '.' or '=', but got 'b' instead"),
            ("ok = 1\nI am wrong\n", "toml: line 2: expected '.' or '=', but got 'a' instead"),
            ("ok = 1\n[t]\nz\n", "toml: line 3 (last key \"t\"): expected '.' or '=', but got '\\n' instead"),
            ("a.\n", "toml: line 1: expected '.' or '=', but got '\\n' instead"),
            ("{\"a\": 1}", "toml: line 1: expected '.' or '=', but got '{' instead"),
            ("<html>", "toml: line 1: expected '.' or '=', but got '<' instead"),
            ("é = 1", "toml: line 1: expected '.' or '=', but got 'é' instead"),
            ("a: 1\n", "toml: line 1: expected '.' or '=', but got ':' instead"),
            ("#c\n\n!x", "toml: line 3: expected '.' or '=', but got '!' instead"),
            ("a=1\r\nb", "toml: line 2: unexpected EOF; expected key separator '='"),
            ("\u{feff}\"a\" b = 2", "toml: line 1: expected '.' or '=', but got 'b' instead"),
        ] {
            assert_eq!(error(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_the_line_and_the_key_of_other_errors() {
        for (text, expected) in [
            ("a=1\na=2\n", "toml: line 2: Key 'a' has already been defined."),
            ("[a]\n[a]\n", "toml: line 2: Key 'a' has already been defined."),
            ("[t]\na.b = \"x\n", "toml: line 2 (last key \"t.a.b\"): invalid basic string, expected `\"`"),
            ("a = [1, 2\n", "toml: line 1 (last key \"a\"): unclosed array, expected `]`"),
            ("x = {a = {b = nope}}\n", "toml: line 1 (last key \"x.a.b\"): invalid float, expected `nan`"),
            ("a = \"\"\"\nfoo bar \u{1}\n\"\"\"\n[b]", "toml: line 2 (last key \"a\"): "),
        ] {
            assert!(error(text).starts_with(expected), "{text:?}: {}", error(text));
        }
    }

    #[test]
    fn takes_what_an_editor_may_add() {
        assert_eq!(error("\u{feff}a = 1\r\n[b]\r\nc = {\r\n  d = 1,\r\n}\r\n"), "valid");
    }

    #[test]
    fn refuses_to_nest_too_deep() {
        let deep = "toml: tables and lists are nested too deep";
        let dotted = format!("{}a", "a.".repeat(70));
        let mixed = format!("x = {}1{}", format!("{{{dotted}=").repeat(79), "}".repeat(79));
        let many = 100_000;
        for text in [
            mixed,
            format!("x = {}", "[".repeat(many)),
            format!("x = {}", "{a=".repeat(many)),
            format!("{}=1", "a.".repeat(many) + "a"),
            format!("[{}a]", "a.".repeat(many)),
            format!("[{dotted}]\n{dotted} = 1"),
        ] {
            assert_eq!(error(&text), deep, "{}", &text[..60]);
        }
        assert_eq!(error(&format!("[{dotted}]\nx = [[[[{{y = 1}}]]]]")), "valid");
    }
}
