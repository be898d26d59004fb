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

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::os::lookup::LookupError;
use crate::os::{clock, error_text};

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
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self { cause: tls::words(error), retryable: false };
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

/// Reads `Retry-After`: seconds, or a date, which is taken relative to the answer's own, or to now where it has none.
pub(crate) fn retry_after(value: &str, answered: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = answered.and_then(date).unwrap_or_else(|| clock::now().into());
    Duration::try_from(date(value)? - now).ok()
}

/// Reads a date in one of the three forms of HTTP (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`,
/// `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`.
fn date(text: &str) -> Option<OffsetDateTime> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let ([_, day, month, year, time, "GMT"] | [_, month, day, time, year]) = words[..] else { return None };
    OffsetDateTime::parse(&format!("{day} {month} {year} {time} GMT"), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_when_to_try_again_as_seconds_and_as_a_date_in_each_form_of_http() {
        let seconds = |value: &str, date| retry_after(value, date).map(|time| time.as_secs());
        assert_eq!(seconds(" 7 ", None), Some(7));
        let date = Some("Sat, 21 Nov 2026 18:00:00 GMT");
        for value in ["Sat, 21 Nov 2026 18:01:00 GMT", "Saturday, 21-Nov-26 18:01:00 GMT", "Sat Nov 21 18:01:00 2026"] {
            assert_eq!(seconds(value, date), Some(60), "{value}");
            assert_eq!(seconds("Sat, 21 Nov 2026 18:02:00 GMT", Some(value)), Some(60), "{value}");
        }
        assert_eq!(seconds("Tue Dec  1 18:00:00 2026", date), Some(10 * 24 * 3600));
        for value in ["", "soon", "-1", "Sat, 21 Nov 2026 17:59:00 GMT", "Sat Nov 21 2026", "a b c d e", "a b c d e f"]
        {
            assert_eq!(seconds(value, date), None, "{value}");
        }
    }

    #[test]
    fn an_answer_without_a_date_is_of_now() {
        let then = OffsetDateTime::from(clock::now()) + time::Duration::hours(2);
        let then = then.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        for date in [None, Some("long ago")] {
            let time = retry_after(&then, date).unwrap();
            assert!(time > Duration::from_secs(3600) && time <= Duration::from_secs(7200), "{time:?}");
        }
    }
}
