//! Each protocol against each thing that a collector can do: telemetry R38 and R39.

/// What may lie between.
mod proxies;

use std::time::{Duration, Instant};

use cnb_lifecycle::model::env::Environment;
use cnb_lifecycle::telemetry::otlp::settings::Settings;
use cnb_lifecycle::telemetry::otlp::{Accepted, Network, Refusal, Retry, Signal, Transport, transport};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;

use crate::support::tls::{self, Identity};
use crate::support::{Answer, Collector, Payload};

/// The protocols that this build speaks.
const PROTOCOLS: &[&str] = &[
    "http/protobuf",
    "http/json",
    #[cfg(feature = "grpc")]
    "grpc",
];

/// A request that may take its time, on the slowest machine.
const PATIENT: Duration = Duration::from_secs(30);

fn collector(protocol: &str) -> Collector {
    match protocol {
        #[cfg(feature = "grpc")]
        "grpc" => Collector::grpc(),
        _ => Collector::http(),
    }
}

fn secure(protocol: &str, identity: Identity) -> Collector {
    match protocol {
        #[cfg(feature = "grpc")]
        "grpc" => Collector::grpcs(identity),
        _ => Collector::https(identity),
    }
}

/// A client with settings of its own.
struct Client(Box<dyn Transport>, &'static str);

impl Client {
    fn new(protocol: &'static str, endpoint: &str, more: &[(&str, &str)]) -> Self {
        Self::through(protocol, endpoint, more, &Network::default())
    }

    fn through(protocol: &'static str, endpoint: &str, more: &[(&str, &str)], network: &Network) -> Self {
        let mut env = Environment::default();
        env.set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        env.set("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        for (name, value) in more {
            env.set(*name, *value);
        }
        let settings = Settings::parse(&env, &[Signal::Logs]);
        assert_eq!(settings.warnings, [""; 0]);
        Self(transport(&settings.destinations[0], network).unwrap(), protocol)
    }

    /// Sends one line.
    fn send(&mut self, line: &str) -> Result<Accepted, Refusal> {
        self.send_within(line, PATIENT)
    }

    fn send_within(&mut self, line: &str, time: Duration) -> Result<Accepted, Refusal> {
        let body = AnyValue { value: Some(Value::StringValue(line.to_owned())) };
        let record = LogRecord { body: Some(body), ..LogRecord::default() };
        let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        let request = ExportLogsServiceRequest { resource_logs };
        let bytes = if self.1 == "http/json" { serde_json::to_vec(&request).unwrap() } else { request.encode_to_vec() };
        self.0.send(Signal::Logs, &bytes, Instant::now() + time)
    }
}

/// A client and the plain collector that it speaks to, for each protocol.
fn pairs() -> impl Iterator<Item = (&'static str, Collector, Client)> {
    PROTOCOLS.iter().map(|protocol| {
        let collector = collector(protocol);
        let client = Client::new(protocol, &collector.endpoint(), &[]);
        (*protocol, collector, client)
    })
}

fn retry(result: Result<Accepted, Refusal>) -> Retry {
    result.expect_err("a refusal").retry
}

#[test]
fn r38_every_protocol_delivers_with_headers_and_compression() {
    for protocol in PROTOCOLS {
        for compression in ["none", "gzip"] {
            let collector = collector(protocol);
            let more = [
                ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc,x-team=a"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
            ];
            let mut client = Client::new(protocol, &collector.endpoint(), &more);
            let long = "long ".repeat(10_000);
            for line in ["one", "two", &long] {
                assert_eq!(client.send(line), Ok(Accepted::default()), "{protocol}");
            }
            assert_eq!(collector.lines(), ["one", "two", &long], "{protocol}");
            assert_eq!(collector.connections(), 1, "{protocol}: a connection is used again");
            for request in collector.requests() {
                assert!(request.path.ends_with(if *protocol == "grpc" { "Export" } else { "/v1/logs" }), "{request:?}");
                assert_eq!((&*request.headers["authorization"], &*request.headers["x-team"]), ("Bearer abc", "a"));
                assert!(request.headers["user-agent"].starts_with("OTel-OTLP-Exporter-Rust/"), "{request:?}");
            }
            let size = collector.requests()[2].size;
            assert_eq!(size < 5_000, compression == "gzip", "{protocol}: {size}");
        }
    }
}

#[test]
fn r39_only_what_may_pass_is_tried_again() {
    let now = |seconds| Retry::After(Duration::from_secs(seconds));
    for (protocol, collector, mut client) in pairs() {
        for (status, after, expected) in [
            (503, Some("7"), now(7)),
            (429, Some("1"), now(1)),
            (429, None, Retry::Later),
            (502, None, Retry::Later),
            (504, None, Retry::Later),
            (400, None, Retry::Never),
            (401, Some("1"), Retry::Never),
            (404, None, Retry::Never),
            (413, None, Retry::Never),
            (500, None, Retry::Never),
            (301, None, Retry::Never),
        ] {
            collector.next([Answer::Status(status, after)]);
            assert_eq!(retry(client.send("refused")), expected, "{protocol} {status}");
        }
        assert_eq!(client.send("taken"), Ok(Accepted::default()), "{protocol}");
        assert_eq!(collector.lines(), ["taken"], "{protocol}");
    }
}

#[cfg(feature = "grpc")]
#[test]
fn r39_statuses_of_grpc_are_tried_again_as_the_specification_lists_them() {
    let collector = Collector::grpc();
    let mut client = Client::new("grpc", &collector.endpoint(), &[]);
    for code in 1..=17 {
        collector.next([Answer::Grpc(code, "as told", None)]);
        let expected = if [1, 4, 10, 11, 14, 15].contains(&code) { Retry::Later } else { Retry::Never };
        let refusal = client.send("refused").unwrap_err();
        assert_eq!(refusal.retry, expected, "{code}");
        assert!(refusal.cause.starts_with(&format!("status {code} (")) && refusal.cause.ends_with(": as told"));
    }
    let after = Duration::from_millis(1500);
    for (code, expected) in [(8, Retry::After(after)), (14, Retry::After(after)), (3, Retry::Never)] {
        collector.next([Answer::Grpc(code, "as told", Some(after))]);
        assert_eq!(retry(client.send("refused")), expected, "{code}");
    }
    assert_eq!(client.send("taken"), Ok(Accepted::default()));
    assert_eq!((collector.lines(), collector.connections()), (vec!["taken".to_owned()], 1));
}

#[test]
fn r39_partial_success_is_reported() {
    let told = |rejected, message: &str| Ok(Accepted { rejected, message: Some(message.to_owned()) });
    for protocol in PROTOCOLS {
        // A server of gRPC compresses its answer where the request was compressed.
        for compression in ["none", "gzip"] {
            let collector = collector(protocol);
            let more = [("OTEL_EXPORTER_OTLP_COMPRESSION", compression)];
            let mut client = Client::new(protocol, &collector.endpoint(), &more);
            collector.next([Answer::Partial(1, "too old"), Answer::Partial(0, "please upgrade")]);
            assert_eq!(client.send("a"), told(1, "too old"), "{protocol} {compression}");
            assert_eq!(client.send("b"), told(0, "please upgrade"), "{protocol} {compression}");
            assert_eq!(client.send("c"), Ok(Accepted::default()), "{protocol} {compression}");
        }
    }
}

#[test]
fn r39_broken_connections_are_for_now_and_the_next_request_makes_a_new_one() {
    for (protocol, collector, mut client) in pairs() {
        assert!(client.send("before").is_ok());
        collector.next([Answer::Unanswered, Answer::Reset]);
        assert_eq!(retry(client.send("lost answer")), Retry::Later, "{protocol}");
        assert_eq!(retry(client.send("reset")), Retry::Later, "{protocol}");
        assert!(client.send("after").is_ok(), "{protocol}");
        assert_eq!(collector.lines(), ["before", "lost answer", "after"], "{protocol}");
    }
}

#[test]
fn r39_a_collector_that_restarts_is_found_again() {
    for (protocol, mut collector, mut client) in pairs() {
        assert!(client.send("before").is_ok());
        collector.stop();
        assert_eq!(retry(client.send("nobody there")), Retry::Later, "{protocol}");
        let refusal = client.send("nobody there").unwrap_err();
        assert!(refusal.cause.contains("refused"), "{protocol}: {refusal}");
        collector.restart();
        assert!(client.send("after").is_ok(), "{protocol}");
        // The client has not looked at its connection when this one is there.
        collector.restart();
        let again = client.send("again");
        assert!(again.is_ok() || client.send("again").is_ok(), "{protocol}: {again:?}");
        assert_eq!(collector.lines(), ["before", "after", "again"], "{protocol}");
    }
}

#[test]
fn r38_a_request_takes_no_longer_than_it_may() {
    for (protocol, collector, mut client) in pairs() {
        collector.next([Answer::BlackHole, Answer::Slow(Duration::from_millis(200))]);
        let began = Instant::now();
        let refusal = client.send_within("into the hole", Duration::from_millis(300)).unwrap_err();
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(20), "{protocol}: {took:?}");
        assert_eq!(refusal.retry, Retry::Later, "{protocol}");
        assert!(refusal.cause.contains("timed out"), "{protocol}: {refusal}");
        assert!(client.send("slow").is_ok(), "{protocol}");
        assert_eq!(collector.lines(), ["slow"], "{protocol}");
    }
}

#[test]
fn r39_answers_that_make_no_sense_do_no_harm() {
    for (protocol, collector, mut client) in pairs() {
        for answer in [Answer::Html, Answer::Garbage, Answer::Endless, Answer::Http10] {
            collector.next([answer.clone()]);
            let result = client.send_within("odd", PATIENT);
            let is_grpc = protocol == "grpc";
            match (&answer, is_grpc) {
                (Answer::Http10, _) => {
                    assert_eq!(result, Ok(Accepted::default()), "{protocol}");
                }
                // With gRPC it is not a status of HTTP that says that all is well.
                (Answer::Html | Answer::Endless, true) => assert_eq!(retry(result), Retry::Never, "{answer:?}"),
                _ => {
                    let message = result.unwrap_or_else(|error| panic!("{protocol} {answer:?}: {error}")).message;
                    assert!(message.is_some_and(|text| text.contains("no collector")), "{protocol} {answer:?}");
                }
            }
        }
        assert!(client.send("after").is_ok(), "{protocol}");
    }
}

/// What a collector writes is told, for it may help; but not what was secret.
#[test]
fn r41_what_a_collector_repeats_of_a_header_is_not_told() {
    for protocol in PROTOCOLS {
        let collector = collector(protocol);
        let headers = [(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer canary-of-the-collector,x-key=one two  canary-in-blanks",
        )];
        let endpoint = format!("{}/?api-key=canary-of-the-query", collector.endpoint());
        let mut client = Client::new(protocol, &endpoint, &headers);
        collector.next([Answer::Status(400, None)]);
        let refusal = client.send("a").unwrap_err();
        assert!(!refusal.cause.contains("canary"), "{protocol}: {refusal}");
        for said in [
            "bad canary-of-the-collector".to_owned(),
            "/?api-key=canary-of-the-query".to_owned(),
            "bad one two  canary-in-blanks".to_owned(),
            format!("{} canary-of-the-collector", "x".repeat(285)),
        ] {
            collector.next([Answer::Partial(1, said.leak())]);
            let accepted = client.send("b").unwrap();
            let told = accepted.message.unwrap_or_default();
            assert!(accepted.rejected == 1 && !told.is_empty() && !told.contains("can"), "{protocol}: {told}");
        }
        #[cfg(feature = "grpc")]
        if *protocol == "grpc" {
            collector.next([Answer::Grpc(16, "no canary-of-the-collector", None)]);
            assert!(!client.send("c").unwrap_err().cause.contains("canary"));
        }
    }
}

#[test]
fn r38_certificates_are_those_of_the_variables() {
    let file = |name: &str| tls::path(name).to_str().unwrap().to_owned();
    let (ca, other) = (file("ca.pem"), file("other-ca.pem"));
    let trust = |file: &str| vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", file.to_owned())];
    let shown = [
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", file("client.pem")),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", file("client-key.pem")),
    ];
    for protocol in PROTOCOLS {
        let send = |collector: &Collector, more: &[(&str, String)]| {
            let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Client::new(protocol, &collector.endpoint(), &more).send("secret")
        };
        let good = secure(protocol, Identity::Good);
        assert_eq!(send(&good, &trust(&ca)), Ok(Accepted::default()), "{protocol}");
        let refusal = send(&good, &trust(&other)).unwrap_err();
        assert!(refusal.cause.contains("certificate signed by unknown authority"), "{protocol}: {refusal}");
        // Whoever runs the collector can put it right.
        assert_eq!(refusal.retry, Retry::Later, "{protocol}");
        let stranger = secure(protocol, Identity::Stranger);
        let refusal = send(&stranger, &trust(&ca)).unwrap_err();
        assert!(refusal.cause.contains("not valid for"), "{protocol}: {refusal}");
        assert_eq!(stranger.lines(), [""; 0], "{protocol}");
        let mutual = secure(protocol, Identity::Mutual);
        // Whether the collector is gone before or after the request is written.
        for _ in 0..20 {
            let refusal = send(&mutual, &trust(&ca)).unwrap_err();
            assert_eq!(refusal.cause, "remote error: tls: certificate required", "{protocol}");
        }
        assert_eq!(send(&mutual, &[trust(&ca), shown.to_vec()].concat()), Ok(Accepted::default()), "{protocol}");
        assert!(mutual.requests()[0].identified, "{protocol}");
        // TLS where none is spoken, and none where it is.
        let plain = collector(protocol);
        let secure_endpoint = plain.endpoint().replace("http://", "https://");
        assert!(Client::new(protocol, &secure_endpoint, &[]).send("secret").is_err(), "{protocol}");
        let plain_endpoint = good.endpoint().replace("https://", "http://");
        assert!(Client::new(protocol, &plain_endpoint, &[]).send_within("secret", PATIENT).is_err(), "{protocol}");
        assert_eq!((good.lines().len(), plain.lines().len()), (1, 0), "{protocol}");
    }
}

/// An endpoint without a scheme is gRPC's alone: secure, unless somebody says otherwise.
#[cfg(feature = "grpc")]
#[test]
fn r38_grpc_without_a_scheme_is_secure_unless_told_otherwise() {
    let collector = Collector::grpc();
    let bare = collector.endpoint().replace("http://", "");
    let mut insecure = Client::new("grpc", &bare, &[("OTEL_EXPORTER_OTLP_INSECURE", "true")]);
    assert_eq!(insecure.send("a"), Ok(Accepted::default()));
    assert!(Client::new("grpc", &bare, &[]).send("b").is_err());
    assert_eq!(collector.lines(), ["a"]);
}

/// A gRPC client that speaks to a collector's http port, and the other way round.
#[cfg(feature = "grpc")]
#[test]
fn the_wrong_port_is_told_as_what_it_may_be() {
    let (http, grpc) = (Collector::http(), Collector::grpc());
    let refusal = Client::new("grpc", &http.endpoint(), &[]).send_within("a", PATIENT).unwrap_err();
    assert!(refusal.cause.contains("does the endpoint speak gRPC?"), "{refusal}");
    assert!(Client::new("http/protobuf", &grpc.endpoint(), &[]).send_within("a", PATIENT).is_err());
}

#[cfg(not(feature = "grpc"))]
#[test]
fn r38_grpc_that_was_left_out_is_one_clear_sentence() {
    let mut env = Environment::default();
    env.set("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let settings = Settings::parse(&env, &[Signal::Logs]);
    let Err(text) = transport(&settings.destinations[0], &Network::default()) else { panic!("it speaks gRPC") };
    assert!(text.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL is grpc, which this lifecycle was built without"), "{text}");
}

/// What the collector of these tests cannot read is no success of a test.
#[test]
fn the_collector_reads_what_comes() {
    for (protocol, collector, mut client) in pairs() {
        client.0.send(Signal::Logs, b"\xff\xff\xff", Instant::now() + PATIENT).unwrap();
        assert!(matches!(collector.requests()[0].payload, Payload::Unreadable(_)), "{protocol}");
    }
}
