//! Builds recorded by the lifecycle's own span consumer, and what is shown of them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Error, Terminal, run};
use crate::api::PlatformApi;
use crate::effect::clock::Clock;
use crate::effect::events::{Event, Events, Facts, Note, Outcome, Phase, Step, Work, WorkId};
use crate::effect::telemetry::ProcessTelemetry;
use crate::model::id::{ModuleId, ModuleKind};
use crate::report::spans::Spans;
use crate::telemetry::TelemetryConfig;
use crate::telemetry::ids::CountedIds;

/// A clock that the test sets, in milliseconds.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Something that is recorded.
struct Recorder {
    layers: tempfile::TempDir,
    clock: Arc<Hand>,
    spans: Spans,
}

impl Recorder {
    fn new(phase: Phase) -> Self {
        let layers = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand::default());
        let config = TelemetryConfig {
            files: true,
            live: None,
            layers_dir: layers.path().to_owned(),
            phase,
            platform_log_path: None,
            platform_traceparent: None,
            platform_tracestate: None,
            owner: None,
            platform_api: PlatformApi::negotiate(Some("0.15")).unwrap(),
            version: "1.2.3".to_owned(),
            stdout: false,
        };
        let spans = Spans::new(config, Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(CountedIds::default()));
        Self { layers, clock, spans }
    }

    fn begin(&self, at: u64, parent: Option<WorkId>, work: Work) -> WorkId {
        let id = WorkId::next();
        self.clock.0.store(at, Ordering::Relaxed);
        self.spans.emit(Event::Begin { id, parent, work });
        id
    }

    fn end(&self, at: u64, id: WorkId, outcome: Outcome, facts: Facts) {
        self.clock.0.store(at, Ordering::Relaxed);
        self.spans.emit(Event::End { id, outcome, facts });
    }

    fn done(&self, at: u64, id: WorkId) {
        self.end(at, id, Outcome::Success, Facts::default());
    }

    fn step(&self, times: (u64, u64), parent: WorkId, work: Work, facts: Facts) {
        let id = self.begin(times.0, Some(parent), work);
        self.end(times.1, id, Outcome::Success, facts);
    }

    /// Runs a program that writes a span of its own, below `TRACEPARENT` or in a trace of its own.
    fn program(&self, times: (u64, u64), parent: WorkId, program: (Step, &str), own: Option<(&str, bool)>) {
        let (step, name) = program;
        let work = self.begin(times.0, Some(parent), module(step, name));
        let variables = self.spans.variables(work);
        if let Some((name, nested)) = own {
            let traceparent = variables[2].1.to_str().unwrap();
            let (trace, parent) = if nested {
                (&traceparent[3..35], &traceparent[36..52])
            } else {
                ("000000000000000000000000000000ff", "")
            };
            let line = foreign(trace, name, parent, (times.0 + 50, times.1 - 100));
            fs::write(PathBuf::from(&variables[0].1), line).unwrap();
        }
        self.end(times.1, work, Outcome::Success, Facts { exit_code: Some(0), ..Facts::default() });
    }

    fn shown(&self, arguments: &[&str], terminal: Terminal) -> String {
        show(self.layers.path(), arguments, terminal).unwrap()
    }
}

fn show(path: &Path, arguments: &[&str], terminal: Terminal) -> Result<String, Error> {
    let mut out = Vec::new();
    let mut all: Vec<OsString> = arguments.iter().map(Into::into).collect();
    all.push(path.into());
    assert_eq!(run(&all, &mut out, terminal)?, 0);
    Ok(String::from_utf8(out).unwrap())
}

fn module(step: Step, id: &str) -> Work {
    let id = ModuleId::parse(id).unwrap();
    Work::Process { step, kind: ModuleKind::Buildpack, id, version: "0.1.0".to_owned() }
}

fn foreign(trace: &str, name: &str, parent: &str, times: (u64, u64)) -> String {
    let nano = |at: u64| (1_700_000_000_000 + at) * 1_000_000;
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{trace}","spanId":"00000000000f{:04x}","parentSpanId":"{parent}","name":"{name}","startTimeUnixNano":"{}","endTimeUnixNano":{}}}]}}]}}]}}{}"#,
        times.0,
        nano(times.0),
        nano(times.1),
        "\n"
    )
}

const PLAIN: Terminal = Terminal { width: 100, colour: false, unicode: true };

/// A build by the creator, in which a second buildpack builds in vain or well.
fn creator(outcome: Outcome) -> Recorder {
    let it = Recorder::new(Phase::Create);
    let create = it.begin(0, None, Work::Phase(Phase::Create));
    let analyze = it.begin(5, Some(create), Work::Phase(Phase::Analyze));
    it.step((10, 90), analyze, Work::ReadPreviousImage, Facts::default());
    let request = it.begin(20, Some(analyze), Work::Request { method: "GET", about: "manifest" });
    it.spans.emit(Event::Note { id: request, note: Note::Retry { attempt: 1, status: Some(503) } });
    it.end(60, request, Outcome::Success, Facts { status: Some(200), ..Facts::default() });
    it.done(110, analyze);
    let detect = it.begin(120, Some(create), Work::Phase(Phase::Detect));
    let rust = it.begin(130, Some(detect), module(Step::Detect, "samples/rust"));
    let java = it.begin(131, Some(detect), module(Step::Detect, "samples/java"));
    it.end(160, java, Outcome::Skip, Facts { exit_code: Some(100), ..Facts::default() });
    let pass = Note::DetectPass { id: ModuleId::parse("samples/rust").unwrap(), version: "0.1.0".to_owned() };
    it.spans.emit(Event::Note { id: rust, note: pass });
    it.end(330, rust, Outcome::Success, Facts { exit_code: Some(0), ..Facts::default() });
    it.step((331, 333), detect, Work::ResolvePlan, Facts::default());
    it.done(340, detect);
    let restore = it.begin(345, Some(create), Work::Phase(Phase::Restore));
    let hit = Facts { bytes: Some(41_200_000), cache_hit: Some(true), ..Facts::default() };
    it.step((350, 700), restore, Work::RestoreLayer("samples/rust:target".to_owned()), hit);
    let miss = Facts { cache_hit: Some(false), ..Facts::default() };
    it.step((350, 360), restore, Work::RestoreLayer("samples/rust:registry".to_owned()), miss);
    it.done(710, restore);
    let build = it.begin(720, Some(create), Work::Phase(Phase::Build));
    it.program((730, 9000), build, (Step::Build, "samples/rust"), Some(("cargo build", true)));
    if outcome != Outcome::Success {
        let env = it.begin(9010, Some(build), module(Step::Build, "samples/env"));
        let facts = Facts { exit_code: Some(7), error_type: Some("exit"), ..Facts::default() };
        it.end(9500, env, outcome, facts.clone());
        it.end(9510, build, Outcome::Error, facts.clone());
        it.end(9520, create, Outcome::Error, facts);
        return it;
    }
    it.program((9010, 9500), build, (Step::Build, "samples/env"), Some(("write env files", false)));
    it.done(9510, build);
    let export = it.begin(9520, Some(create), Work::Phase(Phase::Export));
    let reused = Facts { bytes: Some(1_000), files: Some(1), reused: Some(true), ..Facts::default() };
    it.step((9530, 9540), export, Work::HashLayer("samples/env:profile".to_owned()), reused);
    let facts = Facts { bytes: Some(5_400_000), files: Some(3), reused: Some(false), ..Facts::default() };
    it.step((9541, 9600), export, Work::HashLayer("samples/rust:bin".to_owned()), facts.clone());
    it.step((9601, 9800), export, Work::WriteLayer("samples/rust:bin".to_owned()), facts);
    it.step((9810, 9850), export, Work::WriteImage, Facts::default());
    it.done(9900, export);
    it.done(9910, create);
    it
}

/// A waterfall without its bars' columns would be unreadable here, so it is compared as a whole.
#[test]
fn a_waterfall_has_phases_as_sections_and_programs_inside() {
    let shown = creator(Outcome::Success).shown(&[], Terminal { width: 80, colour: false, unicode: true });
    let expected = "\
Build 00000000 · success · 9.91 s · 5 phases · 2 buildpacks
1 layer reused · 1 written (5.4 MB) · 1 from cache · 1 retry

  ANALYZE                               105 ms  ▎
    read previous image                  80 ms  ▎
    GET manifest             1 retry     40 ms  ░

  DETECT                                220 ms  █
    samples/rust 0.1.0        passed    200 ms  █
  – samples/java 0.1.0                   29 ms  ░
    resolve plan                          2 ms   ▏

  RESTORE                               365 ms   █▏
  ◆ restore samples/rust:target         350 ms   █▏
    restore samples/rust:registry        10 ms   ░

  BUILD                                 8.79 s    ███████████████████████████▋
    samples/rust 0.1.0                  8.27 s    ██████████████████████████▏
      cargo build                       8.12 s    █████████████████████████▊
    samples/env 0.1.0                   490 ms                              █▋
      write env files                   340 ms                              █▍

  EXPORT                                380 ms                               █▉
  ↻ hash samples/env:profile  1.0 kB     10 ms                               ▊
    hash samples/rust:bin     5.4 MB     59 ms                               █
    write samples/rust:bin    5.4 MB    199 ms                                ▋
    write image                          40 ms                                ▊

  █ what the build waited for   ░ beside it   ↻ reused   ◆ from cache
  – skipped
";
    assert_eq!(shown, expected);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_colours_change_nothing_else() {
    for outcome in [Outcome::Success, Outcome::Failure] {
        let it = creator(outcome);
        for width in [24, 60, 80, 100, 200] {
            for unicode in [true, false] {
                let plain = it.shown(&[], Terminal { width, colour: false, unicode });
                for line in plain.lines() {
                    let columns = line.chars().count();
                    assert!(columns <= width.max(60), "{columns} columns at {width}: {line}");
                }
                assert!(unicode || plain.is_ascii(), "{plain}");
                let coloured = it.shown(&[], Terminal { width, colour: true, unicode });
                let pieces = coloured.split('\u{1b}').enumerate();
                let bare: String =
                    pieces.map(|(n, piece)| if n == 0 { piece } else { piece.split_once('m').unwrap().1 }).collect();
                assert_eq!(bare, plain);
            }
        }
    }
}

#[test]
fn a_failure_is_named_at_the_top() {
    let shown = creator(Outcome::Failure).shown(&[], PLAIN);
    let top: Vec<&str> = shown.lines().take(3).collect();
    let expected = [
        "Build 00000000 · failed · 9.52 s · 4 phases · 2 buildpacks",
        "1 from cache · 1 retry",
        "failed in build: samples/env 0.1.0 (exit 7)",
    ];
    assert_eq!(top, expected);
}

#[test]
fn what_has_not_ended_is_shown_below_its_phase_with_the_time_so_far() {
    let it = Recorder::new(Phase::Create);
    let create = it.begin(0, None, Work::Phase(Phase::Create));
    let detect = it.begin(10, Some(create), Work::Phase(Phase::Detect));
    it.done(100, detect);
    let build = it.begin(110, Some(create), Work::Phase(Phase::Build));
    it.program((120, 500), build, (Step::Build, "a"), None);
    it.begin(600, Some(build), module(Step::Build, "b"));
    let shown = it.shown(&["--full"], PLAIN);
    let body: Vec<&str> =
        shown.lines().filter(|line| line.contains(" ms ")).map(|line| line[..48].trim_end()).collect();
    let expected = ["  DETECT", "▶ BUILD", "    a 0.1.0", "  ▶ b 0.1.0"]
        .map(|text| shown.lines().find(|line| line.starts_with(text)));
    assert!(expected.iter().all(Option::is_some), "{shown}");
    assert_eq!(body.len(), 4, "{shown}");
    assert!(shown.starts_with("Build 00000000 · not ended · 600 ms · 2 phases · 2 buildpacks\n"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("▶ BUILD") && line.contains(">490 ms")), "{shown}");
    assert!(!shown.contains("started"), "{shown}");
}

#[test]
fn phases_of_several_programs_make_one_build() {
    let it = Recorder::new(Phase::Analyze);
    for (phase, times) in [(Phase::Analyze, (0, 100)), (Phase::Detect, (400, 500))] {
        let id = it.begin(times.0, None, Work::Phase(phase));
        it.done(times.1, id);
    }
    let shown = it.shown(&[], PLAIN);
    assert!(shown.starts_with("Build 00000000 · success · 500 ms · 2 phases\n300 ms between phases\n"), "{shown}");
}

#[test]
fn the_last_build_is_shown_and_the_others_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let builds = [creator(Outcome::Success), creator(Outcome::Failure)];
    for (number, build) in builds.iter().enumerate() {
        let from = build.layers.path().join("tracing/lifecycle");
        for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if file.file_name() == "traceparent" {
                continue;
            }
            // Another trace at another time.
            let text = fs::read_to_string(file.path()).unwrap();
            let text = text.replace("\"traceId\":\"0", &format!("\"traceId\":\"{number}"));
            let text = text.replace("Nano\":\"1700", &format!("Nano\":\"17{number}0"));
            fs::write(folder.path().join(format!("{number}-{}", file.file_name().display())), text).unwrap();
        }
    }
    let last = show(folder.path(), &[], PLAIN).unwrap();
    assert!(last.starts_with("Build 10000000 · failed"), "{last}");
    assert!(last.ends_with("1 other build is in these files: --all shows it\n"), "{last}");
    let all = show(folder.path(), &["--all"], PLAIN).unwrap();
    assert!(all.starts_with("Build 00000000 · success"), "{all}");
    assert_eq!(all.lines().filter(|line| line.starts_with("Build ")).count(), 2);
}

#[test]
fn layers_stand_for_their_tracing_folder() {
    let it = creator(Outcome::Success);
    fs::write(it.layers.path().join("package.json"), "not telemetry").unwrap();
    let expected = show(&it.layers.path().join("tracing"), &[], PLAIN).unwrap();
    assert_eq!(it.shown(&[], PLAIN), expected);
    assert!(!expected.contains("could not be read"));
}

#[test]
fn bad_lines_are_named_at_the_end() {
    let it = creator(Outcome::Success);
    let bad = it.layers.path().join("tracing/lifecycle/garbage.jsonl");
    fs::write(&bad, "{}\n\u{1b}[2J\n{\"resourceSpans\":[").unwrap();
    let shown = it.shown(&[], PLAIN);
    let expected = format!(
        "\n2 lines or spans could not be read:\n  {0}:2: it is no JSON\n  {0}:3: it is cut off\n",
        bad.display()
    );
    assert!(shown.ends_with(&expected), "{shown}");
}

#[test]
fn many_short_steps_are_folded_but_failures_are_not() {
    let it = Recorder::new(Phase::Export);
    let phase = it.begin(0, None, Work::Phase(Phase::Export));
    for layer in 0..100 {
        let at = layer * 20;
        it.step((at, at + 1 + layer / 10), phase, Work::HashLayer(format!("a:{layer}")), Facts::default());
    }
    let bad = it.begin(2001, Some(phase), Work::WriteLayer("broken".to_owned()));
    it.end(2002, bad, Outcome::Error, Facts::default());
    it.end(2010, phase, Outcome::Error, Facts::default());
    let folded = it.shown(&[], PLAIN);
    assert!(folded.contains("\n  … 90 more, 450 ms together\n"), "{folded}");
    assert!(folded.contains("✗ write broken"), "{folded}");
    assert_eq!(it.shown(&["--full"], PLAIN).matches("  hash a:").count(), 100);
}

#[test]
fn a_summary_has_phases_programs_and_savings() {
    let shown = creator(Outcome::Success).shown(&["--summary"], Terminal { width: 60, colour: false, unicode: true });
    let expected = "\
Build 00000000 · success · 9.91 s · 5 phases · 2 buildpacks
1 layer reused · 1 written (5.4 MB) · 1 from cache · 1 retry

Phases
  analyze                          105 ms    1 %
  detect                           220 ms    2 %
  restore                          365 ms    3 %
  build                            8.79 s   88 %  ████████
  export                           380 ms    3 %

Slowest programs
  samples/rust 0.1.0 build         8.27 s   83 %  ████████
  samples/env 0.1.0 build          490 ms    4 %
  samples/rust 0.1.0 detect        200 ms    2 %
– samples/java 0.1.0 detect         29 ms    0 %

Work
  layers reused       1
  layers written      1 (5.4 MB)
  found in cache      1 of 2
  requests            1, tried again 1
";
    assert_eq!(shown, expected);
}

#[test]
fn json_has_every_span_with_its_place() {
    let shown = creator(Outcome::Success).shown(&["--json"], PLAIN);
    let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let build = &json["builds"][0];
    assert_eq!((&build["result"], &build["durationNano"]), (&"success".into(), &9_910_000_000_u64.into()));
    assert_eq!((&build["layersReused"][0], &build["cacheHits"]), (&"samples/env:profile".into(), &1.into()));
    let spans = build["spans"].as_array().unwrap();
    let find = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let rust =
        spans.iter().find(|span| span["attributes"]["buildpack_id"] == "samples/rust" && span["phase"] == "build");
    let rust = rust.unwrap();
    assert_eq!((&rust["kind"], &rust["state"], &rust["critical"]), (&"program".into(), &"done".into(), &true.into()));
    assert_eq!(find("cargo build")["parentSpanId"], rust["spanId"]);
    assert_eq!(rust["parentSpanId"], find("build")["spanId"]);
    assert_eq!(find("buildpack-detect")["kind"], "program");
    assert_eq!(json["badLineCount"], 0);
}

#[test]
fn spans_of_libcnb_are_found_by_the_name_of_their_service() {
    let it = creator(Outcome::Success);
    let elsewhere = it.layers.path().join("tracing/samples_rust-detect.jsonl");
    let line = foreign("000000000000000000000000000000ee", "libcnb-detect", "", (150, 170));
    let service = r#"{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"samples/rust"}}]},"#;
    fs::write(elsewhere, line.replacen("[{", &format!("[{service}"), 1)).unwrap();
    let shown = it.shown(&[], PLAIN);
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("      libcnb-detect")).unwrap_or_else(|| panic!("{shown}"));
    assert!(lines[at - 1].starts_with("    samples/rust 0.1.0"), "{shown}");
}

#[test]
fn rings_and_deep_nesting_are_no_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let trace = "000000000000000000000000000000aa";
    for number in 1..=20_000_u64 {
        let line = foreign(trace, "deep", &format!("{:016x}", number - 1), (0, 100_000 - number));
        text.push_str(&line.replace("00000000000f0000", &format!("{number:016x}")));
    }
    // The first is below the last.
    text = text.replacen("\"parentSpanId\":\"0000000000000000\"", &format!("\"parentSpanId\":\"{:016x}\"", 20_000), 1);
    fs::write(folder.path().join("deep.jsonl"), text).unwrap();
    let shown = show(folder.path(), &[], PLAIN).unwrap();
    assert_eq!(shown.matches("deep").count(), 20_000);
    assert!(shown.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn wrong_arguments_are_answered_with_the_help() {
    let fails = |arguments: &[&str]| {
        let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        run(&arguments, &mut Vec::new(), PLAIN).unwrap_err().to_string()
    };
    for (arguments, message) in [
        (&["--unknown", "x"][..], "unknown option '--unknown'"),
        (&[][..], "name a folder or file with telemetry"),
        (&["x", "--width"][..], "--width takes a number of columns from 24 to 10000"),
        (&["-width=2", "x"][..], "--width takes a number of columns from 24 to 10000"),
        (&["x", "--html"][..], "--html takes the file to write"),
        (&["--compare", "x"][..], "--compare takes two folders or files, the old build and the new one"),
        (&["--json", "--summary", "x"][..], "one of --summary, --json and --html can be given"),
        (&["--compare", "--html=f", "x", "y"][..], "one of --summary, --json and --html can be given"),
    ] {
        let error = fails(arguments);
        assert!(error.starts_with(message) && error.contains("Usage: lifecycle trace"), "{error}");
    }
    assert_eq!(fails(&["/nowhere"]), "there is no span in the file; /nowhere: no such file or directory");
    let empty = tempfile::tempdir().unwrap();
    let error = show(empty.path(), &[], PLAIN).unwrap_err().to_string();
    assert_eq!(error, "there is no .jsonl or .json file: was the build run with -telemetry or CNB_TELEMETRY=true?");
}

#[test]
fn help_needs_no_files() {
    let mut out = Vec::new();
    assert_eq!(run(&["--help".into()], &mut out, PLAIN).unwrap(), 0);
    assert_eq!(String::from_utf8(out).unwrap(), super::command::HELP);
}

/// A file with a page, and what is in its data.
fn page(it: &Recorder) -> (String, serde_json::Value) {
    let file = it.layers.path().join("page.html");
    let out = it.shown(&["--html", file.to_str().unwrap()], PLAIN);
    assert!(!out.contains("Build"), "{out}");
    let page = fs::read_to_string(file).unwrap();
    let (_, data) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let data = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    (page, data)
}

#[test]
fn a_page_has_every_span_and_loads_nothing() {
    let (page, data) = page(&creator(Outcome::Success));
    assert!(page.contains(r#"content="default-src 'none'; style-src 'sha256-"#), "{page}");
    assert!(!page.contains("://") && !page.contains(" src=") && !page.contains(" href="), "{page}");
    let build = &data["builds"][0];
    assert_eq!(build["headline"][0], "Build 00000000 · success · 9.91 s · 5 phases · 2 buildpacks");
    let spans = build["spans"].as_array().unwrap();
    let titles: Vec<(u64, &str)> =
        spans.iter().map(|span| (span[0].as_u64().unwrap(), span[1].as_str().unwrap())).collect();
    assert_eq!(titles[..4], [(0, "CREATE"), (1, "ANALYZE"), (2, "read previous image"), (2, "GET manifest")]);
    assert!(titles.contains(&(3, "cargo build")), "{titles:?}");
    let reused = spans.iter().find(|span| span[1] == "hash samples/env:profile").unwrap();
    assert_eq!((&reused[3], &reused[6], &reused[7]), (&"reused".into(), &10_000_000.into(), &"1.0 kB · 1 file".into()));
}

#[test]
fn a_page_of_hostile_names_has_no_markup_of_theirs() {
    let it = creator(Outcome::Success);
    let bad = "</script><img src=x onerror=alert(1)><!--{data}{script}";
    let line = foreign("000000000000000000000000000000ab", bad, "", (150, 170));
    let attribute =
        format!(r#""name":"{bad}","attributes":[{{"key":"{bad}","value":{{"stringValue":"{bad}\u2028\u202e&lt;"}}}}]"#);
    let line = line.replacen(&format!(r#""name":"{bad}""#), &attribute, 1);
    fs::write(it.layers.path().join("tracing/hostile.jsonl"), format!("{line}{bad}\n")).unwrap();
    let (page, data) = page(&it);
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    assert!(!page.contains("<img") && !page.contains("<!--") && !page.contains('\u{2028}'), "{page}");
    let spans = data["builds"][0]["spans"].as_array().unwrap();
    let hostile = spans.iter().find(|span| span[1] == bad).unwrap();
    assert!(hostile[8].as_array().unwrap().contains(&serde_json::json!([bad, format!("{bad}&lt;")])), "{hostile}");
    assert_eq!(data["badCount"], 1);
    assert!(data["bad"][0].as_str().unwrap().ends_with("hostile.jsonl:2: it is no JSON"), "{data}");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_that_names_it() {
    let it = creator(Outcome::Success);
    let error = show(it.layers.path(), &["--html=/nowhere/page.html"], PLAIN).unwrap_err().to_string();
    assert_eq!(error, "failed to write '/nowhere/page.html': no such file or directory");
}

/// The same build with a cache that was lost: it takes longer, and a layer is written again.
fn slower() -> Recorder {
    let it = Recorder::new(Phase::Create);
    let create = it.begin(0, None, Work::Phase(Phase::Create));
    let restore = it.begin(345, Some(create), Work::Phase(Phase::Restore));
    let miss = Facts { cache_hit: Some(false), ..Facts::default() };
    it.step((350, 352), restore, Work::RestoreLayer("samples/rust:target".to_owned()), miss);
    it.done(360, restore);
    let build = it.begin(720, Some(create), Work::Phase(Phase::Build));
    it.program((730, 19_000), build, (Step::Build, "samples/rust"), Some(("cargo build", true)));
    it.program((19_010, 19_500), build, (Step::Build, "samples/new"), None);
    it.done(19_510, build);
    let export = it.begin(19_520, Some(create), Work::Phase(Phase::Export));
    let written = Facts { bytes: Some(1_000), files: Some(1), reused: Some(false), ..Facts::default() };
    it.step((19_530, 19_540), export, Work::HashLayer("samples/env:profile".to_owned()), written);
    it.done(19_900, export);
    it.done(19_910, create);
    it
}

fn compared(arguments: &[&str], old: &Recorder, new: &Recorder) -> String {
    let mut all = vec!["--compare"];
    all.extend(arguments);
    let old = old.layers.path().to_str().unwrap();
    all.push(old);
    show(new.layers.path(), &all, Terminal { width: 80, ..PLAIN }).unwrap()
}

#[test]
fn a_comparison_says_what_got_slower_and_what_lost_its_cache() {
    let shown = compared(&[], &creator(Outcome::Success), &slower());
    let expected = "\
old  Build 00000000 · success · 9.91 s · 5 phases · 2 buildpacks
new  Build 00000000 · success · 19.9 s · 3 phases · 2 buildpacks

Phases
  restore                                       365 ms     15 ms -350 ms   -95 %
  build                                         8.79 s    18.8 s +10.0 s  +113 %
  export                                        380 ms    380 ms    same
  analyze                                       105 ms      none -105 ms    gone
  detect                                        220 ms      none -220 ms    gone
  whole build                                   9.91 s    19.9 s +10.0 s  +100 %

Slower
  build › samples/rust                          8.27 s    18.3 s +10.0 s  +120 %
  build › samples/rust › cargo build            8.12 s    18.1 s +10.0 s  +123 %
  build › samples/new                             none    490 ms +490 ms     new

Faster
  build › samples/env                           490 ms      none -490 ms    gone
";
    assert!(shown.starts_with(expected), "{shown}");
    let end = "
Lost its cache
  samples/rust:target  was restored, is not in the cache
  samples/env:profile  was reused, is written again
";
    assert!(shown.ends_with(end), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}

#[test]
fn a_comparison_of_a_build_with_itself_has_nothing_to_say() {
    let it = creator(Outcome::Success);
    let shown = compared(&[], &it, &it);
    assert!(shown.ends_with("\nNothing that counts got slower or faster, and nothing lost its cache.\n"), "{shown}");
}

#[test]
fn a_comparison_is_there_for_programs_too() {
    let json: serde_json::Value =
        serde_json::from_str(&compared(&["--json"], &creator(Outcome::Success), &slower())).unwrap();
    assert_eq!(json["durationNano"], serde_json::json!([9_910_000_000_u64, 19_910_000_000_u64]));
    let slower = serde_json::json!(
        {"path": "build / samples/rust", "oldNano": 8_270_000_000_u64, "newNano": 18_270_000_000_u64}
    );
    assert_eq!(json["slower"][0], slower);
    assert_eq!(json["lostCache"][0], serde_json::json!({"layer": "samples/rust:target", "was": "restored"}));
}
