//! Headers of requests to a collector: read, and what in them is secret.
//!
//! Clause: OpenTelemetry's protocol exporter, "Specifying headers via environment variables"; telemetry R38, R41.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::Variable;
use crate::telemetry::redact::SHORTEST;

/// Headers of requests. They are credentials, so they have no text of their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Names in lower case, and values, for the wire and for who must not show them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What in them nobody may see.
    pub(super) fn secrets(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(_, value)| header_secrets(value))
    }

    /// Reads `name=value,name=value`, values percent-encoded or plain. Also the positions, from 1, of what is no header.
    pub(super) fn parse(text: &str) -> (Self, Vec<usize>) {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut bad = Vec::new();
        for (index, entry) in text.split(',').enumerate() {
            if entry.trim().is_empty() {
                continue;
            }
            match header(entry) {
                Some((name, value)) => {
                    headers.retain(|(other, _)| *other != name);
                    headers.push((name, value));
                }
                None => bad.push(index + 1),
            }
        }
        (Self(headers), bad)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} headers", self.0.len())
    }
}

/// Headers that say how a request is sent, which is not the user's to say.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn header(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let value = decode(value.trim())?;
    // Also what would be a header and a half: line ends.
    let sound = ureq::http::HeaderName::from_bytes(name.as_bytes()).is_ok()
        && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !RESERVED.contains(&name.as_str())
        && !name.starts_with("grpc-");
    sound.then_some((name, value))
}

/// Takes the percent-encoding out of a value. None where it is none, or what it stands for is no text.
pub(in crate::telemetry::otlp) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Words before credentials, in lower case, that are none themselves.
const SCHEMES: &[&str] = &["basic", "bearer"];

/// What the value of a header has in it that is secret: the whole, unless it begins with a scheme such as `Bearer`, what
/// stands behind its first word, and what either says where it is base64 of a text such as `user:password`: that text, and
/// both halves.
pub fn header_secrets(value: &str) -> Vec<String> {
    let value = value.trim();
    let tokens = match value.split_once(' ').map(|(first, rest)| (first, rest.trim())) {
        // A shorter one would be looked for nowhere without its scheme.
        Some((first, rest)) if SCHEMES.contains(&&*first.to_ascii_lowercase()) && rest.len() >= SHORTEST => vec![rest],
        Some((_, rest)) => vec![value, rest],
        None => vec![value],
    };
    tokens.into_iter().flat_map(|token| [login(token).unwrap_or_default(), vec![token.to_owned()]].concat()).collect()
}

/// A text in base64 that has two halves, and these.
fn login(token: &str) -> Option<Vec<String>> {
    const INDIFFERENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engines = [alphabet::STANDARD, alphabet::URL_SAFE].map(|alphabet| GeneralPurpose::new(&alphabet, INDIFFERENT));
    let bytes = engines.iter().find_map(|engine| engine.decode(token).ok())?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))?;
    let (user, password) = text.split_once(':')?;
    Some(vec![user.to_owned(), password.to_owned(), text.clone()])
}

/// The headers that a variable gives; what is none is told.
pub(super) fn of(variable: &Variable<'_>, warnings: &mut Vec<String>) -> Headers {
    let Some(text) = variable.text() else { return Headers::default() };
    let (headers, bad) = Headers::parse(&text);
    if !bad.is_empty() {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        warnings.push(format!(
            "{}: number {} of its entries is no header and is left out; write name=value,name=value with values \
             percent-encoded; headers about the message itself, such as content-type, cannot be set",
            variable.name,
            bad.join(", ")
        ));
    }
    headers
}
