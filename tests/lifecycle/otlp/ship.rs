//! What phases could not deliver, and what nobody may see: telemetry R37, R40, R41.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{LIVE, collectors, spools, world};
use crate::support::{APP_IMAGE, Answer, Collector, Outcome, World};

const SOON: (&str, Option<&str>) = ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("200ms"));

fn create(world: &World, more: &[(&str, Option<&str>)]) -> Outcome {
    world.run_with("creator", &["-launcher", "bin/launcher", APP_IMAGE], more)
}

/// The spool of a build whose collector was not there, and what it printed.
fn left(world: &World, endpoint: &str, protocol: &str) -> (PathBuf, String) {
    let more =
        [LIVE, SOON, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint)), ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol))];
    let stdout = create(world, &more).exits(0).stdout.clone();
    let mut spools = spools(world);
    assert_eq!(spools.len(), 1, "{stdout}");
    (spools.remove(0), stdout)
}

fn ship(world: &World, args: &[&str], endpoint: &str, protocol: &str) -> Outcome {
    let more = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint)),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol)),
        ("CNB_PLATFORM_API", None),
    ];
    world.run_with("lifecycle", &[&["ship"], args].concat(), &more)
}

/// The names of the spans that a collector took; none twice.
fn names(collector: &Collector) -> Vec<String> {
    let spans = collector.spans();
    let ids: BTreeSet<_> = spans.iter().map(|(_, span)| span.span_id.clone()).collect();
    assert_eq!(ids.len(), spans.len(), "a span twice");
    spans.into_iter().map(|(_, span)| span.name).collect()
}

#[test]
fn r40_what_a_build_could_not_deliver_is_kept_told_and_sent_later() {
    for (protocol, mut collector) in collectors() {
        let endpoint = collector.endpoint();
        collector.stop();
        let world = world("exit 0");
        let (spool, stdout) = left(&world, &endpoint, protocol);
        let path = spool.to_str().unwrap();
        assert!(stdout.contains(&format!("lifecycle ship {path}")), "{protocol}: {stdout}");
        assert_eq!(fs::metadata(&spool).unwrap().mode() & 0o777, 0o600);
        // The collector is still away: nothing is lost.
        let away = ship(&world, &["--timeout=0", path], &endpoint, protocol).exits(1).says("still wait");
        away.complains("could not be reached").done();
        collector.restart();
        ship(&world, &[path], &endpoint, protocol).exits(0).says("spans and log records delivered\n").done();
        let names = names(&collector);
        for name in ["create", "build", "buildpack-build"] {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{protocol}: {names:?}");
        }
        assert_eq!(spools(&world), Vec::<PathBuf>::new(), "{protocol}");
        ship(&world, &[path], &endpoint, protocol).exits(1).complains("no such file or directory").done();
    }
}

#[test]
fn r40_a_spool_goes_on_where_the_last_delivery_ended() {
    let mut collector = Collector::http();
    let endpoint = collector.endpoint();
    collector.stop();
    let world = world("exit 0");
    let (spool, _) = left(&world, &endpoint, "http/protobuf");
    let path = spool.to_str().unwrap();
    collector.restart();
    collector.next([Answer::Ok, Answer::Ok, Answer::Status(503, Some("60"))]);
    ship(&world, &["--timeout", "1", path], &endpoint, "http/protobuf").exits(1).says("still wait").done();
    ship(&world, &[path], &endpoint, "http/protobuf").exits(0).done();
    assert!(names(&collector).contains(&"create".to_owned()));
}

#[test]
fn r37_damage_is_told_and_what_is_whole_is_sent() {
    let mut collector = Collector::http();
    let endpoint = collector.endpoint();
    collector.stop();
    let world = world("exit 0");
    let (spool, _) = left(&world, &endpoint, "http/json");
    collector.restart();
    let path = spool.to_str().unwrap();
    let bytes = fs::read(&spool).unwrap();
    // Torn at its end, as by SIGKILL, and damaged behind its title.
    fs::write(&spool, &bytes[..bytes.len() - 1]).unwrap();
    ship(&world, &[path], &endpoint, "http/json").exits(1).says("was killed").says("1 lost").done();
    assert_eq!(spools(&world).len(), 0);
    let sent = names(&collector).len();
    let damaged = [&bytes[..16], b"XX", &bytes[18..]].concat();
    fs::write(&spool, damaged).unwrap();
    ship(&world, &[path], &endpoint, "http/json").exits(1).says("bytes damaged, the file is kept").done();
    assert_eq!(collector.spans().len(), sent * 2);
    assert_eq!(spools(&world).len(), 1);
}

#[test]
fn ship_says_what_it_takes_and_takes_nothing_else() {
    let world = World::new();
    let nowhere = "http://127.0.0.1:1";
    let run = |args: &[&str]| ship(&world, args, nowhere, "http/protobuf");
    run(&["--help"]).exits(0).says("Usage: lifecycle ship").done();
    run(&["-h"]).exits(0).says("Usage: lifecycle ship").done();
    run(&[]).exits(2).complains("name a spool").complains("Usage:").done();
    run(&["--bogus", "x"]).exits(2).complains("unknown option '--bogus'").done();
    run(&["--timeout", "soon", "x"]).exits(2).complains("--timeout takes a number").done();
    run(&["none"]).exits(1).complains("'none': no such file or directory").done();
    run(&["-", "--", "-x"]).exits(1).complains("'-x': no such file").done();
    for name in ["empty", "other"] {
        world.write(name, if name == "empty" { "" } else { "cnb-otlp-spool 9 and more" });
        run(&[name]).exits(1).complains(&format!("'{name}' is no spool of this lifecycle")).done();
        assert!(world.path(name).exists());
    }
    world.write("build.jsonl", "{\"resourceSpans\":[]}\n");
    let trace = run(&["build.jsonl"]).exits(1).complains("'build.jsonl' is no spool of this lifecycle");
    trace.complains("with its receiver otlp_json_file, or look at them with 'lifecycle trace'").done();
    assert!(world.path("build.jsonl").exists());
}

const CANARY: &str = "s3cret-canary";

/// Every regular file below a folder that has a text in it, but for what the test itself wrote.
fn files_with(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_with(&path, text, found);
        } else if kind.is_file() && fs::read(&path).unwrap().windows(text.len()).any(|at| at == text.as_bytes()) {
            found.push(path);
        }
    }
}

#[test]
fn r41_headers_are_in_no_environment_file_or_output_and_the_process_cannot_be_read() {
    let look = "env; cat /proc/$PPID/environ && echo readable || echo closed; cat /proc/$PPID/maps > /dev/null || echo \
                no maps";
    let headers = format!("authorization=Bearer%20{CANARY},x-other={CANARY}");
    for (name, answer) in [
        ("OTEL_EXPORTER_OTLP_HEADERS", Some(Answer::Ok)),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", Some(Answer::Status(401, None))),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", None),
    ] {
        let mut collector = Collector::http();
        let endpoint = collector.endpoint();
        match answer.clone() {
            Some(answer) => collector.always(answer),
            None => collector.stop(),
        }
        let world = world(look);
        let files = ("CNB_TELEMETRY", Some("true"));
        let more =
            [LIVE, SOON, files, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())), (name, Some(&headers))];
        let created = create(&world, &more).exits(0).says("closed").says("no maps").does_not_say(CANARY);
        assert!(!created.stderr.contains(CANARY), "{}", created.stderr);
        let mut found = Vec::new();
        for folder in ["layers", "tmp", "images", "workspace", "cache"] {
            files_with(&world.path(folder), CANARY, &mut found);
        }
        assert_eq!(found, Vec::<PathBuf>::new(), "{name}");
        // That it does arrive where it should is what makes the rest worth something.
        let request = collector.requests().into_iter().next();
        let given = request.and_then(|request| request.headers.get("authorization").cloned());
        assert_eq!(given.is_some_and(|given| given.contains(CANARY)), answer.is_some(), "{name}");
    }
}

/// Also where nothing is sent: the environment that the phase was started with has it all the same.
#[test]
fn r41_the_process_cannot_be_read_while_it_has_a_key_or_an_address_with_a_credential() {
    let world = world(
        "head -c 1 /proc/$PPID/environ > /dev/null && echo readable || echo closed; echo limits $(ulimit -Sc) $(ulimit -Hc)",
    );
    let limits = |outcome: &Outcome| outcome.stdout.lines().find(|line| line.starts_with("limits ")).map(str::to_owned);
    let usual = limits(&create(&world, &[]));
    assert!(usual.is_some());
    for (name, value, seen) in [
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/does/not/exist", "closed"),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "/does/not/exist", "closed"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b", "closed"),
        ("CNB_REGISTRY_AUTH", r#"{"r.io":"Basic dTpw"}"#, "closed"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example?api-key=value", "closed"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:password@collector.example", "closed"),
        // Without credentials there is nothing to hide.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/v1", "readable"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "", "readable"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/does/not/exist", "readable"),
    ] {
        let created = create(&world, &[(name, Some(value))]).exits(0).says(seen);
        assert_eq!(limits(&created), usual, "programs have the platform's own limits");
        created.done();
    }
}

#[test]
fn r37_without_a_place_for_the_spool_the_build_is_as_without() {
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let world = world("exit 0");
    let more = |folder| [LIVE, ("TMPDIR", Some(folder)), ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str()))];
    let analyzed = world.run_with("analyzer", &[APP_IMAGE], &more("/does/not/exist")).exits(0);
    analyzed.says("there is no place for what waits to be sent: /does/not/exist: no such file or directory").done();
    // In the app's folder it would become part of the image.
    let inside = world.path("workspace/tmp");
    fs::create_dir_all(&inside).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).unwrap();
    world.run_with("analyzer", &[APP_IMAGE], &more(inside.to_str().unwrap())).exits(0).done();
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
    assert!(!collector.spans().is_empty());
}
