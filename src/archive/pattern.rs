//! Patterns of slices, with the meaning that the reference's language gives to file name patterns.
//!
//! `*`, `?` and `[...]` never cross a slash, and `**` is no more than `*`. Text is compared as UTF-8 where it is such,
//! and byte by byte where it is not.

/// A pattern with an unfinished `[` or `\`, noticed only when matching comes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// What stands for a byte that is no UTF-8.
const INVALID: char = char::REPLACEMENT_CHARACTER;

/// Takes `.`, `..`, double and trailing slashes out of a pattern, as if it were a path.
pub(super) fn clean(pattern: &str) -> String {
    let rooted = pattern.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Tells whether a pattern matches the whole of `name`.
///
/// A pattern is a row of pieces, each with or without a `*` in front. The first place where a piece fits is taken and
/// never given up again, except that the last piece must reach the end.
///
/// # Errors
/// The pattern is malformed in a piece that was tried.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern, name);
    while !pattern.is_empty() {
        let piece = Piece::split_from(&mut pattern);
        if piece.star && piece.text.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        let last = pattern.is_empty();
        let complete = |rest: &&[u8]| !last || rest.is_empty();

        let mut found = piece.fit(name)?.filter(complete);
        if piece.star {
            // What the star takes, one byte after the other.
            let mut taken = 0;
            while found.is_none() && name.get(taken).is_some_and(|&byte| byte != b'/') {
                taken += 1;
                found = piece.fit(&name[taken..])?.filter(complete);
            }
        }
        match found {
            Some(rest) => name = rest,
            None => return Ok(false),
        }
    }
    Ok(name.is_empty())
}

/// A part of a pattern without `*`, and whether there was one in front of it.
struct Piece<'a> {
    star: bool,
    text: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Takes the next piece off a pattern.
    fn split_from(pattern: &mut &'a [u8]) -> Self {
        let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
        let rest = &pattern[stars..];
        let (mut end, mut in_class) = (0, false);
        while end < rest.len() {
            match rest[end] {
                b'\\' => end += 1,
                b'[' => in_class = true,
                b']' => in_class = false,
                b'*' if !in_class => break,
                _ => {}
            }
            end += 1;
        }
        let (text, after) = rest.split_at(end.min(rest.len()));
        *pattern = after;
        Self { star: stars > 0, text }
    }

    /// Tells what is left of `name` when this piece is at its beginning, or nothing if it is not.
    ///
    /// Goes on after a mismatch, without looking at the name: the rest of the piece may be malformed.
    fn fit<'n>(&self, name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
        let (mut text, mut name, mut fits) = (self.text, name, true);
        while let Some((&operator, after)) = text.split_first() {
            fits = fits && !name.is_empty();
            text = after;
            match operator {
                b'[' => {
                    let found = if fits { Some(take_char(&mut name)) } else { None };
                    fits = take_class(&mut text, found)?;
                }
                b'?' if fits => {
                    fits = name[0] != b'/';
                    take_char(&mut name);
                }
                b'?' => {}
                literal => {
                    let literal = if literal == b'\\' { take_byte(&mut text).ok_or(BadPattern)? } else { literal };
                    fits = fits && take_byte(&mut name) == Some(literal);
                }
            }
        }
        Ok(fits.then_some(name))
    }
}

/// Reads a class up to its `]`, the `[` being read already, and tells whether a character is in it.
fn take_class(text: &mut &[u8], found: Option<char>) -> Result<bool, BadPattern> {
    let negated = text.first() == Some(&b'^');
    if negated {
        take_byte(text);
    }
    let (mut within, mut ranges) = (false, 0);
    loop {
        if text.first() == Some(&b']') && ranges > 0 {
            take_byte(text);
            return Ok(found.is_some() && within != negated);
        }
        let low = take_class_char(text)?;
        let mut high = low;
        if text.first() == Some(&b'-') {
            take_byte(text);
            high = take_class_char(text)?;
        }
        within |= found.is_some_and(|found| (low..=high).contains(&found));
        ranges += 1;
    }
}

/// Reads one character of a class. More must follow it, because the class is not finished.
fn take_class_char(text: &mut &[u8]) -> Result<char, BadPattern> {
    if matches!(text.first(), None | Some(b'-' | b']')) {
        return Err(BadPattern);
    }
    if text.first() == Some(&b'\\') {
        take_byte(text);
    }
    let before = text.len();
    if before == 0 {
        return Err(BadPattern);
    }
    let found = take_char(text);
    let invalid = found == INVALID && before - text.len() == 1;
    if invalid || text.is_empty() { Err(BadPattern) } else { Ok(found) }
}

fn take_byte(text: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = text.split_first()?;
    *text = rest;
    Some(first)
}

/// Takes a character off a text; a byte that begins none counts as one.
fn take_char(text: &mut &[u8]) -> char {
    let head = &text[..text.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    let (found, length) = match valid.chars().next() {
        Some(found) => (found, found.len_utf8()),
        None => (INVALID, 1),
    };
    *text = &text[length.min(text.len())..];
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Result<bool, BadPattern> = Err(BadPattern);

    /// Each row was compared with Go's `filepath.Match`.
    #[test]
    fn matches_as_the_reference_does() {
        let rows: [(&str, &[u8], Result<bool, BadPattern>); 41] = [
            ("abc", b"abc", Ok(true)),
            ("ab", b"abc", Ok(false)),
            ("*", b"abc", Ok(true)),
            ("*", b"a/b", Ok(false)),
            ("**", b"a/b", Ok(false)),
            ("*c", b"abc", Ok(true)),
            ("a*/b", b"a/c/b", Ok(false)),
            ("a*/b", b"abc/b", Ok(true)),
            ("a*b*c*d*e*/f", b"axbxcxdxe/xxx/f", Ok(false)),
            ("a*b*c*d*e*/f", b"axbxcxdxexxx/f", Ok(true)),
            ("a*b?c*x", b"abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", b"abxbbxdbxebxczzy", Ok(false)),
            ("ab[c]", b"abc", Ok(true)),
            ("ab[b-d]", b"abc", Ok(true)),
            ("ab[e-g]", b"abc", Ok(false)),
            ("ab[^e-g]", b"abc", Ok(true)),
            ("ab[^b-d]", b"abc", Ok(false)),
            ("a[^/]b", b"a/b", Ok(false)),
            ("a?b", b"a/b", Ok(false)),
            ("a[/]b", b"a/b", Ok(true)),
            ("a\\*b", b"a*b", Ok(true)),
            ("a\\*b", b"ab", Ok(false)),
            ("a?b", "a\u{263a}b".as_bytes(), Ok(true)),
            ("a???b", "a\u{263a}b".as_bytes(), Ok(false)),
            ("a?b", b"a\xffb", Ok(true)),
            ("a[^a]b", "a\u{263a}b".as_bytes(), Ok(true)),
            ("[a-\u{3b6}]*", "\u{3b1}".as_bytes(), Ok(true)),
            ("*[a-\u{3b6}]", b"A", Ok(false)),
            ("[\\]a]", b"]", Ok(true)),
            ("[\\-x]", b"-", Ok(true)),
            ("[]a]", b"]", BAD),
            ("[-]", b"-", BAD),
            ("[x-]", b"x", BAD),
            ("[a-b-c]", b"a", BAD),
            ("[", b"a", BAD),
            ("[^", b"a", BAD),
            ("[^bc", b"a", BAD),
            ("a[", b"ab", BAD),
            ("\\", b"a", BAD),
            ("*x[", b"ab", BAD),
            ("b*[", b"ab", Ok(false)),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern.as_bytes(), name), expected, "{pattern} {}", name.escape_ascii());
        }
    }

    #[test]
    fn cleans_as_if_a_pattern_were_a_path() {
        let rows = [
            ("", "."),
            ("a/", "a"),
            ("./a", "a"),
            ("a//b/.", "a/b"),
            ("a/../b", "b"),
            ("..", ".."),
            ("../../a", "../../a"),
            ("a/..", "."),
            ("/", "/"),
            ("/../a", "/a"),
            ("**/x/", "**/x"),
            ("[a/b]", "[a/b]"),
        ];
        for (pattern, cleaned) in rows {
            assert_eq!(clean(pattern), cleaned);
        }
    }
}
