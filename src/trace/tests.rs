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

#[test]
fn look() {
    for outcome in [Outcome::Success, Outcome::Failure] {
        let it = creator(outcome);
        for width in [60, 100, 160] {
            println!("{}", it.shown(&[], Terminal { width, colour: true, unicode: true }));
        }
        println!("{}", it.shown(&[], Terminal { width: 80, colour: false, unicode: false }));
        println!("{}", it.shown(&["--summary"], PLAIN));
        println!("{}", it.shown(&["--json"], PLAIN).len());
    }
}
