//! Requests as a collector sees them, and answers as collectors should not give them.

use std::io::Read as _;
use std::time::Duration;

use super::super::fake::{AUTHORITY, CLIENT, CLIENT_KEY, FakeCollector, Reply};
use super::super::settings::Settings;
use super::super::transport;
use super::*;
use crate::model::env::Environment;
use crate::net::proxy::Proxies;

fn settings(more: &[(&str, &str)]) -> Destination {
    let env: Environment = more.iter().map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), *value)).collect();
    let settings = Settings::parse(&env, &[Signal::Logs]);
    assert_eq!(settings.warnings, [""; 0]);
    settings.destinations.into_iter().next().unwrap()
}

type Client = Box<dyn Transport>;

fn client(more: &[(&str, &str)]) -> Client {
    transport(&settings(more), &Network::default()).unwrap()
}

fn send(client: &mut Client, request: &[u8]) -> Result<Accepted, Refusal> {
    client.send(Signal::Logs, request, Instant::now() + Duration::from_secs(20))
}

#[test]
fn r38_requests_go_where_they_should_in_the_form_that_was_asked_for_over_one_connection() {
    let collector = FakeCollector::start();
    let endpoint = format!("{}/base/", collector.url());
    let headers = ("HEADERS", "Authorization=Bearer%20abc, x-tenant = a b ");
    let mut client = client(&[("ENDPOINT", &endpoint), headers]);
    send(&mut client, b"one").unwrap();
    send(&mut client, b"two").unwrap();
    let seen = collector.seen();
    assert_eq!(seen.iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(seen[1].body, b"two");
    let seen = &seen[0];
    assert_eq!((seen.line.as_str(), &seen.body[..]), ("POST /base/v1/logs HTTP/1.1", &b"one"[..]));
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("authorization", "Bearer abc"),
        ("x-tenant", "a b"),
        ("user-agent", USER_AGENT),
    ] {
        assert_eq!(seen.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(seen.headers.get("content-encoding"), None);
}

#[test]
fn r38_json_and_gzip_are_named_as_what_they_are() {
    let collector = FakeCollector::start();
    let url = format!("{}/as/is?key=1", collector.url());
    let more = [("LOGS_ENDPOINT", url.as_str()), ("PROTOCOL", "http/json"), ("COMPRESSION", "gzip")];
    let request = b"{\"resourceLogs\":[]}".repeat(50);
    send(&mut client(&more), &request).unwrap();
    let seen = &collector.seen()[0];
    assert_eq!(seen.line, "POST /as/is?key=1 HTTP/1.1");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, request);
}

#[test]
fn r38_tls_trusts_the_given_authority_and_shows_the_given_certificate() {
    let collector = FakeCollector::start_tls();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let (ca, certificate, key) = (file("ca", AUTHORITY), file("certificate", CLIENT), file("key", CLIENT_KEY));
    let endpoint = format!("https://{}", collector.address);
    let own = [("CLIENT_CERTIFICATE", certificate.as_str()), ("CLIENT_KEY", key.as_str())];
    let all = [&[("ENDPOINT", endpoint.as_str()), ("CERTIFICATE", &ca)][..], &own].concat();
    send(&mut client(&all), b"one").unwrap();
    assert_eq!(collector.seen()[0].body, b"one");
    // Without the authority, and without a certificate of one's own: the request is kept for when that is mended.
    for less in [&[&[("ENDPOINT", endpoint.as_str())][..], &own].concat(), &all[..2]] {
        let refusal = send(&mut client(less), b"two").unwrap_err();
        assert_eq!(refusal.retry, Retry::Later, "{refusal}");
    }
    assert_eq!(collector.seen().len(), 0);
    // Whether the collector ends the connection before or after the request is written.
    for _ in 0..20 {
        let refusal = send(&mut client(&all[..2]), &vec![b'x'; 1 << 20]).unwrap_err();
        assert_eq!(refusal.cause, "remote error: tls: certificate required");
    }
}

#[test]
fn r38_files_that_are_of_no_use_are_told_by_the_name_of_their_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let none = path("none");
    for (name, text) in [
        ("empty", ""),
        ("certificate", CLIENT),
        ("key", CLIENT_KEY),
        ("other-key", OTHER_KEY),
        ("locked-key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let (empty, certificate, key, other) = (path("empty"), path("certificate"), path("key"), path("other-key"));
    let locked = path("locked-key");
    let endpoint = ("ENDPOINT", "https://127.0.0.1:1");
    for (more, expected) in [
        (vec![("CERTIFICATE", &none)], "OTEL_EXPORTER_OTLP_CERTIFICATE names a file that cannot be read: no such"),
        (vec![("LOGS_CERTIFICATE", &empty)], "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE names a file without certificates"),
        (
            vec![("CLIENT_CERTIFICATE", &certificate), ("CLIENT_KEY", &empty)],
            "OTEL_EXPORTER_OTLP_CLIENT_KEY names a file without a private key",
        ),
        (
            vec![("CLIENT_CERTIFICATE", &certificate), ("CLIENT_KEY", &locked)],
            "OTEL_EXPORTER_OTLP_CLIENT_KEY names a private key that is encrypted",
        ),
        (
            vec![("CLIENT_CERTIFICATE", &key), ("CLIENT_KEY", &key)],
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE names a file without certificates",
        ),
        (vec![("CLIENT_CERTIFICATE", &certificate), ("CLIENT_KEY", &other)], "are of no use"),
    ] {
        let more: Vec<_> = more.iter().map(|(name, value)| (*name, value.as_str())).chain([endpoint]).collect();
        let error = Http::new(&settings(&more), &Network::default()).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

/// A key that no certificate here belongs to.
const OTHER_KEY: &str = include_str!("../../../image/daemon/tests/certificates/daemon-key.pem");

#[test]
fn r39_only_what_may_pass_is_tried_again_and_when_the_collector_says() {
    let collector = FakeCollector::start();
    let url = collector.url();
    let mut client = client(&[("ENDPOINT", &url)]);
    for (status, headers, retry) in [
        (400, &[][..], Retry::Never),
        (401, &[], Retry::Never),
        (404, &[], Retry::Never),
        (408, &[], Retry::Never),
        (413, &["Retry-After: 3"], Retry::Never),
        (429, &[], Retry::Later),
        (429, &["Retry-After: 3"], Retry::After(Duration::from_secs(3))),
        (500, &[], Retry::Never),
        (501, &[], Retry::Never),
        (502, &[], Retry::Later),
        (503, &["Retry-After: soon"], Retry::Later),
        (
            503,
            &["Date: Sat, 21 Nov 2026 18:00:00 GMT", "Retry-After: Sat, 21 Nov 2026 18:01:00 GMT"],
            Retry::After(Duration::from_secs(60)),
        ),
        (504, &[], Retry::Later),
    ] {
        collector.reply([Reply::status(status, headers, "")]);
        assert_eq!(send(&mut client, b"one").unwrap_err().retry, retry, "{status}");
    }
    collector.reply([Reply::status(400, &["Content-Type: application/json"], r#"{"message":"no tenant"}"#)]);
    assert_eq!(send(&mut client, b"one").unwrap_err().cause, "status 400 Bad Request: no tenant");
    collector.reply([Reply::status(599, &[], "")]);
    assert_eq!(send(&mut client, b"one").unwrap_err().cause, "status 599");
}

#[test]
fn r39_partial_success_is_reported() {
    let collector = FakeCollector::start();
    let url = collector.url();
    let body = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
    collector.reply([Reply::status(200, &["Content-Type: application/json"], body)]);
    let accepted = send(&mut client(&[("ENDPOINT", &url)]), b"one").unwrap();
    assert_eq!(accepted, Accepted { rejected: 2, message: Some("too old".to_owned()) });
}

#[test]
fn r39_connections_that_fail_are_tried_again() {
    let collector = FakeCollector::start();
    let url = collector.url();
    let mut client = client(&[("ENDPOINT", &url)]);
    collector.reply([Reply::Hangup]);
    assert_eq!(send(&mut client, b"one").unwrap_err().retry, Retry::Later);
    assert_eq!(send(&mut client, b"one"), Ok(Accepted::default()));
    // Nobody listens there.
    let refusal = send(&mut self::client(&[("ENDPOINT", "http://127.0.0.1:1")]), b"one").unwrap_err();
    assert_eq!(refusal, Refusal::for_now("connection refused"));
}

#[test]
fn a_black_hole_is_left_at_the_deadline() {
    let collector = FakeCollector::start();
    let url = collector.url();
    let mut client = client(&[("ENDPOINT", &url)]);
    collector.reply([Reply::Silence]);
    let began = Instant::now();
    let refusal = client.send(Signal::Logs, b"one", began + Duration::from_millis(300)).unwrap_err();
    assert_eq!(refusal.retry, Retry::Later);
    assert!(refusal.cause.starts_with("timed out"), "{refusal}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(client.send(Signal::Logs, b"one", began).is_err());
}

#[test]
fn collectors_that_lie_are_borne_and_told() {
    let collector = FakeCollector::start();
    let url = collector.url();
    let mut client = client(&[("ENDPOINT", &url)]);
    let page = Reply::status(200, &["Content-Type: text/html"], "<html>Welcome</html>");
    let old = Reply::Last("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nok".to_owned());
    for reply in [page, old, Reply::Endless] {
        collector.reply([reply.clone()]);
        let began = Instant::now();
        let accepted = send(&mut client, b"one").unwrap();
        assert_eq!(accepted.rejected, 0);
        assert!(accepted.message.is_some_and(|text| text.contains("may be no collector")), "{reply:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    collector.reply([Reply::Last("SSH-2.0-OpenSSH_9\r\n".to_owned())]);
    assert!(send(&mut client, b"one").is_err());
}

#[test]
fn r41_redirects_are_not_followed_with_credentials() {
    let (collector, thief) = (FakeCollector::start(), FakeCollector::start());
    let url = collector.url();
    for status in [301, 302, 307, 308] {
        collector.reply([Reply::status(status, &[&format!("Location: {}/v1/logs", thief.url())], "")]);
        let more = [("ENDPOINT", url.as_str()), ("HEADERS", "authorization=s3cret")];
        assert_eq!(send(&mut client(&more), b"one").unwrap_err().retry, Retry::Never);
    }
    assert!(thief.seen().is_empty());
}

#[test]
fn r41_what_a_collector_repeats_of_credentials_is_hidden() {
    let collector = FakeCollector::start();
    let url = collector.url();
    let more = [("ENDPOINT", url.as_str()), ("HEADERS", "authorization=Bearer s3cret-t0ken")];
    let mut client = client(&more);
    collector.reply([Reply::status(401, &["Content-Type: text/plain"], "bad Bearer s3cret-t0ken (s3cret-t0ken)")]);
    let refusal = send(&mut client, b"one").unwrap_err();
    assert_eq!(refusal.cause, "status 401 Unauthorized: bad Bearer [REDACTED] ([REDACTED])");
    let body = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"of s3cret-t0ken"}}"#;
    collector.reply([Reply::status(200, &["Content-Type: application/json"], body)]);
    assert_eq!(send(&mut client, b"one").unwrap().message.as_deref(), Some("of [REDACTED]"));
    let shown = format!("{:?}", settings(&more));
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn proxies_are_used_as_for_registries() {
    let proxy = FakeCollector::start();
    let proxies = Proxies { http: proxy.url(), https: String::new(), none: "collector.test".to_owned() };
    let network = Network { proxies, ..Network::default() };
    let send_to = |endpoint: &str| {
        let mut client = Http::new(&settings(&[("ENDPOINT", endpoint)]), &network).unwrap();
        let refusal = client.send(Signal::Logs, b"one", Instant::now() + Duration::from_secs(5)).unwrap_err();
        assert_eq!(refusal.retry, Retry::Later, "{refusal}");
    };
    proxy.reply([Reply::status(502, &[], "")]);
    send_to("http://other.invalid:4318");
    send_to("http://collector.test.invalid:4318".replace(".invalid", "").as_str());
    let seen: Vec<String> = proxy.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(seen, ["CONNECT other.invalid:4318 HTTP/1.1"]);
    let proxies = Proxies { http: "%%:x".to_owned(), https: "http://u:s3cret@[".to_owned(), ..Proxies::default() };
    let bad = Network { proxies, ..Network::default() };
    for protocol in ["http/json", if cfg!(feature = "grpc") { "grpc" } else { "http/protobuf" }] {
        for (endpoint, name) in [("http://a.test", "HTTP_PROXY"), ("https://a.test", "HTTPS_PROXY")] {
            let settings = settings(&[("ENDPOINT", endpoint), ("PROTOCOL", protocol)]);
            let error = transport(&settings, &bad).err().unwrap();
            let is_clear = error.starts_with(&format!("{name} is no address of an http proxy"));
            assert!(is_clear && !error.contains("s3cret"), "{error}");
        }
    }
}

#[test]
fn r38_r41_a_proxy_that_does_not_speak_plain_http_is_told_and_nothing_is_sent_past_it() {
    let kinds = ["https", "socks", "socks4", "socks4a", "socks5", "socks5h", "SOCKS5", "SOCKS5H", "ftp"];
    for protocol in ["http/json", "http/protobuf", if cfg!(feature = "grpc") { "grpc" } else { "http/json" }] {
        for (endpoint, name) in [("http://a.test", "HTTP_PROXY"), ("https://a.test", "HTTPS_PROXY")] {
            for kind in kinds {
                let proxy = format!("{kind}://user:s3cret@127.0.0.1:9");
                let proxies = Proxies { http: proxy.clone(), https: proxy, ..Proxies::default() };
                let settings = settings(&[("ENDPOINT", endpoint), ("PROTOCOL", protocol)]);
                let error = transport(&settings, &Network { proxies, ..Network::default() }).err().unwrap();
                let expected = format!("{name} is no address of an http proxy, and no other is used");
                assert!(error.starts_with(&expected) && !error.contains("s3cret"), "{protocol} {kind}: {error}");
            }
        }
    }
}
