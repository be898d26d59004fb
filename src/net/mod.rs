//! What every client of a server needs: addresses of hosts, proxies, TLS, and why there was no answer.
//!
//! `image::registry` and `telemetry::otlp` stand on it. Nothing here knows what a registry or a collector is.

#[cfg(feature = "grpc")]
pub(crate) mod grpc;
pub mod proxy;
pub(crate) mod resolve;
pub(crate) mod tls;

use std::io;
use std::time::Duration;

use crate::os::error_text;
use crate::os::lookup::LookupError;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) cause: String,
    /// Trying again may help.
    pub(crate) retryable: bool,
}

impl Failure {
    pub(crate) fn of(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Io(error) => Self::of_io(&error),
            ureq::Error::Timeout(what) => Self { cause: format!("timed out ({what})"), retryable: true },
            // Its text would name the proxy with its password.
            ureq::Error::InvalidProxyUrl => Self { cause: "the proxy's URL is invalid".to_owned(), retryable: false },
            other => Self { cause: other.to_string(), retryable: false },
        }
    }

    pub(crate) fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        if let Some(ureq::Error::Timeout(what)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self { cause: format!("timed out ({what})"), retryable: true };
        }
        if let Some(lookup) = error.get_ref().and_then(|inner| inner.downcast_ref::<LookupError>()) {
            return Self { cause: format!("dial tcp: {lookup}"), retryable: lookup.is_temporary() };
        }
        let passing = matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::NotConnected
                | Kind::BrokenPipe
                | Kind::UnexpectedEof
                | Kind::TimedOut
                | Kind::WouldBlock
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
        );
        Self { cause: error_text(error), retryable: passing }
    }
}

/// The start of a text from elsewhere, on one line and without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    start(&one_line(text))
}

/// A text from elsewhere on one line, a blank between words, without anything that a terminal would obey.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<String> =
        text.split_whitespace().map(|word| word.chars().filter(|c| !c.is_control()).collect()).collect();
    words.join(" ")
}

/// As much of a text as one wants to read.
pub(crate) fn start(text: &str) -> String {
    text.chars().take(300).collect()
}

/// Takes the percent-encoding out of a text; what is none stands for itself.
pub(crate) fn decoded(text: &[u8]) -> String {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            bytes.extend(u8::try_from(high * 16 + low));
            at += 3;
        } else {
            bytes.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads `Retry-After`: seconds, or a date, which is taken relative to the answer's own.
pub(crate) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc2822;
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let parsed = |text: &str| OffsetDateTime::parse(text.trim(), &Rfc2822).ok();
    Duration::try_from(parsed(value)? - parsed(date?)?).ok()
}
