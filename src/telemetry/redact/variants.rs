//! The forms in which programs print a secret: as JSON, in URLs, in HTML, quoted for a shell, in base64 and hex
//! (telemetry R35).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::SHORTEST;

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD);

/// Every form of a secret besides itself, the most usual ones first. A form may be there more than once.
pub(super) fn in_order(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let text = std::str::from_utf8(secret).ok();
    let in_base64 = [STANDARD, URL_SAFE].into_iter().flat_map(|alphabet| base64(secret, &alphabet));
    let as_bytes = in_base64.chain(wrapped(secret)).chain(hex(secret)).chain(urls(secret));
    let forms = text.into_iter().flat_map(json).chain(as_bytes);
    let forms = forms.chain(text.into_iter().flat_map(html)).chain(text.into_iter().flat_map(quoted));
    forms.filter(move |form| form.len() >= SHORTEST && form != secret)
}

/// In a JSON string: as most write it, with slashes escaped, and with more as numbers: what is not ASCII (Python, PHP), what
/// means something in HTML (Go, Java), or both (.NET).
fn json(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let plain = serde_json::to_string(text).unwrap_or_default();
    let plain = plain.trim_start_matches('"').strip_suffix('"').unwrap_or_default();
    // Quotes at the start of the text itself are escaped, so that none of them was taken above.
    let numbered = |wanted: fn(char) -> bool, upper: bool| {
        let mut out = String::new();
        for c in plain.chars() {
            if wanted(c) {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
                }
            } else {
                out.push(c);
            }
        }
        out
    };
    let dot_net = |c: char| !c.is_ascii() || matches!(c, '<' | '>' | '&' | '+' | '\'' | '`');
    let python = numbered(|c| !c.is_ascii(), false);
    let forms = [
        plain.to_owned(),
        plain.replace('/', "\\/"),
        python.replace('/', "\\/"),
        python,
        numbered(|c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'), false),
        numbered(|c| matches!(c, '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}'), false),
        numbered(dot_net, true).replace("\\\"", "\\u0022"),
        numbered(dot_net, false).replace("\\\"", "\\u0022"),
    ];
    forms.into_iter().map(String::into_bytes)
}

/// In a URL: with digits in upper and lower case, with and without slashes, as JavaScript leaves some signs, and as forms
/// have it, where a blank is a plus (HTML, Python and Go, PHP).
fn urls(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let in_addresses = ["-._~", "-._~/", "-_.!~*'()", "-._~!$&'()*+,;=:"].map(|kept| (kept, "%20"));
    let in_forms = ["*-._", "-._~", "-._"].map(|kept| (kept, "+"));
    in_addresses.into_iter().chain(in_forms).flat_map(move |(kept, blank)| {
        [false, true].map(|lower| {
            let mut out = String::new();
            for &byte in secret {
                if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
                    out.push(char::from(byte));
                } else if byte == b' ' {
                    out.push_str(blank);
                } else {
                    let _ = if lower { write!(out, "%{byte:02x}") } else { write!(out, "%{byte:02X}") };
                }
            }
            out.into_bytes()
        })
    })
}

/// In base64 wherever in the encoded bytes it stands: a digit of 6 bits that it shares with its neighbours may be any, so
/// it is left out, except at the end of everything.
fn base64(secret: &[u8], engine: &GeneralPurpose) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
        let encoded = engine.encode([&[0; 2][..before], secret].concat()).into_bytes();
        let whole = (before + secret.len()) * 8 / 6;
        forms.push(encoded[shared..whole].to_vec());
        if whole < encoded.len() {
            let padding = "=".repeat((4 - encoded.len() % 4) % 4);
            forms.push(encoded[shared..].to_vec());
            forms.push([&encoded[shared..], padding.as_bytes()].concat());
        }
    }
    forms
}

/// In base64 with line ends in it, as `base64` and MIME, and `openssl` have it: each line, where the secret is what was
/// encoded.
fn wrapped(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for bytes_of_line in [57, 48] {
        if secret.len() > bytes_of_line {
            for line in secret.chunks(bytes_of_line) {
                lines.push(STANDARD.encode(line).into_bytes()[..line.len() * 8 / 6].to_vec());
            }
        }
    }
    lines
}

fn hex(secret: &[u8]) -> [Vec<u8>; 2] {
    let mut lower = String::new();
    for byte in secret {
        let _ = write!(lower, "{byte:02x}");
    }
    [lower.to_ascii_uppercase().into_bytes(), lower.into_bytes()]
}

/// What is written for a sign.
type Table = &'static [(char, &'static str)];

/// With each sign for which there is one replaced by a text.
fn replaced(text: &str, table: Table) -> Vec<u8> {
    let mut out = String::new();
    for c in text.chars() {
        match table.iter().find(|(sign, _)| *sign == c) {
            Some((_, written)) => out.push_str(written),
            None => out.push(c),
        }
    }
    out.into_bytes()
}

/// In HTML and XML: the three signs that everybody replaces, and others, as Go, Go's templates, Python, PHP, Java, XML and
/// Mustache write them.
fn html(text: &str) -> impl Iterator<Item = Vec<u8>> {
    const MORE: &[Table] = &[
        &[],
        &[('"', "&quot;")],
        &[('"', "&#34;"), ('\'', "&#39;")],
        &[('"', "&#34;"), ('\'', "&#39;"), ('+', "&#43;")],
        &[('"', "&quot;"), ('\'', "&#x27;")],
        &[('"', "&quot;"), ('\'', "&#039;")],
        &[('"', "&quot;"), ('\'', "&#39;")],
        &[('"', "&quot;"), ('\'', "&apos;")],
        &[('"', "&quot;"), ('\'', "&#39;"), ('/', "&#x2F;"), ('`', "&#x60;"), ('=', "&#x3D;")],
    ];
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    MORE.iter().map(move |more| replaced(&text, more))
}

/// Quoted for a shell, as `set -x`, `printf %q` and `export -p` print it: between single quotes, between double quotes,
/// sign by sign, and in `$'...'`, which is Python's way, too.
fn quoted(text: &str) -> [Vec<u8>; 7] {
    let escaped = |signs: &str| {
        let mut out = String::new();
        for c in text.chars() {
            if signs.contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        out.into_bytes()
    };
    [
        replaced(text, &[('\'', "'\\''")]),
        replaced(text, &[('\'', "'\"'\"'")]),
        escaped("\"$`\\"),
        escaped(" \t'\"\\|&;()<>!{}*[]?^$`,"),
        escaped(" \t'\"\\|&;()<>!{}*[]?^$`"),
        replaced(text, &[('\n', "\\n"), ('\r', "\\r"), ('\t', "\\t"), ('\\', "\\\\"), ('\'', "\\'")]),
        replaced(text, &[('\n', "\\n"), ('\r', "\\r"), ('\t', "\\t"), ('\\', "\\\\")]),
    ]
}
