//! Spools that earlier runs left, whole and broken.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use super::super::otlp::fake::{FakeCollector, Reply};
use super::super::otlp::settings::Settings;
use super::super::spool::tests::config;
use super::super::spool::{Spool, SpoolConfig};
use super::*;
use crate::model::env::Environment;

/// A folder with a spool of an ended run, with these requests of two records each.
fn left(requests: &[(Signal, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::create(&SpoolConfig { traces: Form::Json, ..config(folder.path()) }).unwrap();
    for (signal, request) in requests {
        spool.append(*signal, 1, request.as_bytes(), 2).unwrap();
    }
    let path = spool.path().to_owned();
    (folder, path)
}

fn ship_to(path: &Path, variables: &[(&str, &str)]) -> Result<Resent, ResendError> {
    let env: Environment =
        variables.iter().map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), *value)).collect();
    let settings = Settings::parse(&env, &Signal::ALL);
    resend(path, &settings.destinations, &Network::default(), Duration::from_secs(1))
}

fn ship(path: &Path, collector: &FakeCollector) -> Result<Resent, ResendError> {
    ship_to(path, &[("ENDPOINT", &collector.url())])
}

const BOTH: &[(Signal, &str)] = &[(Signal::Logs, "one"), (Signal::Traces, "{}"), (Signal::Logs, "three")];

#[test]
fn r40_what_was_left_is_sent_in_its_form_and_the_spool_goes() {
    let collector = FakeCollector::start();
    let (folder, path) = left(BOTH);
    let resent = ship(&path, &collector).unwrap();
    assert_eq!(resent, Resent { sent: 6, removed: true, ..Resent::default() });
    let seen: Vec<_> = collector
        .seen()
        .into_iter()
        .map(|seen| (seen.line, seen.headers["content-type"].clone(), String::from_utf8(seen.body).unwrap()))
        .collect();
    let expected = [
        ("POST /v1/logs HTTP/1.1", "application/x-protobuf", "one"),
        ("POST /v1/traces HTTP/1.1", "application/json", "{}"),
        ("POST /v1/logs HTTP/1.1", "application/x-protobuf", "three"),
    ];
    assert_eq!(seen, expected.map(|(line, of, body)| (line.to_owned(), of.to_owned(), body.to_owned())));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(ship(&path, &collector), Err(ResendError::Open { .. })), "a second time there is none");
}

#[test]
fn r40_what_was_delivered_is_not_sent_again_when_the_rest_is() {
    let collector = FakeCollector::start();
    let (_folder, path) = left(BOTH);
    let ok = Reply::status(200, &[], "");
    collector.reply([ok.clone(), Reply::status(503, &["Retry-After: 60"], ""), ok]);
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.left, resent.removed), (4, 2, false), "{resent:?}");
    assert_eq!(resent.troubles.len(), 1, "{resent:?}");
    collector.seen();
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.left, resent.removed), (2, 0, true));
    assert_eq!(collector.seen().iter().map(|seen| &seen.body[..]).collect::<Vec<_>>(), [b"{}"]);
}

#[test]
fn what_is_refused_stays_and_all_else_is_sent() {
    let collector = FakeCollector::start();
    let (_folder, path) = left(BOTH);
    collector.reply([Reply::status(400, &[], "no")]);
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.lost, resent.left, resent.removed), (4, 0, 2, false));
    let endpoint = format!("{}/v1/logs", collector.url());
    let expected = format!("{endpoint} refused what still waits: status 400 Bad Request: no");
    assert_eq!(resent.troubles, [expected]);
    collector.seen();
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.left, resent.removed), (2, 0, true));
    assert_eq!(collector.seen().iter().map(|seen| &seen.body[..]).collect::<Vec<_>>(), [b"one"]);
}

#[test]
fn who_refuses_one_request_after_the_other_gets_no_more_and_nothing_is_lost() {
    for status in [400, 401, 403, 404, 405, 407, 500] {
        let collector = FakeCollector::start();
        let requests = [(Signal::Logs, "x"); 100];
        let (_folder, path) = left(&requests);
        let before = fs::read(&path).unwrap();
        collector.reply((0..100).map(|_| Reply::status(status, &[], "")));
        let resent = ship(&path, &collector).unwrap();
        assert_eq!((resent.sent, resent.lost, resent.left, resent.removed), (0, 0, 200, false), "{status}");
        assert!(resent.troubles[1].ends_with("gets no more: it refused 5 requests in a row"), "{resent:?}");
        assert_eq!((resent.troubles.len(), collector.seen().len()), (2, 5), "{status}");
        assert_eq!(fs::read(&path).unwrap(), before, "{status}");
    }
}

#[test]
fn a_dead_collector_leaves_everything() {
    let (_folder, path) = left(BOTH);
    let before = fs::read(&path).unwrap();
    let resent = ship_to(&path, &[("ENDPOINT", "http://127.0.0.1:1")]).unwrap();
    assert_eq!((resent.sent, resent.left, resent.removed), (0, 6, false));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn only_one_sends_a_spool_at_a_time() {
    let collector = FakeCollector::start();
    let (_folder, path) = left(BOTH);
    let other = File::open(&path).unwrap();
    flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(matches!(ship(&path, &collector), Err(ResendError::InUse(_))));
    drop(other);
    let folder = tempfile::tempdir().unwrap();
    let running = Spool::create(&config(folder.path())).unwrap();
    assert!(matches!(ship(running.path(), &collector), Err(ResendError::InUse(_))), "a phase still writes it");
    assert!(collector.seen().is_empty());
}

#[test]
fn two_at_once_send_each_request_once() {
    let collector = FakeCollector::start();
    for _ in 0..5 {
        let requests: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let requests: Vec<_> = requests.iter().map(|text| (Signal::Logs, text.as_str())).collect();
        let (_folder, path) = left(&requests);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| ship(&path, &collector));
            }
        });
        assert_eq!(collector.seen().len(), 20);
        assert!(!path.exists());
    }
}

#[test]
fn damage_is_counted_and_kept_and_all_else_is_sent() {
    let collector = FakeCollector::start();
    let (_folder, path) = left(BOTH);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"X", 16 + 32).unwrap();
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.lost, resent.damaged, resent.removed), (4, 2, 3, false), "{resent:?}");
    collector.seen();
    // The second time there is nothing but the damage.
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.lost, resent.damaged, resent.removed), (0, 2, 3, false));
    assert!(collector.seen().is_empty());
}

#[test]
fn a_torn_end_is_told_and_goes_with_the_spool() {
    let collector = FakeCollector::start();
    let (_folder, path) = left(BOTH);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let resent = ship(&path, &collector).unwrap();
    assert_eq!((resent.sent, resent.lost, resent.torn, resent.removed), (4, 2, true, true), "{resent:?}");
}

#[test]
fn what_is_no_spool_is_left_alone() {
    let collector = FakeCollector::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for text in ["", "something of somebody's"] {
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        assert!(matches!(ship(&path, &collector), Err(ResendError::NoSpool(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let link = folder.path().join("link");
    let (_other, spool) = left(BOTH);
    std::os::unix::fs::symlink(&spool, &link).unwrap();
    let error = ship(&link, &collector).unwrap_err().to_string();
    assert!(error.contains("too many levels of symbolic links"), "{error}");
    nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(ship(&folder.path().join("pipe"), &collector), Err(ResendError::NoSpool(_))));
    assert!(ship(folder.path(), &collector).is_err());
    assert!(collector.seen().is_empty());
}

#[test]
fn an_empty_spool_goes() {
    let collector = FakeCollector::start();
    let (_folder, path) = left(&[]);
    assert_eq!(ship(&path, &collector).unwrap(), Resent { removed: true, ..Resent::default() });
    assert!(!path.exists());
}

#[test]
fn json_does_not_go_by_grpc() {
    let (_folder, path) = left(&[(Signal::Traces, "{}")]);
    let resent = ship_to(&path, &[("PROTOCOL", "grpc")]).unwrap();
    assert_eq!((resent.left, resent.removed), (2, false));
    assert!(resent.troubles[0].contains("set it to http/json for this"), "{resent:?}");
}
