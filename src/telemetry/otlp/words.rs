//! The words of others: what collectors and proxies answer, and errors that repeat what they were given. All of them come
//! through here before anybody sees them.
//!
//! Telemetry R41. Credentials are looked for in the text as it will be shown, whole: on one line, with one blank between
//! words, and before it is cut. So they are found wherever somebody else, or this program, changed its blanks; and parts of
//! them are, where somebody else cut or encoded them.

use std::time::Instant;

use super::settings::Destination;
use super::{Accepted, Network, Refusal, Signal, Transport};
use crate::net::{decoded, one_line, start};
use crate::telemetry::redact::Parts;

/// A transport that repeats no credential.
pub(super) struct Discreet {
    transport: Box<dyn Transport>,
    parts: Parts,
}

impl Discreet {
    /// Knows what the destination and the proxies before it have of credentials.
    pub(super) fn new(transport: Box<dyn Transport>, destination: &Destination, network: &Network) -> Self {
        let address = destination.endpoint.secret_text();
        let query = address.split_once('?').map_or("", |(_, query)| query);
        // The names in it are no secret, and the values are known by themselves. Of a token that ends in `=`, the token is
        // no name.
        let is_query = |secret: &String| secret == query || *secret == decoded(query.as_bytes());
        let nameless = query.split('&').filter(|pair| !pair.trim_end_matches('=').contains('='));
        let nameless = nameless.flat_map(|token| [token.to_owned(), decoded(token.as_bytes())]);
        let secrets = destination.secrets().into_iter().filter(|secret| !is_query(secret));
        let secrets = secrets.chain(nameless).chain(network.proxies.secrets());
        Self { transport, parts: Parts::of(secrets.flat_map(|secret| [one_line(&secret), secret])) }
    }

    fn fit(&self, text: &str) -> String {
        start(&String::from_utf8_lossy(&self.parts.hide(one_line(text).as_bytes())))
    }
}

impl Transport for Discreet {
    fn send(&mut self, signal: Signal, request: &[u8], deadline: Instant) -> Result<Accepted, Refusal> {
        match self.transport.send(signal, request, deadline) {
            Ok(accepted) => Ok(Accepted { message: accepted.message.map(|text| self.fit(&text)), ..accepted }),
            Err(refusal) => Err(Refusal { cause: self.fit(&refusal.cause), ..refusal }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::env::Environment;
    use crate::net::proxy::Proxies;
    use crate::telemetry::otlp::settings::Settings;

    /// Says the same each time.
    struct Says(Result<Accepted, Refusal>);

    impl Transport for Says {
        fn send(&mut self, _: Signal, _: &[u8], _: Instant) -> Result<Accepted, Refusal> {
            self.0.clone()
        }
    }

    const HEADERS: &str = "authorization=Bearer s3cret-token,x-next=bearer token-s3cret,x-key=one two  blanks-s3cret,\
                           x-login=Basic dXNlcjpzM2NyZXQtYmFzaWM=,x-bare=dXNlcjI6czNjcmV0LWJhcmU,x-signs=s3cret-p+<s>";
    const ENDPOINT: &str =
        "http://c.test/s3cret-path-of-1-user/v1?api-key=s3cret%2Fquery&s3cret-flag&s3cret-nameless==";

    fn told(answer: Result<Accepted, Refusal>) -> String {
        let env: Environment =
            [("OTEL_EXPORTER_OTLP_HEADERS", HEADERS), ("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)].into_iter().collect();
        let settings = Settings::parse(&env, &[Signal::Logs]);
        assert_eq!(settings.warnings, [""; 0]);
        let proxies = Proxies { http: "http://me:s3cret%40proxy@p:1".to_owned(), ..Proxies::default() };
        let network = Network { proxies, ..Network::default() };
        let mut transport = Discreet::new(Box::new(Says(answer)), &settings.destinations[0], &network);
        match transport.send(Signal::Logs, b"", Instant::now()) {
            Ok(accepted) => accepted.message.unwrap(),
            Err(refusal) => refusal.cause,
        }
    }

    fn refused(text: &str) -> String {
        told(Err(Refusal::for_good(text)))
    }

    #[test]
    fn r41_what_a_collector_or_an_error_repeats_of_credentials_is_hidden() {
        for (said, shown) in [
            ("bad Bearer s3cret-token (s3cret-token)", "bad Bearer [REDACTED] ([REDACTED])"),
            ("Cannot POST /v1?api-key=s3cret%2Fquery&s3cret-flag", "Cannot POST /v1?api-key=[REDACTED]&[REDACTED]"),
            ("no POST /s3cret-path-of-1-user/v1", "no POST /[REDACTED]/v1"),
            ("wrong password s3cret-bare", "wrong password [REDACTED]"),
            ("no api-key s3cret/query", "no api-key [REDACTED]"),
            ("what is s3cret-flag?", "what is [REDACTED]?"),
            ("what is s3cret-nameless==?", "what is [REDACTED]?"),
            ("bad one two  blanks-s3cret", "bad [REDACTED]"),
            ("bad two blanks-s3cret", "bad [REDACTED]"),
            ("bad one\r\n two\t\tblanks-s3cret", "bad [REDACTED]"),
            ("s3cret\u{1}-token\u{1b}[2J", "[REDACTED][2J"),
            ("user user, password s3cret-basic", "user user, password [REDACTED]"),
            ("407 Proxy me:s3cret%40proxy (s3cret@proxy)", "407 Proxy [REDACTED] ([REDACTED])"),
            ("czNjcmV0LXRva2Vu in base64", "[REDACTED] in base64"),
            // Cut at its end or its beginning, and in forms of others.
            ("{\"error\":\"bad Bearer s3cret-to", "{\"error\":\"bad Bearer [REDACTED]"),
            ("et-token is bad", "[REDACTED] is bad"),
            ("<p>s3cret&#x2F;query &amp; s3cret-p&#43;&lt;s&gt;</p>", "<p>[REDACTED] &amp; [REDACTED]</p>"),
            ("bad s3cret-p&#43;&lt;s>", "bad [REDACTED]>"),
            ("bad s3cret-p%2b%3cs%3e", "bad [REDACTED]"),
            ("bad s3cret-p\\u002b\\u003cs\\u003e, s3cret-p\\u002B\\u003Cs\\u003E", "bad [REDACTED], [REDACTED]"),
            ("bad 7333637265742d746f6b656e", "bad [REDACTED]"),
        ] {
            assert_eq!(refused(said), shown);
            assert_eq!(told(Ok(Accepted { rejected: 1, message: Some(said.to_owned()) })), shown);
        }
    }

    #[test]
    fn schemes_and_names_of_parameters_are_no_credentials() {
        for said in ["Bearer token required", "Basic digest authorization failed", "no api-key in ?api-key=&x"] {
            assert_eq!(refused(said), said);
        }
    }

    #[test]
    fn r41_no_part_of_a_credential_is_left_where_a_text_is_cut() {
        for before in 270..310 {
            let shown = refused(&format!("{} s3cret-token and more", "x".repeat(before)));
            assert!(!shown.contains('3') && shown.chars().count() <= 300, "{shown}");
        }
    }

    #[test]
    fn words_are_one_harmless_line_of_some_length() {
        assert_eq!(refused("too\n old\u{1b}[2J\u{7}\r\n"), "too old[2J");
        assert_eq!(refused(&"\u{e9} ".repeat(1000)).chars().count(), 300);
    }

    mod fuzz {
        use super::*;

        #[test]
        fn r41_no_answer_makes_a_credential_seen() {
            let pieces = ["s3cret-token", "s3cret-t", "two  blanks-s3cret", " ", "\u{1}", "\n", "x", "s3cret%2Fquery"];
            let texts = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60);
            crate::fuzz::property(64, &texts, |pieces| {
                let shown = refused(&pieces.concat());
                prop_assert!(shown.chars().count() <= 300 && !shown.chars().any(char::is_control));
                for secret in ["s3cret-t", "two blanks-s3cret", "s3cret%2Fquery"] {
                    prop_assert!(!shown.contains(secret), "{}", shown);
                }
                Ok(())
            });
        }
    }
}
