//! Build logs and live spans, as a collector in other people's code takes them.
//!
//! Telemetry R31 to R34 and part "live spans".

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::collector::Collector;
use crate::support::outcome::Outcome;
use crate::support::platform::Platform;
use crate::support::registry::Registry;

/// How many lines the buildpack prints to each of its streams.
const LINES: usize = 5_000;

/// A platform whose buildpack prints numbered lines, and a span of its own.
fn platform(registry: &Registry) -> Platform {
    let platform = Platform::new().run_image_in(registry);
    let script = format!(
        r#"#!/bin/sh
i=0; while [ $i -lt {LINES} ]; do echo "line $i of the build"; echo "error $i of the build" >&2; i=$((i+1)); done
printf 'the last one has no end'
"#
    );
    for (name, text) in [("detect", "#!/bin/sh\necho 'I take part'\n"), ("build", &script)] {
        platform.write(&format!("buildpacks/samples_talks/0.1.0/bin/{name}"), text);
        let path = platform.path(&format!("buildpacks/samples_talks/0.1.0/bin/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let descriptor = "api = \"0.12\"\n[buildpack]\nid = \"samples/talks\"\nversion = \"0.1.0\"\n";
    platform.write("buildpacks/samples_talks/0.1.0/buildpack.toml", descriptor);
    platform.order(&[("samples/talks", "0.1.0")]);
    platform
}

/// How many MiB the buildpack prints of each of what is no text.
const MIB: usize = 100;

/// Issue 8, "Bad input", scaled down: `benches/runs/all --only build-logs-limits` prints 10 GB. A phase has 48 MiB.
#[test]
fn r32_however_much_is_printed_that_is_no_text_a_phase_keeps_within_its_memory_and_the_build_is_as_without() {
    let (registry, collector) = (Registry::plain(), Collector::start());
    let escapes = r#"yes "$(printf '\033[31mred\033[0m\033]0;title\007\r')" | head -c "#;
    for (endpoint, exit) in [(collector.endpoint("http/protobuf"), 0), ("http://127.0.0.1:9".to_owned(), 51)] {
        let mut platform = platform(&registry);
        let script = format!(
            "#!/bin/sh\n{escapes}{MIB}M\nhead -c {MIB}M /dev/zero\nhead -c {MIB}M /dev/zero | tr '\\0' '\\303'\n\
             echo; grep VmHWM /proc/$PPID/status\nexit {exit}\n"
        );
        platform.write("buildpacks/samples_talks/0.1.0/bin/build", &script);
        platform.write("platform/env/NPM_TOKEN", "some-token-of-the-build");
        let cache = platform.path("cache");
        for (name, value) in [
            ("CNB_BUILD_LOGS_OTLP", "true"),
            ("CNB_REDACT", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("CNB_TELEMETRY_FLUSH_TIMEOUT", "100ms"),
            // What is not delivered goes with the platform.
            ("TMPDIR", cache.to_str().unwrap()),
        ] {
            platform.env(name, value);
        }
        platform.fresh_layers();
        platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
        platform.run("detector", &[]).exits(0).done();
        let (code, size, end) = ended(&mut platform.command("builder", &[], false));
        assert_eq!(code, Some(exit), "{end}");
        // `CNB_NO_COLOR` takes the colours out of what is shown: 9 of 24 bytes of the first.
        assert!(size > (5 * MIB) << 19, "{size} bytes are shown");
        // The collector may be quick enough to take them all.
        assert!(exit == 0 || end.contains("lines were dropped"), "{end}");
        let peak = end.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak: usize = peak.expect("the peak of its memory").parse().unwrap();
        assert!(peak < 48 * 1024, "{peak} KiB");
    }
}

/// Runs a program that prints more than anybody wants to keep: its exit code, how many bytes it prints, and the last.
fn ended(command: &mut Command) -> (Option<i32>, usize, String) {
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = program.stdout.take().unwrap();
    let (mut size, mut end, mut buffer) = (0, Vec::new(), vec![0; 1 << 16]);
    loop {
        let count = output.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        size += count;
        end.drain(..end.len().saturating_sub(1 << 16));
        end.extend_from_slice(&buffer[..count]);
    }
    (program.wait().unwrap().code(), size, String::from_utf8_lossy(&end).into_owned())
}

fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_else(|| panic!("no {name} in {entry}"))
}

/// Every line of the buildpack is there once, in the order of its stream, with the span of its process.
#[track_caller]
fn check(collector: &Collector, protocol: &str, builds: &str) {
    let by = if protocol == "grpc" { "grpc" } else { "http" };
    let (logs, spans) = (collector.taken("log"), collector.taken("span"));
    assert!(logs.iter().chain(&spans).all(|entry| entry["by"] == by), "another protocol");
    let all: BTreeMap<&str, &Value> = spans.iter().map(|span| (text(span, "span"), span)).collect();
    assert_eq!(all.len(), spans.len(), "{builds}: a span twice");
    let program = spans.iter().find(|span| span["name"] == "buildpack-build").expect("the buildpack's span");
    // All the way up there is a span, but for the root.
    for span in &spans {
        let parent = text(span, "parent");
        let is_root = span["name"] == builds || (builds == "phases" && parent.is_empty());
        assert!(if is_root { parent.is_empty() } else { all.contains_key(parent) }, "{builds}: {span}");
    }
    assert_eq!(all[text(program, "parent")]["name"], "build");
    let of = |stream: &str| -> Vec<&Value> {
        let is_it = |log: &&Value| log["attributes"]["log.iostream"] == stream && log["span"] == program["span"];
        logs.iter().filter(is_it).collect()
    };
    let bodies = |stream: &str| of(stream).iter().map(|log| text(log, "body").to_owned()).collect::<Vec<_>>();
    let lines = |word: &str| (0..LINES).map(|index| format!("{word} {index} of the build")).collect::<Vec<_>>();
    let mut expected = lines("line");
    expected.push("the last one has no end".to_owned());
    assert_eq!(bodies("stdout"), expected, "{builds} {protocol}");
    assert_eq!(bodies("stderr"), lines("error"), "{builds} {protocol}");
    assert!(of("stdout").iter().all(|log| log["trace"] == program["trace"] && log["severity"] == 0));
    // The lifecycle's own lines are nobody else's.
    let own = logs.iter().find(|log| log["body"].as_str().is_some_and(|body| body.contains("===> BUILDING")));
    if let Some(own) = own {
        assert_ne!(own["span"], program["span"]);
    }
}

fn build(protocol: &str, run: impl FnOnce(&Platform, &Registry), builds: &str) {
    let (registry, collector) = (Registry::plain(), Collector::start());
    let mut platform = platform(&registry);
    for (name, value) in [
        ("CNB_TELEMETRY", "true"),
        ("CNB_BUILD_LOGS_OTLP", "true"),
        ("CNB_TRACES_OTLP", "true"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint(protocol)),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", "60s"),
    ] {
        platform.env(name, value);
    }
    run(&platform, &registry);
    check(&collector, protocol, builds);
}

fn create(platform: &Platform, registry: &Registry) {
    let created: Outcome = platform.create(&registry.image("app"), &[]).exits(0);
    created.hides("were not delivered").says("line 0 of the build").done();
}

fn phases(platform: &Platform, registry: &Registry) {
    platform.build(&registry.image("app"), &[]).hides("were not delivered").done();
}

#[test]
fn r32_every_line_of_the_creator_arrives_once_and_in_order_by_grpc() {
    build("grpc", create, "create");
}

#[test]
fn r32_every_line_of_the_creator_arrives_once_and_in_order_by_http() {
    build("http/protobuf", create, "create");
}

#[test]
fn r32_every_line_of_single_phases_arrives_once_and_in_order_by_grpc() {
    build("grpc", phases, "phases");
}

#[test]
fn r32_every_line_of_single_phases_arrives_once_and_in_order_by_http() {
    build("http/protobuf", phases, "phases");
}
