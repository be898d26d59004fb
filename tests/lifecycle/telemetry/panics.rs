//! A fault of the lifecycle's own ends its spans too.
//!
//! No input makes the program panic, and it has nothing in it that would for a test. So the system has the fault: its
//! clock fails at a moment that the test chooses (`fault.c`, which has other faults for other tests). The program is the
//! very one that users get, with its `main`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{ON, kill, spans_of};
use crate::support::{APP_IMAGE, Answer, Collector, Started, World};

/// What the panic says, for who looks for it where it must not be.
const CANARY: &str = "Os {";

/// Compiles the faults of a system, to be named by `LD_PRELOAD`.
pub(crate) fn faults(world: &World) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lifecycle/telemetry/fault.c");
    let library = world.path("fault.so");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.unwrap().success());
    library.into_os_string().into_string().unwrap()
}

/// A world that is ready to build, whose buildpack brings about the fault when there is a file `workspace/wanted`.
fn world() -> World {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", "exit 0", "echo built; if [ -e wanted ]; then echo > fault; fi");
    world.order(&[&["test/one"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world
}

/// Starts to build with the fault at hand.
fn start(world: &World, more: &[(&str, Option<&str>)]) -> Started {
    let (library, fault) = (faults(world), world.path("workspace/fault"));
    let fault = [("LD_PRELOAD", Some(library.as_str())), ("FAULT", fault.to_str()), ON];
    world.start("builder", &[], &[&fault[..], more].concat())
}

/// Name, result, kind of error and status of each span, from one on.
fn ended(world: &World, from: usize) -> Vec<String> {
    let spans = spans_of(&world.path("layers/tracing/lifecycle/build.jsonl")).split_off(from);
    let text = |span: &serde_json::Value| {
        let attribute = |key: &str| {
            let pairs = span["attributes"].as_array().unwrap();
            let pair = pairs.iter().find(|pair| pair["key"] == key);
            pair.map_or("", |pair| pair["value"]["stringValue"].as_str().unwrap()).to_owned()
        };
        let [result, error] = ["cicd.pipeline.task.run.result", "error.type"].map(attribute);
        format!("{} {result} {error} {}", span["name"].as_str().unwrap(), span["status"]["message"])
    };
    spans.iter().map(text).collect()
}

#[test]
fn r18_a_panic_ends_what_is_open_and_says_no_more() {
    let world = world();
    start(&world, &[]).outcome().exits(0).says("built").done();
    assert!(ended(&world, 0).iter().all(|span| span.ends_with(r#" """#)), "{:?}", ended(&world, 0));

    world.write("workspace/wanted", "");
    let outcome = start(&world, &[]).outcome().exits(101).says("built").complains(CANARY);
    assert_eq!(outcome.stderr.matches("panicked at").count(), 1, "{}", outcome.report());
    let expected = [
        "build started   \"\"",
        "buildpack-build started   \"\"",
        "buildpack-build error panic \"could not be done\"",
        "build error panic \"could not be done\"",
    ];
    assert_eq!(ended(&world, 4), expected);
    assert!(!world.read("layers/tracing/lifecycle/build.jsonl").contains(CANARY));
    world.run("lifecycle", &["trace", "layers/tracing"]).exits(0).says("test/one").does_not_say(CANARY).done();
}

/// What waits to be sent is sent, as at any other end.
#[test]
fn r18_a_panic_keeps_nothing_from_being_sent() {
    let world = world();
    world.write("workspace/wanted", "");
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let more = [
        ("CNB_TRACES_OTLP", Some("true")),
        ("CNB_BUILD_LOGS_OTLP", Some("true")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("60s")),
    ];
    start(&world, &more).outcome().exits(101).complains(CANARY).done();
    // Not what it printed last, which the fault may be met by.
    assert!(collector.lines().iter().any(|line| line.starts_with("target distro name")));
    let names: Vec<String> = collector.spans().into_iter().map(|(_, span)| span.name).collect();
    assert_eq!(names, ["build started", "buildpack-build started", "buildpack-build", "build"]);
    assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0, "the spool is gone");
}

/// What is missing and what waits is told, as at any other end.
#[test]
fn r18_after_a_panic_it_is_told_what_is_missing_and_where_the_rest_is() {
    let world = world();
    let build = "seq -f 'line %g of a build that prints much, while nobody takes it' 1 20000; sleep 0.2; echo > fault";
    world.buildpack("test/one", "0.12", "", "exit 0", build);
    let more = [
        ("CNB_BUILD_LOGS_OTLP", Some("true")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some("http://127.0.0.1:9")),
        ("CNB_TELEMETRY_SPOOL_LIMIT", Some("1")),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("100ms")),
    ];
    let outcome = start(&world, &more).outcome().exits(101).complains(CANARY);
    outcome.says("build logs are incomplete: ").says(" were not delivered and wait in '").done();
}

/// What a panic ends has ended: a signal only takes away the time to send what waits.
#[test]
fn r18_who_is_told_to_stop_after_a_panic_ends_at_once_as_the_panic_did() {
    let world = world();
    world.write("workspace/wanted", "");
    let collector = Collector::http();
    collector.always(Answer::BlackHole);
    let endpoint = collector.endpoint();
    let more = [
        ("CNB_BUILD_LOGS_OTLP", Some("true")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", Some("0")),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("10m")),
    ];
    let mut builder = start(&world, &more);
    builder.wait_to_say("to the collector, for 600s at most");
    kill(&builder.id().to_string());
    let outcome = builder.outcome().exits(101).complains(CANARY);
    assert_eq!(outcome.stdout.matches("were not delivered and wait in '").count(), 1, "{}", outcome.report());
    outcome.done();
}
