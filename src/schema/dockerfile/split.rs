//! Taking a line of a Dockerfile apart: name, flags, arguments, words.

/// The parts of an instruction.
pub(super) struct Parts<'t> {
    /// Its name, as it was written.
    pub(super) name: &'t str,
    /// Words in front of the arguments that begin with `--`, quotes and escapes resolved.
    pub(super) flags: Vec<String>,
    /// The arguments.
    pub(super) arguments: &'t str,
}

/// White space between arguments.
pub(super) const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// Takes an instruction apart.
pub(super) fn instruction(line: &str, escape: char) -> Parts<'_> {
    let line = line.trim();
    let Some((name, rest)) = line.split_once(BLANKS) else {
        return Parts { name: line, flags: Vec::new(), arguments: "" };
    };
    let (flags, arguments) = flags(rest, escape);
    Parts { name, flags, arguments: arguments.trim() }
}

/// Splits at white space.
pub(super) fn at_blanks(text: &str) -> Vec<String> {
    text.split(BLANKS).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Takes flags off the front of a text.
fn flags(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, behind) = flag(rest, escape);
        rest = behind.trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

/// One flag without quotes and escapes, and what is behind it.
fn flag(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            // An escape at the end means nothing.
            _ if c == escape => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// Splits into words as a shell does; quotes and escapes stay in them.
pub(super) fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        // Within single quotes nothing is escaped.
        if c == escape && quote != Some('\'') {
            if let Some(escaped) = chars.next() {
                word.extend([c, escaped]);
            }
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
