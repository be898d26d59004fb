//! What each opt-in turns on, and that it turns on nothing else.

use std::collections::BTreeMap;

use super::{ON, spans_of};
use crate::support::{APP_IMAGE, Collector, Payload, World};

/// A world that is ready to build.
fn world() -> World {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", "exit 0", "echo built");
    world.order(&[&["test/one"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world
}

#[test]
fn t11_files_records_and_live_spans_are_three_opt_ins() {
    let variables = ["CNB_TELEMETRY", "CNB_BUILD_LOGS_OTLP", "CNB_TRACES_OTLP"];
    let flags = ["-telemetry", "-build-logs-otlp", "-traces-otlp"];
    for chosen in 0..8_u8 {
        let [files, logs, traces] = [0, 1, 2].map(|bit| chosen >> bit & 1 == 1);
        for by_flag in [false, true] {
            let world = world();
            let collector = Collector::http();
            let endpoint = collector.endpoint();
            // To say where is no opt-in.
            let mut more = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str()))];
            let mut args = Vec::new();
            for bit in (0..3).filter(|bit| chosen >> bit & 1 == 1) {
                if by_flag { args.push(flags[bit]) } else { more.push((variables[bit], Some("true"))) }
            }
            world.run_with("builder", &args, &more).exits(0).does_not_say("Warning").done();
            let requests = collector.requests();
            let any = |wanted: fn(&Payload) -> bool| requests.iter().any(|request| wanted(&request.payload));
            let seen = (
                world.path("layers/tracing").exists(),
                any(|payload| matches!(payload, Payload::Logs(_))),
                any(|payload| matches!(payload, Payload::Traces(_))),
            );
            assert_eq!(seen, (files, logs, traces), "{args:?} {more:?}");
            assert_eq!(collector.connections() > 0, logs || traces);
            // The protocol that nobody chose.
            let protobuf = |headers: &BTreeMap<String, String>| {
                headers.get("content-type").is_some_and(|kind| kind == "application/x-protobuf")
            };
            assert!(requests.iter().all(|request| protobuf(&request.headers)));
        }
    }
    // Where and how is said by the standard variables alone.
    for flag in ["-otlp-endpoint=http://localhost", "-build-logs-otlp-endpoint=http://localhost"] {
        world().run("builder", &[flag]).exits(2).done();
    }
}

#[test]
fn t10_spans_are_printed_for_a_person_where_that_is_asked_for() {
    let world = world();
    let stdout = ("CNB_OTEL_STDOUT", Some("true"));
    world.run_with("builder", &[], &[ON, stdout]).exits(0).says("Name         : buildpack-build").done();
    let spans = spans_of(&world.path("layers/tracing/lifecycle/build.jsonl")).len();
    world.run_with("builder", &[], &[ON, ("CNB_OTEL_STDOUT", Some("false"))]).exits(0).does_not_say("TraceId").done();
    assert_eq!(spans_of(&world.path("layers/tracing/lifecycle/build.jsonl")).len(), 2 * spans);
    let like_the_others = ("CNB_OTEL_STDOUT", Some("True"));
    world.run_with("builder", &[], &[ON, like_the_others]).exits(0).says("TraceId").done();
    // It is a part of telemetry, not another way to turn it on.
    world.run_with("builder", &[], &[stdout]).exits(0).does_not_say("TraceId").done();
}
