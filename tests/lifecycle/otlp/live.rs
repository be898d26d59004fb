//! Spans that are sent as they end: telemetry R17, R22 and R40, and part "live spans".

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};

use super::{LIVE, collectors, spools, world};
use crate::support::{APP_IMAGE, Answer, Collector, Outcome, World, attribute};
use crate::telemetry::{kill, wait_for};

const FILES: (&str, Option<&str>) = ("CNB_TELEMETRY", Some("true"));
const PHASES: [&str; 5] = ["analyze", "detect", "restore", "build", "export"];

/// A hexadecimal digit.
fn digit(four_bits: u8) -> char {
    char::from_digit(four_bits.into(), 16).unwrap()
}

fn create(world: &World, more: &[(&str, Option<&str>)]) -> Outcome {
    world.run_with("creator", &["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE], more)
}

/// The spans of the lifecycle's files, by phase.
fn in_files(world: &World) -> Vec<(Vec<KeyValue>, Span)> {
    let mut spans = Vec::new();
    for phase in PHASES.iter().chain(&["create"]) {
        let path = world.path(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            for below in serde_json::from_str::<TracesData>(line).unwrap().resource_spans {
                let resource = below.resource.unwrap().attributes;
                let all = below.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| (resource.clone(), span)));
            }
        }
    }
    spans
}

fn by_id(spans: Vec<(Vec<KeyValue>, Span)>) -> BTreeMap<Vec<u8>, (Vec<KeyValue>, Span)> {
    let count = spans.len();
    let by_id: BTreeMap<_, _> =
        spans.into_iter().map(|(resource, span)| (span.span_id.clone(), (resource, span))).collect();
    assert_eq!(by_id.len(), count, "a span id twice");
    by_id
}

/// Nothing waits to be sent any more.
fn is_delivered(world: &World) {
    assert_eq!(spools(world), Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_span_of_the_files_is_sent_as_it_is_there_but_for_the_resource() {
    for (protocol, collector) in collectors() {
        let world = world("exit 0");
        let endpoint = collector.endpoint();
        let more = [
            FILES,
            LIVE,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol)),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", Some("gzip")),
            ("OTEL_SERVICE_NAME", Some("my builds")),
            ("OTEL_RESOURCE_ATTRIBUTES", Some("team=a%2Cb,cnb.phase=other")),
        ];
        create(&world, &more).exits(0).does_not_say("collector").does_not_say("not sent").done();
        let (files, sent) = (by_id(in_files(&world)), by_id(collector.spans()));
        assert!(files.len() > 10, "{protocol}");
        assert_eq!(files.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>(), "{protocol}");
        for (id, (resource, span)) in &files {
            let (sent_resource, sent_span) = &sent[id];
            assert_eq!(span, sent_span, "{protocol}");
            assert_eq!(attribute(resource, "service.name").as_deref(), Some("lifecycle"));
            assert_eq!(attribute(resource, "team"), None);
            assert_eq!(attribute(sent_resource, "service.name").as_deref(), Some("my builds"));
            assert_eq!(attribute(sent_resource, "team").as_deref(), Some("a,b"));
            assert_eq!(attribute(sent_resource, "cnb.phase"), attribute(resource, "cnb.phase"));
        }
        is_delivered(&world);
    }
}

#[test]
fn spans_are_sent_without_files_too() {
    let collector = Collector::http();
    let world = world("test -z \"$CNB_OTEL_LOG_PATH\" && echo \"in $TRACEPARENT\"");
    let endpoint = collector.endpoint();
    let created = create(&world, &[LIVE, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(&endpoint))]).exits(0);
    assert!(!world.path("layers/tracing").exists());
    let spans = collector.spans();
    let find = |name: &str| &spans.iter().find(|(_, span)| span.name == name).unwrap_or_else(|| panic!("no {name}")).1;
    let (root, phase, program) = (find("create"), find("build"), find("buildpack-build"));
    assert_eq!((&phase.parent_span_id, &program.parent_span_id), (&root.span_id, &phase.span_id));
    assert!(spans.iter().all(|(_, span)| span.trace_id == root.trace_id));
    let hex = |bytes: &[u8]| bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    created.says(&format!("in 00-{}-{}-01", hex(&root.trace_id), hex(&program.span_id))).done();
    is_delivered(&world);
}

/// What ends early is at the collector while the build goes on.
#[test]
fn spans_arrive_while_the_build_runs() {
    let collector = Collector::http();
    let world = world("while ! test -e \"$CNB_LAYERS_DIR/go-on\"; do sleep 0.05; done");
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let endpoint = collector.endpoint();
    let builder = world.start("builder", &[], &[LIVE, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(&endpoint))]);
    collector.wait_until("the marker of the program", |requests| !requests.is_empty());
    wait_for(|| collector.spans().iter().any(|(_, span)| span.name == "buildpack-build started").then_some(()));
    assert!(!collector.spans().iter().any(|(_, span)| span.name == "build"));
    wait_for(|| fs::write(world.path("layers/test_one/go-on"), "").ok());
    builder.outcome().exits(0).done();
    assert!(collector.spans().iter().any(|(_, span)| span.name == "build"));
}

#[test]
fn r22_nothing_is_sent_of_a_trace_that_the_platform_does_not_want() {
    let collector = Collector::http();
    let world = world("printf '%s\\n' \"$SPAN\" >> \"$CNB_OTEL_LOG_PATH\"");
    let endpoint = collector.endpoint();
    let run = |parent: &str| {
        world.write("platform/env/SPAN", &foreign("b7ad6b7169203331"));
        let more = [
            FILES,
            ("CNB_TRACES_OTLP", Some("all")),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
            ("CNB_OTEL_TRACEPARENT", Some(parent)),
        ];
        create(&world, &more).exits(0).done();
    };
    run("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    assert!(in_files(&world).len() > 10);
    assert_eq!(collector.connections(), 0);
    is_delivered(&world);
    run("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(collector.spans().len() > 10);
}

/// A line with a span of a buildpack's own.
fn foreign(id: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"own"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"{id}","name":"own {id}","startTimeUnixNano":"1","endTimeUnixNano":"2","kind":1,"status":{{}}}}]}}]}}]}}"#
    )
}

#[test]
fn spans_of_buildpacks_are_sent_as_their_lines_appear_each_once_and_garbage_is_counted() {
    for (protocol, asked) in [("http/protobuf", "all"), ("http/json", "all"), ("http/protobuf", "true")] {
        let collector = Collector::http();
        let world = world(
            r#"f=$CNB_OTEL_LOG_PATH
printf '%s\n' "$ONE" >> "$f"
printf '%s' "$TWO" | head -c 100 >> "$f"; sleep 0.3; printf '%s\n' "$TWO" | tail -c +101 >> "$f"
printf '%s\n' "$ONE" >> "$f"
printf 'garbage\n{}\n\n' >> "$f"
head -c 2000000 /dev/zero | tr '\0' x >> "$f"; echo >> "$f"
printf '%s\n%s' "$LAST" "$NEVER" >> "$f""#,
        );
        for (name, id) in [("ONE", "1"), ("TWO", "2"), ("LAST", "3"), ("NEVER", "4")] {
            world.write(&format!("platform/env/{name}"), &foreign(&format!("b7ad6b716920333{id}")));
        }
        let endpoint = collector.endpoint();
        let more = [
            FILES,
            ("CNB_TRACES_OTLP", Some(asked)),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol)),
            ("OTEL_SERVICE_NAME", Some("my builds")),
        ];
        let created = create(&world, &more).exits(0);
        let own: Vec<_> = collector.spans().into_iter().filter(|(_, span)| span.name.starts_with("own ")).collect();
        let names: Vec<_> = own.iter().map(|(_, span)| span.name.as_str()).collect();
        if asked == "all" {
            assert_eq!(names, ["own b7ad6b7169203331", "own b7ad6b7169203332", "own b7ad6b7169203333"], "{protocol}");
            assert!(own.iter().all(|(resource, _)| attribute(resource, "service.name").as_deref() == Some("own")));
            created.says("4 entries in telemetry files of programs are no spans").done();
        } else {
            assert_eq!(names, [""; 0]);
            created.does_not_say("are no spans").done();
        }
        is_delivered(&world);
    }
}

#[test]
fn r35_spans_of_buildpacks_are_sent_without_secrets_and_their_files_stay() {
    let collector = Collector::http();
    let world = world("printf '%s\\n' \"$SPAN\" >> \"$CNB_OTEL_LOG_PATH\"");
    let span = foreign("b7ad6b7169203331").replace("own b7", "own hunter2-token b7");
    let span = span.replace("\"own\"", "\"at u:hunter2-token\"");
    world.write("platform/env/SPAN", &span);
    world.write("platform/env/NPM_TOKEN", "hunter2-token");
    let endpoint = collector.endpoint();
    let more = [
        FILES,
        ("CNB_TRACES_OTLP", Some("all")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
        ("OTEL_EXPORTER_OTLP_HEADERS", Some("x-key=b7ad6b7169203331")),
    ];
    create(&world, &more).exits(0).done();
    let spans = collector.spans();
    let (resource, _) = spans.iter().find(|(_, span)| span.name == "own [REDACTED] [REDACTED]").unwrap();
    assert_eq!(attribute(resource, "service.name").as_deref(), Some("at u:[REDACTED]"));
    assert_eq!(world.read("layers/tracing/buildpacks/test_one@1.0-build.jsonl"), format!("{span}\n"));
}

/// What is in the file was sent, waits to be sent, or was told to be left, whatever there was time for.
#[test]
fn t13_spans_that_programs_wrote_last_are_sent_or_told_however_many() {
    const COUNT: usize = 4000;
    let world = world("cat ../spans >> \"$CNB_OTEL_LOG_PATH\"");
    let line = |id: usize| {
        format!("{}\n", foreign(&format!("{id:016x}")).replace("\"own\"", &format!("\"{}\"", "x".repeat(4000))))
    };
    let (lines, length): (String, _) = ((1..=COUNT).map(line).collect(), line(1).len());
    world.write("spans", &lines);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    for timeout in ["60s", "0"] {
        let collector = Collector::http();
        let endpoint = collector.endpoint();
        let more = [
            FILES,
            ("CNB_TRACES_OTLP", Some("all")),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
            ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some(timeout)),
        ];
        let built = world.run_with("builder", &[], &more).exits(0);
        let warning = built.stdout.lines().find(|line| line.contains("not all spans are sent"));
        assert!(timeout == "0" || warning.is_none(), "{}", built.stdout);
        let number = |before: &str| {
            let (_, rest) = warning?.split_once(before)?;
            rest.split_once(' ')?.0.parse::<usize>().ok()
        };
        let left = number("no time to read ").unwrap_or(0) + number("no room for ").unwrap_or(0) * length;
        assert!(warning.is_none_or(|line| left > 0 && line.ends_with("'; the files of telemetry have them all")));
        for spool in spools(&world) {
            let shipped = world.run_with("lifecycle", &["ship", spool.to_str().unwrap()], &more);
            shipped.exits(0).done();
        }
        let sent = collector.spans().iter().filter(|(_, span)| span.name.starts_with("own ")).count();
        // Somebody who is still busy with what was read last may count that as left.
        let all = lines.len()..lines.len() + 100_000;
        assert!(all.contains(&(sent * length + left)), "{timeout}: {sent} sent of {length} bytes\n{}", built.stdout);
        is_delivered(&world);
    }
}

#[test]
fn r40_a_collector_that_is_away_fails_no_build_and_the_rest_is_kept() {
    let mut collector = Collector::http();
    let endpoint = collector.endpoint();
    collector.stop();
    let world = world("exit 7");
    let more = [
        LIVE,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("300ms")),
    ];
    let without = create(&world, &[]).exit;
    assert_ne!(without, 0);
    let created =
        create(&world, &more).exits(without).says("were not delivered and wait in '").says("connection refused");
    let spools = spools(&world);
    assert_eq!(spools.len(), 1, "{spools:?}");
    created.says(&format!("lifecycle ship {}", spools[0].display())).done();
}

#[test]
fn r17_a_build_that_is_told_to_stop_ends_within_five_seconds_whatever_the_collector_does() {
    for answer in [None, Some(Answer::BlackHole), Some(Answer::Ok)] {
        let mut collector = Collector::http();
        let endpoint = collector.endpoint();
        match &answer {
            None => collector.stop(),
            Some(answer) => collector.always(answer.clone()),
        }
        let world = world("echo > \"$CNB_LAYERS_DIR/on\"; exec sleep 60");
        world.run("analyzer", &[APP_IMAGE]).exits(0).done();
        world.run("detector", &[]).exits(0).done();
        let builder = world.start("builder", &[], &[FILES, LIVE, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(&endpoint))]);
        wait_for(|| world.path("layers/test_one/on").exists().then_some(()));
        let began = Instant::now();
        kill(&builder.id().to_string());
        let stopped = builder.outcome().exits(128 + 15);
        assert!(began.elapsed() < Duration::from_secs(5), "{answer:?}: {:?}", began.elapsed());
        let result = |spans: Vec<(Vec<KeyValue>, Span)>| {
            let build = spans.into_iter().find(|(_, span)| span.name == "build");
            build.and_then(|(_, span)| attribute(&span.attributes, "cicd.pipeline.task.run.result"))
        };
        assert_eq!(result(in_files(&world)).as_deref(), Some("cancellation"));
        if answer == Some(Answer::Ok) {
            assert_eq!(result(collector.spans()).as_deref(), Some("cancellation"));
            is_delivered(&world);
            stopped.does_not_say("not delivered").done();
        } else {
            stopped.says("were not delivered").done();
        }
    }
}

#[test]
fn what_is_wrong_with_the_settings_is_told_and_the_build_goes_on() {
    let world = world("exit 0");
    for (name, value, text) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense", "no spans are sent: OTEL_EXPORTER_OTLP_ENDPOINT has to begin with"),
        ("OTEL_SDK_DISABLED", "true", "nothing is sent to a collector: OTEL_SDK_DISABLED is true"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "OTEL_RESOURCE_ATTRIBUTES is ignored"),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", "soon", "CNB_TELEMETRY_FLUSH_TIMEOUT is no duration, so it is 5s"),
        (
            "CNB_TELEMETRY_SPOOL_LIMIT",
            "much",
            "CNB_TELEMETRY_SPOOL_LIMIT is no number of MiB from 1 to 4294967295, so it is 64",
        ),
        ("CNB_TELEMETRY_SPOOL_LIMIT", "-1", "CNB_TELEMETRY_SPOOL_LIMIT is no number of MiB"),
        ("CNB_TELEMETRY_SPOOL_LIMIT", "99999999999", "CNB_TELEMETRY_SPOOL_LIMIT is no number of MiB"),
        ("CNB_TRACES_OTLP", "maybe", "CNB_TRACES_OTLP is neither true nor false, nor all, and counts as false"),
        ("CNB_BUILD_LOGS_OTLP", "yes", "CNB_BUILD_LOGS_OTLP is neither true nor false and counts as false"),
        ("CNB_BUILD_LOGS_STRIP_ANSI", "2", "CNB_BUILD_LOGS_STRIP_ANSI is neither true nor false and counts as false"),
        ("CNB_REDACT", "on", "CNB_REDACT is neither true nor false and counts as false"),
        ("CNB_TELEMETRY", "tRuE", "CNB_TELEMETRY is neither true nor false and counts as false"),
        ("CNB_OTEL_STDOUT", "please", "CNB_OTEL_STDOUT is neither true nor false and counts as false"),
        ("CNB_TRACES_OTLP", "all", "spans of buildpacks are not sent: they write them to files only with -telemetry"),
    ] {
        let collector = Collector::http();
        let endpoint = collector.endpoint();
        let mut more = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())), LIVE];
        more.retain(|(other, _)| *other != name);
        more.push((name, Some(value)));
        let analyzed = world.run_with("analyzer", &[APP_IMAGE], &more).exits(0).says(text);
        assert_eq!(analyzed.stdout.matches("Warning: ").count(), 1, "{}", analyzed.stdout);
    }
}
