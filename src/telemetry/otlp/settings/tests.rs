//! The variables, well and badly written.

use super::*;

fn parse(variables: &[(&str, &str)], signals: &[Signal]) -> Settings {
    let name = |name: &str| {
        if name.starts_with("OTEL_") { name.to_owned() } else { format!("OTEL_EXPORTER_OTLP_{name}") }
    };
    let env: Environment = variables.iter().map(|(of, value)| (name(of), *value)).collect();
    Settings::parse(&env, signals)
}

/// The addresses of traces and logs, where nothing is to be said.
#[track_caller]
fn addresses(variables: &[(&str, &str)]) -> [String; 2] {
    let settings = parse(variables, &Signal::ALL);
    assert_eq!(settings.warnings, [""; 0]);
    let [traces, logs] = &settings.destinations[..] else { panic!("{settings:?}") };
    [traces.endpoint.secret_text(), logs.endpoint.secret_text()]
}

#[test]
fn r38_endpoints_are_made_as_the_specification_has_them() {
    for (variables, expected) in [
        (&[][..], ["http://localhost:4318/v1/traces", "http://localhost:4318/v1/logs"]),
        (
            &[("ENDPOINT", "http://collector:4318")],
            ["http://collector:4318/v1/traces", "http://collector:4318/v1/logs"],
        ),
        (&[("ENDPOINT", "")], ["http://localhost:4318/v1/traces", "http://localhost:4318/v1/logs"]),
        (&[("ENDPOINT", "HTTPS://c/my/")], ["https://c/my/v1/traces", "https://c/my/v1/logs"]),
        (&[("ENDPOINT", "https://c/my")], ["https://c/my/v1/traces", "https://c/my/v1/logs"]),
        (&[("ENDPOINT", "http://[::1]:80")], ["http://[::1]:80/v1/traces", "http://[::1]:80/v1/logs"]),
        (&[("ENDPOINT", "http://c?key=1#x")], ["http://c/v1/traces?key=1", "http://c/v1/logs?key=1"]),
        (&[("TRACES_ENDPOINT", "http://c:1")], ["http://c:1/", "http://localhost:4318/v1/logs"]),
        (
            &[("ENDPOINT", "http://base/x"), ("LOGS_ENDPOINT", "https://c/v1/logs/?key=1")],
            ["http://base/x/v1/traces", "https://c/v1/logs/?key=1"],
        ),
        (&[("ENDPOINT", "http://base"), ("LOGS_ENDPOINT", " ")], ["http://base/v1/traces", "http://base/v1/logs"]),
        (&[("PROTOCOL", "grpc")], ["http://localhost:4317/", "http://localhost:4317/"]),
        (&[("PROTOCOL", "grpc"), ("ENDPOINT", "c:1")], ["https://c:1/", "https://c:1/"]),
        (&[("PROTOCOL", "grpc"), ("ENDPOINT", "c:1"), ("INSECURE", "TRUE")], ["http://c:1/", "http://c:1/"]),
        (&[("PROTOCOL", "grpc"), ("ENDPOINT", "https://c:1"), ("INSECURE", "true")], ["https://c:1/", "https://c:1/"]),
        (&[("LOGS_PROTOCOL", "grpc"), ("ENDPOINT", "http://c:1")], ["http://c:1/v1/traces", "http://c:1/"]),
    ] {
        assert_eq!(addresses(variables), expected, "{variables:?}");
    }
}

#[test]
fn r38_what_is_set_for_a_signal_wins_and_empty_is_unset() {
    let variables = [
        ("PROTOCOL", "http/json"),
        ("LOGS_PROTOCOL", "Http/Protobuf"),
        ("HEADERS", "a=1"),
        ("LOGS_HEADERS", "b=2"),
        ("TIMEOUT", "1500"),
        ("LOGS_TIMEOUT", "0"),
        ("COMPRESSION", "GZIP"),
        ("LOGS_COMPRESSION", "none"),
        ("CERTIFICATE", "/ca"),
        ("LOGS_CERTIFICATE", ""),
        ("CLIENT_KEY", "/key"),
        ("CLIENT_CERTIFICATE", "/certificate"),
        ("LOGS_CLIENT_KEY", "/logs-key"),
    ];
    let settings = parse(&variables, &Signal::ALL);
    assert_eq!(settings.warnings, [""; 0]);
    let [traces, logs] = &settings.destinations[..] else { panic!("{settings:?}") };
    assert_eq!((traces.protocol, logs.protocol), (Protocol::HttpJson, Protocol::HttpProtobuf));
    assert_eq!(traces.headers.iter().collect::<Vec<_>>(), [("a", "1")]);
    assert_eq!(logs.headers.iter().collect::<Vec<_>>(), [("b", "2")]);
    assert_eq!((traces.timeout, logs.timeout), (Some(Duration::from_millis(1500)), None));
    assert_eq!((traces.gzip, logs.gzip), (true, false));
    assert_eq!((&traces.certificate, &logs.certificate), (&Some("/ca".into()), &Some("/ca".into())));
    assert_eq!(logs.client, Some(("/certificate".into(), "/logs-key".into())));
    assert_eq!(logs.variable("CLIENT_KEY"), "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY");
    assert_eq!(logs.variable("CERTIFICATE"), "OTEL_EXPORTER_OTLP_CERTIFICATE");
}

#[test]
fn r38_nothing_set_is_the_default_for_the_signals_that_were_asked_for() {
    let settings = parse(&[], &[Signal::Logs]);
    let [logs] = &settings.destinations[..] else { panic!("{settings:?}") };
    assert_eq!((logs.protocol, logs.timeout, logs.gzip), (Protocol::HttpProtobuf, Some(DEFAULT_TIMEOUT), false));
    assert!(logs.headers.is_empty() && logs.certificate.is_none() && logs.client.is_none());
    assert!(parse(&[("PROTOCOL", "x")], &[]).warnings.is_empty());
}

#[test]
fn r38_a_disabled_sdk_sends_nothing_and_says_so() {
    for value in ["true", "True"] {
        let settings = parse(&[("OTEL_SDK_DISABLED", value)], &Signal::ALL);
        assert!(settings.destinations.is_empty());
        assert!(settings.warnings[0].contains("OTEL_SDK_DISABLED is true"), "{settings:?}");
    }
    assert!(parse(&[("OTEL_SDK_DISABLED", "true")], &[]).warnings.is_empty());
    for value in ["false", "FALSE", ""] {
        let settings = parse(&[("OTEL_SDK_DISABLED", value)], &Signal::ALL);
        assert_eq!((settings.destinations.len(), settings.warnings.len()), (2, 0));
    }
}

type Variables = &'static [(&'static str, &'static str)];

/// What is wrong, what is said of it, and whether something is sent all the same.
const MALFORMED: &[(Variables, &str, bool)] = &[
    (&[("OTEL_SDK_DISABLED", "s3cret")], "OTEL_SDK_DISABLED is neither true nor false", true),
    (&[("OTEL_SDK_DISABLED", "1")], "OTEL_SDK_DISABLED is neither true nor false", true),
    (&[("PROTOCOL", "s3cret")], "OTEL_EXPORTER_OTLP_PROTOCOL names no known protocol", true),
    (&[("PROTOCOL", "http")], "set it to http/protobuf, http/json or grpc", true),
    (&[("LOGS_PROTOCOL", "http/xml")], "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL names no", true),
    (&[("ENDPOINT", "collector-s3cret:4318")], "has to begin with http:// or https://", false),
    (&[("ENDPOINT", "ftp://s3cret")], "has to begin with http:// or https://", false),
    (&[("ENDPOINT", "unix:///s3cret"), ("PROTOCOL", "grpc")], "has to begin with http:// or https://", false),
    (&[("ENDPOINT", "http://")], "OTEL_EXPORTER_OTLP_ENDPOINT is no address of a collector", false),
    (&[("ENDPOINT", "http:///s3cret")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3cret:port")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3cret:0")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3cret:65536")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3cret:")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://[::1")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3 cret")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3cret/\u{1}")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://s3cret\r\nx: y")], "is no address of a collector", false),
    (&[("ENDPOINT", "http://user:s3cret@c")], "put credentials into OTEL_EXPORTER_OTLP_HEADERS", false),
    (&[("LOGS_ENDPOINT", "http://u:s3cret@c")], "put credentials into OTEL_EXPORTER_OTLP_LOGS_HEADERS", false),
    (&[("TIMEOUT", "10s")], "OTEL_EXPORTER_OTLP_TIMEOUT is no number of milliseconds", true),
    (&[("TIMEOUT", "-1")], "is no number of milliseconds", true),
    (&[("TIMEOUT", "1.5")], "is no number of milliseconds", true),
    (&[("TIMEOUT", "99999999999999999999999")], "is no number of milliseconds", true),
    (&[("LOGS_TIMEOUT", "s3cret")], "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT is no number", true),
    (&[("COMPRESSION", "s3cret")], "OTEL_EXPORTER_OTLP_COMPRESSION names no supported compression", true),
    (&[("COMPRESSION", "zstd")], "set it to gzip or none", true),
    (&[("HEADERS", "s3cret")], "number 1 of its entries", true),
    (&[("HEADERS", "a=1,s3cret,b=2, =s3cret")], "number 2, 4 of its entries", true),
    (&[("HEADERS", "a=s3cret%0d%0ax:y")], "number 1 of its entries", true),
    (&[("HEADERS", "a=s3cret%2")], "number 1 of its entries", true),
    (&[("HEADERS", "a=s3cret%zz")], "number 1 of its entries", true),
    (&[("HEADERS", "a=s3cret%ff")], "number 1 of its entries", true),
    (&[("HEADERS", "a b=s3cret")], "number 1 of its entries", true),
    (&[("HEADERS", "a=s3cret\u{e9}")], "number 1 of its entries", true),
    (&[("HEADERS", "Content-Length=s3cret")], "number 1 of its entries", true),
    (&[("HEADERS", "grpc-timeout=1S")], "number 1 of its entries", true),
    (&[("INSECURE", "1"), ("ENDPOINT", "c:1"), ("PROTOCOL", "grpc")], "OTEL_EXPORTER_OTLP_INSECURE is neither", true),
    (&[("INSECURE", "s3cret")], "OTEL_EXPORTER_OTLP_INSECURE is neither", true),
    (&[("LOGS_INSECURE", "s3cret")], "OTEL_EXPORTER_OTLP_LOGS_INSECURE is neither", true),
    (&[("CLIENT_KEY", "/s3cret")], "CLIENT_KEY is set without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", false),
    (&[("LOGS_CLIENT_CERTIFICATE", "/s3cret")], "LOGS_CLIENT_CERTIFICATE is set without", false),
];

#[test]
fn r38_each_malformed_value_is_one_warning_that_names_the_variable_and_not_the_value() {
    for (variables, expected, is_sent) in MALFORMED {
        let settings = parse(variables, &[Signal::Logs]);
        assert_eq!(settings.warnings.len(), 1, "{variables:?}: {settings:?}");
        let warning = &settings.warnings[0];
        assert!(warning.contains(expected), "{variables:?}: {warning}");
        assert!(!warning.contains("s3cret"), "{variables:?}: {warning}");
        assert_eq!(settings.destinations.len(), usize::from(*is_sent), "{variables:?}: {warning}");
    }
}

#[test]
fn what_is_wrong_for_both_signals_is_said_once() {
    let settings = parse(&[("PROTOCOL", "x"), ("TIMEOUT", "y"), ("HEADERS", "z")], &Signal::ALL);
    assert_eq!((settings.warnings.len(), settings.destinations.len()), (3, 2), "{settings:?}");
    // Which of them is not sent is worth a word for each.
    assert_eq!(parse(&[("ENDPOINT", "x")], &Signal::ALL).warnings.len(), 2);
}

#[test]
fn bytes_that_are_no_text_are_malformed() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let value = OsString::from_vec(b"http://\xff".to_vec());
    let env: Environment = [(OsString::from("OTEL_EXPORTER_OTLP_ENDPOINT"), value)].into_iter().collect();
    let settings = Settings::parse(&env, &[Signal::Logs]);
    assert!(settings.warnings[0].contains("is no address of a collector"), "{settings:?}");
}

#[test]
fn headers_are_read_as_baggage() {
    let (headers, bad) = Headers::parse(" Api-Key = a%20b%2C%3D+c , x=1,,y==2=, x=3,");
    let found: Vec<_> = headers.iter().collect();
    assert_eq!((found, bad), (vec![("api-key", "a b,=+c"), ("y", "=2="), ("x", "3")], vec![]));
}

#[test]
fn r41_what_nobody_may_see_is_values_of_headers_tokens_and_queries() {
    let variables = [("ENDPOINT", "https://c?api-key=abcdef&x"), ("HEADERS", "authorization=Bearer%20t0ken,x=y")];
    let destination = parse(&variables, &[Signal::Logs]).destinations.remove(0);
    let secrets = destination.secrets();
    for secret in ["Bearer t0ken", "t0ken", "y", "api-key=abcdef&x", "abcdef", "x"] {
        assert!(secrets.iter().any(|found| found == secret), "{secret}: {secrets:?}");
    }
    assert!(!format!("{destination:?}").contains("abcdef"));
}

#[test]
fn a_destination_may_speak_another_form_where_its_protocol_can() {
    let of = |protocol: &str| parse(&[("PROTOCOL", protocol)], &[Signal::Logs]).destinations.remove(0);
    let json = of("http/protobuf").speaking(Form::Json).unwrap();
    assert_eq!(json.protocol, Protocol::HttpJson);
    assert_eq!(of("http/json").speaking(Form::Protobuf).unwrap().protocol, Protocol::HttpProtobuf);
    assert!(of("grpc").speaking(Form::Json).is_none());
}

mod fuzz {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn otlp_variables() {
        let seeds: Vec<Vec<u8>> = MALFORMED
            .iter()
            .map(|(variables, ..)| {
                let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
                lines.concat().into_bytes()
            })
            .chain([b"ENDPOINT=https://c:4317/x?y\nHEADERS=a=b%20c,d=e\nTIMEOUT=7\nPROTOCOL=grpc\n".to_vec()])
            .collect();
        crate::fuzz::parser("otlp-variables", 512, &seeds, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let variables: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
            let settings = parse(&variables, &Signal::ALL);
            for destination in &settings.destinations {
                assert!(destination.endpoint.secret_text().parse::<ureq::http::Uri>().is_ok());
                for (name, value) in destination.headers.iter() {
                    assert!(ureq::http::HeaderName::from_bytes(name.as_bytes()).is_ok(), "{name}");
                    assert!(ureq::http::HeaderValue::from_str(value).is_ok());
                }
            }
            for warning in &settings.warnings {
                assert!(warning.chars().all(|c| !c.is_control()), "{warning}");
            }
        });
    }

    #[test]
    fn headers_come_out_as_they_were_encoded() {
        crate::fuzz::property(256, &prop::collection::vec("[ -~]{0,20}", 1..5), |values| {
            let encode = |value: &str| value.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            let text: Vec<String> =
                values.iter().enumerate().map(|(at, value)| format!("x{at}={}", encode(value))).collect();
            let (headers, bad) = Headers::parse(&text.join(","));
            prop_assert!(bad.is_empty());
            let found: Vec<&str> = headers.iter().map(|(_, value)| value).collect();
            prop_assert_eq!(found, values.iter().map(String::as_str).collect::<Vec<_>>());
            Ok(())
        });
    }
}
