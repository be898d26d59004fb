//! The standard variables as a whole phase takes them, well and badly written: telemetry R38 and "Bad input".

use std::path::PathBuf;
use std::process::Command;

use super::{LIVE, LOGS, collectors, printed, ready, spools};
use crate::support::{APP_IMAGE, Collector, Payload, World};

#[test]
fn r38_each_signal_has_a_collector_protocol_and_headers_of_its_own() {
    let (traces, logs) = (Collector::http(), collectors().pop().unwrap());
    let (to_traces, to_logs) = (format!("{}/my/traces", traces.endpoint()), logs.1.endpoint());
    let to_logs = if logs.0 == "grpc" { to_logs } else { format!("{to_logs}/v1/logs") };
    let world = ready("echo one");
    let more = [
        LOGS,
        LIVE,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some("http://127.0.0.1:1")),
        ("OTEL_EXPORTER_OTLP_HEADERS", Some("x-of=both")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", Some("http/protobuf")),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Some(&to_traces)),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", Some("http/json")),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", Some("gzip")),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", Some(&to_logs)),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", Some(logs.0)),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", Some("x-of=logs")),
    ];
    world.run_with("builder", &[], &more).exits(0).does_not_say("Warning").done();
    assert!(traces.spans().iter().any(|(_, span)| span.name == "build"));
    for request in traces.requests() {
        assert!(matches!(request.payload, Payload::Traces(_)) && request.path == "/my/traces", "{request:?}");
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!((header("content-encoding"), header("x-of")), (Some("gzip"), Some("both")));
    }
    assert_eq!(printed(&logs.1.records()), ["one"]);
    for request in logs.1.requests() {
        assert!(matches!(request.payload, Payload::Logs(_)), "{request:?}");
        assert_eq!(request.headers["x-of"], "logs");
    }
}

#[test]
fn r38_a_disabled_sdk_sends_nothing_and_ships_nothing() {
    let mut collector = Collector::http();
    let endpoint = collector.endpoint();
    collector.stop();
    let world = ready("echo one; test -z \"$OTEL_SDK_DISABLED\"");
    let to = ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str()));
    let off = ("OTEL_SDK_DISABLED", Some("TRUE"));
    let built = world.run_with("builder", &[], &[LOGS, LIVE, to, off]).exits(0);
    assert_eq!(built.stdout.matches("Warning: ").count(), 1, "{}", built.report());
    built.says("nothing is sent to a collector: OTEL_SDK_DISABLED is true").done();
    assert_eq!(spools(&world), Vec::<PathBuf>::new());
    // What another phase left stays where it is.
    let soon = ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("100ms"));
    world.run_with("builder", &[], &[LOGS, to, soon]).exits(0).done();
    collector.restart();
    let spool = spools(&world).remove(0);
    let shipped = world.run_with("lifecycle", &["ship", spool.to_str().unwrap()], &[to, off]).exits(1);
    shipped.says("still wait").complains("OTEL_SDK_DISABLED is true").done();
    assert!(spool.exists());
    assert_eq!(collector.requests().len(), 0);
}

/// What is wrong, each one warning, and whether something is sent all the same. What nobody may see has the canary in it.
const MALFORMED: &[(&str, &str, bool)] = &[
    ("PROTOCOL", "http/canary", true),
    ("PROTOCOL", "grpc ://canary", true),
    ("ENDPOINT", "canary:4318/", false),
    ("ENDPOINT", "ftp://canary", false),
    ("ENDPOINT", "http://", false),
    ("ENDPOINT", "http:///canary", false),
    ("ENDPOINT", "http://canary:0", false),
    ("ENDPOINT", "http://canary:65536", false),
    ("ENDPOINT", "http://[canary", false),
    ("ENDPOINT", "http://can ary", false),
    ("ENDPOINT", "http://canary\u{fc}", false),
    ("ENDPOINT", "http://user:canary@localhost", false),
    ("ENDPOINT", "https://canary\r\nx: y", false),
    ("HEADERS", "canary", true),
    ("HEADERS", "=canary", true),
    ("HEADERS", "a=canary%0d%0ab:c", true),
    ("HEADERS", "a=canary%zz", true),
    ("HEADERS", "a b=canary", true),
    ("HEADERS", "host=canary", true),
    ("TIMEOUT", "canary", true),
    ("TIMEOUT", "-1", true),
    ("TIMEOUT", "1e3", true),
    ("TIMEOUT", "99999999999999999999999", true),
    ("COMPRESSION", "canary", true),
    ("INSECURE", "canary", true),
    ("CLIENT_KEY", "/canary", false),
    ("CLIENT_CERTIFICATE", "/canary", false),
];

#[test]
fn r38_every_malformed_variable_is_one_warning_and_the_phase_goes_on() {
    for (protocol, collector) in collectors() {
        let world = World::new();
        for (setting, value, is_sent) in MALFORMED {
            if *setting == "PROTOCOL" && protocol == "grpc" {
                // It would be taken for the default, which this collector does not speak.
                continue;
            }
            if (protocol, *value) == ("grpc", "canary:4318/") {
                // A host and a port are an address for gRPC.
                continue;
            }
            let sent = collector.spans().len();
            let name = format!("OTEL_EXPORTER_OTLP_{setting}");
            let endpoint = collector.endpoint();
            let mut more = vec![
                LIVE,
                ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol)),
            ];
            more.retain(|(other, _)| *other != name);
            more.push((&name, Some(value)));
            let analyzed = world.run_with("analyzer", &[APP_IMAGE], &more).exits(0).does_not_say("canary");
            let analyzed = analyzed.says(&name);
            assert_eq!(analyzed.stdout.matches("Warning: ").count(), 1, "{value}: {}", analyzed.report());
            assert_eq!(analyzed.stderr, "", "{value}");
            assert_eq!(collector.spans().len() > sent, *is_sent, "{protocol} {value}: {}", analyzed.report());
            assert_eq!(spools(&world), Vec::<PathBuf>::new(), "{value}");
        }
    }
}

#[test]
fn r38_files_of_no_use_are_one_warning_and_nothing_is_waited_for() {
    let collector = Collector::http();
    let world = World::new();
    let endpoint = collector.endpoint().replace("http://", "https://");
    assert!(Command::new("mkfifo").arg(world.path("pipe")).status().unwrap().success());
    world.write("empty", "");
    for name in ["/does/not/exist", "/dev/zero", "pipe", "layers", "empty", "order.toml"] {
        let more = [
            LIVE,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", Some(name)),
        ];
        let analyzed = world.run_with("analyzer", &[APP_IMAGE], &more).exits(0);
        assert_eq!(analyzed.stdout.matches("Warning: ").count(), 1, "{name}: {}", analyzed.report());
        analyzed.says("no spans are sent: OTEL_EXPORTER_OTLP_CERTIFICATE names a file").done();
    }
    assert_eq!(collector.connections(), 0);
}
