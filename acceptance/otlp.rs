//! Build logs and live spans, as a collector in other people's code takes them.
//!
//! Telemetry R31 to R34 and part "live spans".

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

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
