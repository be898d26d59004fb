//! Whole builds as events, and the files that come of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::*;
use crate::api::PlatformApi;
use crate::effect::events::{Ongoing, Step};
use crate::model::id::ModuleId;
use crate::telemetry::ids::CountedIds;

const PLATFORM: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// One millisecond passes with every look.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn config(layers: &Path, phase: Phase) -> TelemetryConfig {
    TelemetryConfig {
        files: true,
        live: None,
        layers_dir: layers.to_owned(),
        phase,
        platform_log_path: None,
        platform_traceparent: None,
        platform_tracestate: None,
        owner: None,
        platform_api: PlatformApi::negotiate(Some("0.15")).unwrap(),
        version: "1.2.3".to_owned(),
        stdout: false,
    }
}

fn spans(config: TelemetryConfig) -> Spans {
    Spans::new(config, Arc::new(Ticks::default()), Arc::new(CountedIds::default()))
}

fn process(step: Step, id: &str) -> Work {
    let id = ModuleId::parse(id).unwrap();
    Work::Process { step, kind: ModuleKind::Buildpack, id, version: "0.1".to_owned() }
}

/// A build phase with one buildpack and one layer.
fn build_phase(spans: &Spans, parent: Option<WorkId>) -> Vec<(&'static str, OsString)> {
    let phase = Ongoing::begin(spans, parent, Work::Phase(Phase::Build));
    let program = Ongoing::begin(spans, Some(phase.id()), process(Step::Build, "samples/hello"));
    let variables = spans.variables(program.id());
    program.end(Outcome::Success, Facts { exit_code: Some(0), ..Facts::default() });
    let layer = Ongoing::begin(spans, Some(phase.id()), Work::HashLayer("samples/hello:deps".to_owned()));
    let facts = Facts { bytes: Some(5), files: Some(2), reused: Some(true), ..Facts::default() };
    layer.end(Outcome::Success, facts);
    phase.end(Outcome::Success, Facts::default());
    variables
}

fn lines(layers: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(layers.join("tracing").join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn only_span(line: &Value) -> &Value {
    &line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
}

fn span_named(layers: &Path, file: &str, name: &str) -> Value {
    let lines = lines(layers, file);
    only_span(lines.iter().find(|line| only_span(line)["name"] == name).unwrap()).clone()
}

fn attributes(span: &Value) -> BTreeMap<String, Value> {
    let list = span["attributes"].as_array().unwrap();
    let map: BTreeMap<String, Value> = list
        .iter()
        .map(|pair| {
            let value = pair["value"].as_object().unwrap().values().next().unwrap().clone();
            (pair["key"].as_str().unwrap().to_owned(), value)
        })
        .collect();
    assert_eq!(map.len(), list.len(), "an attribute is there twice");
    map
}

fn tree(layers: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for folder in fs::read_dir(layers.join("tracing")).unwrap() {
        let folder = folder.unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            paths.push(format!("{}/{}", folder.file_name().display(), file.unwrap().file_name().display()));
        }
    }
    paths.sort();
    paths
}

#[test]
fn t2_t3_each_phase_and_each_program_has_its_own_file() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    build_phase(&spans, None);
    let expected = ["buildpacks/samples_hello@0.1-build.jsonl", "lifecycle/build.jsonl", "lifecycle/traceparent"];
    assert_eq!(tree(layers.path()), expected);
    assert_eq!(spans.warnings(), [""; 0]);
}

#[test]
fn t2_the_creator_writes_the_file_of_each_phase_below_its_own_span() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Create));
    let create = Ongoing::begin(&spans, None, Work::Phase(Phase::Create));
    build_phase(&spans, Some(create.id()));
    create.end(Outcome::Success, Facts::default());
    let create = span_named(layers.path(), "lifecycle/create.jsonl", "create");
    let build = span_named(layers.path(), "lifecycle/build.jsonl", "build");
    assert_eq!(build["parentSpanId"], create["spanId"]);
    assert_eq!(build["traceId"], create["traceId"]);
    assert_eq!(lines(layers.path(), "lifecycle/create.jsonl").len(), 2);
    assert_eq!(lines(layers.path(), "lifecycle/build.jsonl").len(), 5);
}

#[test]
fn t3_an_extension_writes_among_extensions() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Detect));
    let id = ModuleId::parse("samples/curl").unwrap();
    let work = Work::Process { step: Step::Generate, kind: ModuleKind::Extension, id, version: "a/b".to_owned() };
    let program = Ongoing::begin(&spans, None, work);
    let variables = spans.variables(program.id());
    let path = layers.path().join("tracing/extensions/samples_curl@a_b-generate.jsonl");
    assert!(path.exists());
    assert_eq!(variables[0], (LOG_PATH, path.into_os_string()));
    drop(program);
    let span = span_named(layers.path(), "lifecycle/detect.jsonl", "extension-generate");
    assert_eq!(attributes(&span)["extension_id"], "samples/curl");
}

#[test]
fn t4_a_path_of_the_platform_is_passed_on_and_not_made() {
    let layers = tempfile::tempdir().unwrap();
    for path in [format!("{}/deep/file", layers.path().display()), "relative/".to_owned(), "/x".repeat(5000)] {
        let mut config = config(layers.path(), Phase::Build);
        config.platform_log_path = Some(path.clone().into());
        let spans = spans(config);
        assert_eq!(build_phase(&spans, None)[0], (LOG_PATH, path.into()));
        assert_eq!(spans.warnings(), [""; 0]);
    }
    assert_eq!(tree(layers.path()), ["lifecycle/build.jsonl", "lifecycle/traceparent"]);
}

#[test]
fn t4_in_a_folder_of_the_platform_each_program_has_a_file() {
    let layers = tempfile::tempdir().unwrap();
    let platform = tempfile::tempdir().unwrap();
    for (value, file) in [("", "samples_hello@0.1-build.jsonl"), ("made/", "made/samples_hello@0.1-build.jsonl")] {
        let mut config = config(layers.path(), Phase::Build);
        config.platform_log_path = Some(platform.path().join(value).into_os_string());
        let spans = spans(config);
        let expected = platform.path().join(file);
        assert_eq!(build_phase(&spans, None)[0], (LOG_PATH, expected.clone().into_os_string()));
        assert!(expected.is_file());
        assert_eq!(spans.warnings(), [""; 0]);
    }
}

#[test]
fn an_empty_path_of_the_platform_is_none() {
    let layers = tempfile::tempdir().unwrap();
    let mut config = config(layers.path(), Phase::Build);
    config.platform_log_path = Some(OsString::new());
    let (_, path) = build_phase(&spans(config), None).remove(0);
    assert_eq!(path, layers.path().join("tracing/buildpacks/samples_hello@0.1-build.jsonl"));
}

#[test]
fn t5_without_a_platform_both_variables_carry_the_span_of_the_program() {
    let layers = tempfile::tempdir().unwrap();
    let variables = build_phase(&spans(config(layers.path(), Phase::Build)), None);
    let span = span_named(layers.path(), "lifecycle/build.jsonl", "buildpack-build");
    let own = format!("00-{}-{}-01", span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap());
    assert_eq!(variables[1..], [(CNB_TRACEPARENT, own.clone().into()), (TRACEPARENT, own.into())]);
}

#[test]
fn r21_the_value_of_the_platform_is_passed_byte_for_byte() {
    for value in [PLATFORM, "malformed \u{fffd}", ""] {
        let layers = tempfile::tempdir().unwrap();
        let mut config = config(layers.path(), Phase::Build);
        config.platform_traceparent = Some(value.into());
        config.platform_tracestate = Some("vendor=1".into());
        let variables = build_phase(&spans(config), None);
        assert_eq!(variables[1], (CNB_TRACEPARENT, value.into()));
        assert_ne!(variables[2].1, value);
        let state = variables.get(3).map(|(name, value)| (*name, value.to_str().unwrap()));
        assert_eq!(state, (value == PLATFORM).then_some((TRACESTATE, "vendor=1")));
    }
}

#[test]
fn r20_flags_tell_where_the_parent_is() {
    for (flags, root, child) in [("01", 0x301, 0x101), ("00", 0x300, 0x100), ("ff", 0x3ff, 0x1ff)] {
        let layers = tempfile::tempdir().unwrap();
        let mut config = config(layers.path(), Phase::Build);
        config.platform_traceparent = Some(format!("{}{flags}", &PLATFORM[..53]).into());
        let variables = build_phase(&spans(config), None);
        let phase = span_named(layers.path(), "lifecycle/build.jsonl", "build");
        assert_eq!(phase["traceId"], PLATFORM[3..35]);
        assert_eq!(phase["parentSpanId"], PLATFORM[36..52]);
        assert_eq!(phase["flags"], root);
        let program = span_named(layers.path(), "lifecycle/build.jsonl", "buildpack-build");
        assert_eq!(program["flags"], child);
        assert!(variables[2].1.to_str().unwrap().ends_with(flags));
        assert!(!layers.path().join("tracing/lifecycle/traceparent").exists());
    }
    let layers = tempfile::tempdir().unwrap();
    build_phase(&spans(config(layers.path(), Phase::Build)), None);
    let phase = span_named(layers.path(), "lifecycle/build.jsonl", "build");
    assert_eq!((&phase["flags"], &phase["parentSpanId"]), (&257.into(), &"".into()));
}

#[test]
fn r22_an_unsampled_parent_keeps_no_span_out_of_the_files() {
    let layers = tempfile::tempdir().unwrap();
    let config = TelemetryConfig {
        platform_traceparent: Some(format!("{}00", &PLATFORM[..53]).into()),
        ..config(layers.path(), Phase::Build)
    };
    build_phase(&spans(config), None);
    let lines = lines(layers.path(), "lifecycle/build.jsonl");
    assert_eq!(lines.len(), 5);
    let flags: BTreeSet<u64> = lines.iter().map(|line| only_span(line)["flags"].as_u64().unwrap()).collect();
    assert_eq!(flags, BTreeSet::from([0x100, 0x300]));
}

#[test]
fn r16_no_span_is_written_twice() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    let phase = Ongoing::begin(&spans, None, Work::Phase(Phase::Build));
    let id = phase.id();
    phase.end(Outcome::Success, Facts::default());
    // Whoever ends it again is late.
    spans.emit(Event::End { id, outcome: Outcome::Error, facts: Facts::default() });
    spans.finish(Outcome::Cancellation, None);
    spans.finish_after_panic();
    let lines = lines(layers.path(), "lifecycle/build.jsonl");
    let ids: BTreeSet<&str> = lines.iter().map(|line| only_span(line)["spanId"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), ids.len()), (2, 2));
}

#[test]
fn t6_phases_of_one_build_share_a_trace() {
    let layers = tempfile::tempdir().unwrap();
    let mut traces = BTreeSet::new();
    for phase in [Phase::Analyze, Phase::Detect, Phase::Restore, Phase::Build, Phase::Export] {
        // Real ids: counted ones would agree by chance.
        let spans =
            Spans::new(config(layers.path(), phase), Arc::new(Ticks::default()), crate::telemetry::ids::random());
        Ongoing::begin(&spans, None, Work::Phase(phase)).end(Outcome::Success, Facts::default());
        let name = format!("lifecycle/{}.jsonl", phase.verb());
        traces.insert(span_named(layers.path(), &name, phase.verb())["traceId"].to_string());
    }
    assert_eq!(traces.len(), 1);
}

#[test]
fn r7_two_runs_differ_in_nothing_but_ids_and_times() {
    let text = |_| {
        let layers = tempfile::tempdir().unwrap();
        build_phase(&spans(config(layers.path(), Phase::Build)), None);
        fs::read_to_string(layers.path().join("tracing/lifecycle/build.jsonl")).unwrap()
    };
    let [first, second] = [0, 1].map(text);
    assert_eq!(first, second);
}

#[test]
fn t10_printing_for_a_person_changes_no_file() {
    let text = |stdout| {
        let layers = tempfile::tempdir().unwrap();
        build_phase(&spans(TelemetryConfig { stdout, ..config(layers.path(), Phase::Build) }), None);
        fs::read_to_string(layers.path().join("tracing/lifecycle/build.jsonl")).unwrap()
    };
    assert_eq!(text(true), text(false));
}

#[test]
fn r8_phase_and_trace_are_at_the_front_of_the_first_line() {
    let layers = tempfile::tempdir().unwrap();
    build_phase(&spans(config(layers.path(), Phase::Build)), None);
    let text = fs::read_to_string(layers.path().join("tracing/lifecycle/build.jsonl")).unwrap();
    let front = &text[..1000];
    assert!(front.contains(r#"{"key":"cnb.phase","value":{"stringValue":"build"}}"#), "{front}");
    assert!(front.contains(r#""traceId":"00000000000000000000000000000001""#), "{front}");
}

#[test]
fn r3_r4_lines_are_strict_otlp_json() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Create));
    build_phase(&spans, None);
    let detect = Ongoing::begin(&spans, None, Work::Phase(Phase::Detect));
    detect.note(Note::DetectPass { id: ModuleId::parse("a\u{1}\"\\ü").unwrap(), version: String::new() });
    let request = Ongoing::begin(&spans, Some(detect.id()), Work::Request { method: "GET", about: "manifest" });
    request.note(Note::Retry { attempt: 1, status: Some(503) });
    drop(request);
    drop(detect);
    let mut ids = BTreeSet::new();
    for file in ["lifecycle/build.jsonl", "lifecycle/detect.jsonl"] {
        let text = fs::read_to_string(layers.path().join("tracing").join(file)).unwrap();
        assert!(text.ends_with('\n') && !text.contains("null"));
        for line in text.lines() {
            serde_json::from_str::<opentelemetry_proto::tonic::trace::v1::TracesData>(line).unwrap();
            let line = serde_json::from_str(line).unwrap();
            let span = only_span(&line);
            let hex = |key: &str, length: usize| {
                let text = span[key].as_str().unwrap();
                assert!(text.len() == length && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{key}");
                assert!(text.bytes().any(|byte| byte != b'0'), "{key}");
                text.to_owned()
            };
            hex("traceId", 32);
            assert!(ids.insert(hex("spanId", 16)), "R16: a span is there twice");
            let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
            assert!(span["kind"].is_u64() && span["flags"].is_u64() && span["status"]["code"].is_u64());
            for key in attributes(span).keys().chain(attributes(&line["resourceSpans"][0]["resource"]).keys()) {
                assert!(Key::ALL.iter().any(|allowed| allowed.name() == key), "{key}");
            }
        }
    }
    assert_eq!(ids.len(), 5 + 3);
}

#[test]
fn r6_a_line_is_never_longer_than_half_a_mebibyte() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Detect));
    let detect = Ongoing::begin(&spans, None, Work::Phase(Phase::Detect));
    for _ in 0..300 {
        detect.note(Note::DetectPass { id: ModuleId::parse(&"\u{1}".repeat(9999)).unwrap(), version: "1".to_owned() });
    }
    drop(detect);
    let text = fs::read_to_string(layers.path().join("tracing/lifecycle/detect.jsonl")).unwrap();
    assert!(text.lines().all(|line| line.len() < 512 * 1024));
    let span = span_named(layers.path(), "lifecycle/detect.jsonl", "detect");
    let kept = span["events"].as_array().unwrap().len() as u64;
    assert!(kept > 0);
    assert_eq!(kept + span["droppedEventsCount"].as_u64().unwrap(), 300);
}

#[test]
fn r15_a_marker_is_in_the_file_before_the_program_starts() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    let phase = Ongoing::begin(&spans, None, Work::Phase(Phase::Build));
    let program = Ongoing::begin(&spans, Some(phase.id()), process(Step::Build, "a"));
    let marker = span_named(layers.path(), "lifecycle/build.jsonl", "buildpack-build started");
    assert_eq!(marker["startTimeUnixNano"], marker["endTimeUnixNano"]);
    assert_eq!(attributes(&marker)["cnb.started"], true);
    assert_eq!(attributes(&marker)["buildpack_id"], "a");
    program.end(Outcome::Success, Facts::default());
    let span = span_named(layers.path(), "lifecycle/build.jsonl", "buildpack-build");
    assert_eq!(marker["parentSpanId"], span["spanId"]);
    assert_eq!(marker["startTimeUnixNano"], span["startTimeUnixNano"]);
    span_named(layers.path(), "lifecycle/build.jsonl", "build started");
}

#[test]
fn r18_a_panic_inside_of_telemetry_ends_the_program_all_the_same() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    let _held = spans.state.lock().unwrap();
    spans.finish_after_panic();
}

#[test]
fn r17_r18_finish_ends_what_is_open_from_the_inside_out() {
    for (outcome, error, result) in
        [(Outcome::Cancellation, None, "cancellation"), (Outcome::Error, Some("panic"), "error")]
    {
        let layers = tempfile::tempdir().unwrap();
        let spans = spans(config(layers.path(), Phase::Build));
        let phase = Ongoing::begin(&spans, None, Work::Phase(Phase::Build));
        let program = Ongoing::begin(&spans, Some(phase.id()), process(Step::Build, "a"));
        spans.finish(outcome, error);
        drop(program);
        drop(phase);
        let lines = lines(layers.path(), "lifecycle/build.jsonl");
        let names: Vec<&str> = lines.iter().map(|line| only_span(line)["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["build started", "buildpack-build started", "buildpack-build", "build"]);
        for line in &lines[2..] {
            let attributes = attributes(only_span(line));
            assert_eq!(attributes["cicd.pipeline.task.run.result"], result);
            assert_eq!(attributes.get("error.type").and_then(Value::as_str), error);
        }
    }
}

#[test]
fn r24_durations_are_exact() {
    let layers = tempfile::tempdir().unwrap();
    build_phase(&spans(config(layers.path(), Phase::Build)), None);
    // The clock is looked at once for each begin and each end.
    for (name, milliseconds) in [("buildpack-build", 1), ("hash-layer", 1), ("build", 5)] {
        let span = span_named(layers.path(), "lifecycle/build.jsonl", name);
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(time("endTimeUnixNano") - time("startTimeUnixNano"), milliseconds * 1_000_000, "{name}");
    }
}

#[test]
fn r25_results_and_statuses() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Detect));
    let phase = Ongoing::begin(&spans, None, Work::Phase(Phase::Detect));
    let facts = |code, error_type| Facts { exit_code: Some(code), error_type, ..Facts::default() };
    let cases = [
        ("pass", Outcome::Success, facts(0, None), "success", None, 0, ""),
        ("skips", Outcome::Skip, facts(100, None), "skip", None, 0, ""),
        ("fails", Outcome::Failure, facts(2, Some("exit")), "failure", Some("exit"), 2, "failed"),
        ("breaks", Outcome::Error, Facts::default(), "error", Some("_OTHER"), 2, "could not be done"),
        ("hangs", Outcome::Timeout, facts(-1, Some("timeout")), "timeout", Some("timeout"), 2, "took too long"),
    ];
    for (id, outcome, facts, ..) in cases.clone() {
        Ongoing::begin(&spans, Some(phase.id()), process(Step::Detect, id)).end(outcome, facts);
    }
    let lines = lines(layers.path(), "lifecycle/detect.jsonl");
    for (id, _, facts, result, error, status, message) in cases {
        let is_it = |line: &&Value| {
            let span = only_span(line);
            span["name"] == "buildpack-detect" && attributes(span)["buildpack_id"] == id
        };
        let span = only_span(lines.iter().find(is_it).unwrap());
        let found = attributes(span);
        assert_eq!(found["cicd.pipeline.task.run.result"], result);
        assert_eq!(found["cicd.pipeline.task.run.id"], span["spanId"]);
        assert_eq!(found["cicd.pipeline.task.name"], "buildpack-detect");
        assert_eq!(found.get("error.type").and_then(Value::as_str), error);
        let code = found.get("process.exit.code").map(|code| code.as_str().unwrap().parse().unwrap());
        assert_eq!(code, facts.exit_code);
        assert_eq!((&span["status"]["code"], &span["status"]["message"]), (&status.into(), &message.into()));
    }
}

#[test]
fn r26_names_that_readers_know() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Detect));
    let program = Ongoing::begin(&spans, None, process(Step::Detect, "samples/hello"));
    let id = ModuleId::parse("samples/hello").unwrap();
    program.note(Note::DetectPass { id, version: "0.1".to_owned() });
    program.end(Outcome::Success, Facts::default());
    let span = span_named(layers.path(), "lifecycle/detect.jsonl", "buildpack-detect");
    let found = attributes(&span);
    assert_eq!(found["buildpack_id"], "samples/hello");
    assert_eq!(found["buildpack-id"], "samples/hello");
    assert_eq!(found["buildpack_version"], "0.1");
    assert_eq!(span["events"][0]["name"], "detect-pass");
    let resource = attributes(&lines(layers.path(), "lifecycle/detect.jsonl")[0]["resourceSpans"][0]["resource"]);
    assert_eq!(resource["service.name"], "lifecycle");
    assert_eq!(resource["service.version"], "1.2.3");
    assert_eq!(resource["lifecycle.version"], "1.2.3");
    assert_eq!(resource["cnb.platform_api"], "0.15");
}

#[test]
fn r26_layers_tell_bytes_files_and_reuse() {
    let layers = tempfile::tempdir().unwrap();
    build_phase(&spans(config(layers.path(), Phase::Build)), None);
    let found = attributes(&span_named(layers.path(), "lifecycle/build.jsonl", "hash-layer"));
    assert_eq!(found["cnb.layer"], "samples/hello:deps");
    assert_eq!((&found["cnb.bytes"], &found["cnb.files"]), (&"5".into(), &"2".into()));
    assert_eq!(found["cnb.layer.reused"], true);
}

#[test]
fn t13_a_missing_layers_folder_is_made() {
    let temporary = tempfile::tempdir().unwrap();
    let layers = temporary.path().join("missing");
    let spans = spans(config(&layers, Phase::Build));
    build_phase(&spans, None);
    assert!(spans.warnings().is_empty(), "{:?}", spans.warnings());
    assert_eq!(lines(&layers, "lifecycle/build.jsonl").len(), 5);
}

#[test]
fn t13_no_layers_folder_is_one_warning_and_programs_still_have_a_context() {
    let temporary = tempfile::tempdir().unwrap();
    let layers = temporary.path().join("file/layers");
    fs::write(temporary.path().join("file"), "").unwrap();
    let spans = spans(config(&layers, Phase::Build));
    let variables = build_phase(&spans, None);
    let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [CNB_TRACEPARENT, TRACEPARENT]);
    let warning = format!("telemetry is incomplete: '{}' cannot be used: not a directory", layers.display());
    assert_eq!(spans.warnings(), [warning]);
}

#[test]
fn t13_a_folder_in_place_of_a_file_is_one_warning_and_the_rest_is_written() {
    let layers = tempfile::tempdir().unwrap();
    let tracing = layers.path().join("tracing");
    fs::create_dir_all(tracing.join("buildpacks/samples_hello@0.1-build.jsonl")).unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    let variables = build_phase(&spans, None);
    assert_eq!(variables[0].0, CNB_TRACEPARENT);
    assert_eq!(spans.warnings().len(), 1);
    assert_eq!(lines(layers.path(), "lifecycle/build.jsonl").len(), 5);
}

#[test]
fn t7_a_program_that_cuts_its_file_is_told_of_once() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    for id in ["a", "b"] {
        let path = layers.path().join(format!("tracing/buildpacks/{id}@0.1-build.jsonl"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{}\n").unwrap();
        let program = Ongoing::begin(&spans, None, process(Step::Build, id));
        spans.variables(program.id());
        fs::write(&path, "").unwrap();
        program.end(Outcome::Success, Facts::default());
    }
    let path = layers.path().join("tracing/buildpacks/a@0.1-build.jsonl");
    let warning =
        format!("telemetry is incomplete: '{}' was cut or replaced by the program it was made for", path.display());
    assert_eq!(spans.warnings(), [warning]);
}

#[test]
fn a_clock_that_is_set_back_makes_no_span_of_negative_length() {
    struct Backwards(AtomicU64);
    impl Clock for Backwards {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(self.0.fetch_sub(1, Ordering::Relaxed))
        }
    }
    let layers = tempfile::tempdir().unwrap();
    let clock = Arc::new(Backwards(AtomicU64::new(1000)));
    build_phase(&Spans::new(config(layers.path(), Phase::Build), clock, Arc::new(CountedIds::default())), None);
    for line in lines(layers.path(), "lifecycle/build.jsonl") {
        let time = |key: &str| only_span(&line)[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    }
}

#[test]
fn events_of_unknown_work_are_ignored() {
    let layers = tempfile::tempdir().unwrap();
    let spans = spans(config(layers.path(), Phase::Build));
    let unknown = WorkId::next();
    spans.emit(Event::Note { id: unknown, note: Note::Retry { attempt: 1, status: None } });
    spans.emit(Event::End { id: unknown, outcome: Outcome::Success, facts: Facts::default() });
    assert_eq!(spans.variables(unknown), []);
}
