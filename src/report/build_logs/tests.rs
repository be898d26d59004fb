//! Records of what is printed, with a clock that goes on by a second each time it is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

use super::*;
use crate::effect::events::{Facts, Outcome, Step};
use crate::effect::processes::Stream;
use crate::model::id::{ModuleId, ModuleKind};
use crate::telemetry::otlp::Form;
use crate::telemetry::spool::Refused;

#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Memory(Mutex<Vec<Vec<u8>>>);

impl Store for Memory {
    fn form(&self) -> Form {
        Form::Protobuf
    }

    fn append(&self, _: u64, request: &[u8], _: u32) -> Result<(), Refused> {
        self.0.lock().unwrap().push(request.to_vec());
        Ok(())
    }
}

struct Test {
    logs: Arc<BuildLogs>,
    store: Arc<Memory>,
    shown: Mutex<Vec<u8>>,
}

impl Test {
    fn new(wishes: Wishes, place: Place) -> Self {
        let redactor = Arc::<Redactor>::default();
        redactor.add(["hunter2"]);
        let logs = BuildLogs::new(wishes, redactor, Arc::new(Ticks::default()));
        let store = Arc::<Memory>::default();
        let sending = Sending {
            store: Arc::clone(&store) as _,
            resource: Box::new(|phase| vec![KeyValue::new(Key::Phase.name(), phase.verb())]),
            version: "1".to_owned(),
            place,
        };
        if wishes.records {
            logs.open(sending);
        }
        Self { logs, store, shown: Mutex::default() }
    }

    fn begin(&self, parent: Option<WorkId>, work: Work) -> WorkId {
        let id = WorkId::next();
        self.logs.emit(Event::Begin { id, parent, work });
        id
    }

    fn end(&self, id: WorkId) {
        self.logs.emit(Event::End { id, outcome: Outcome::Success, facts: Facts::default() });
    }

    /// Begins a phase and a program in it.
    fn program(&self) -> Arc<dyn Printed> {
        let phase = self.begin(None, Work::Phase(Phase::Build));
        let (id, version) = (ModuleId::parse("a/b").unwrap(), "1".to_owned());
        let work = Work::Process { step: Step::Build, kind: ModuleKind::Buildpack, id, version };
        let work = self.begin(Some(phase), work);
        self.logs.program(Some(work))
    }

    fn show(&self, bytes: &[u8]) {
        self.shown.lock().unwrap().extend_from_slice(bytes);
    }

    fn print(&self, program: &dyn Printed, stream: Stream, bytes: &str) -> bool {
        program.take(stream, bytes.as_bytes(), &|bytes| self.show(bytes))
    }

    fn shown(&self) -> String {
        String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
    }

    fn records(&self) -> Vec<LogRecord> {
        let requests = self.store.0.lock().unwrap();
        let requests = requests.iter().map(|request| ExportLogsServiceRequest::decode(&request[..]).unwrap());
        requests.flat_map(|mut request| request.resource_logs.remove(0).scope_logs.remove(0).log_records).collect()
    }
}

fn body(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn seconds(record: &LogRecord) -> (u64, u64) {
    (record.time_unix_nano / 1_000_000_000, record.observed_time_unix_nano / 1_000_000_000)
}

const RECORDS: Wishes = Wishes { records: true, redacts: false, strips: false };

#[test]
fn r33_a_record_has_the_time_of_the_first_byte_and_of_its_making() {
    let test = Test::new(RECORDS, Place::Unknown);
    let program = test.program();
    for bytes in ["a", "b hun", "t\nc", "\nd"] {
        assert!(test.print(&*program, Stream::Stdout, bytes));
    }
    program.end(&|_| panic!("what is shown is not redacted"));
    let records = test.records();
    let found: Vec<_> = records.iter().map(|record| (body(record), seconds(record))).collect();
    assert_eq!(found, [("ab hunt", (1, 3)), ("c", (3, 4)), ("d", (4, 4))]);
    assert_eq!(test.shown(), "ab hunt\nc\nd");
}

#[test]
fn r34_own_lines_have_the_span_of_the_phase_also_before_and_after_it() {
    let context = TraceContext { trace_id: [7; 16], span_id: [9; 8], flags: 1 };
    let test = Test::new(RECORDS, Place::Context(context));
    test.logs.line(Level::Debug, b"before\n".to_vec());
    let create = test.begin(None, Work::Phase(Phase::Create));
    let build = test.begin(Some(create), Work::Phase(Phase::Build));
    test.logs.line(Level::Info, b"one\ntwo\n".to_vec());
    test.end(build);
    test.logs.line(Level::Warn, b"between\n".to_vec());
    test.end(create);
    test.logs.line(Level::Error, b"why hunter2\n".to_vec());
    assert!(test.logs.close().is_empty());
    test.logs.line(Level::Error, b"too late\n".to_vec());
    let records = test.records();
    let of = |text: &str| records.iter().find(|record| body(record) == text).unwrap_or_else(|| panic!("{text}"));
    let severities = [("before", 5), ("one", 9), ("two", 9), ("between", 13), ("why [REDACTED]", 17)];
    assert_eq!(records.len(), severities.len());
    for (text, severity) in severities {
        let record = of(text);
        assert_eq!((record.severity_number, &record.trace_id[..]), (severity, &[7; 16][..]), "{text}");
        let is_build = ["one", "two"].contains(&text);
        assert_eq!(record.span_id == of("one").span_id, is_build, "{text}");
        assert_eq!(record.span_id == of("between").span_id, !is_build, "{text}");
    }
}

#[test]
fn r35_what_is_shown_is_redacted_by_the_same_pass_if_that_is_wished() {
    for (strips, shown, sent) in [
        (false, "[REDACTED] \u{1b}[1mhun\u{1b}[0mter2 hun", "[REDACTED] \u{1b}[1mhun\u{1b}[0mter2 hun"),
        (true, "[REDACTED] \u{1b}[1mhun\u{1b}[0mter2 hun", "[REDACTED] [REDACTED] hun"),
    ] {
        let test = Test::new(Wishes { redacts: true, strips, ..RECORDS }, Place::Unknown);
        let program = test.program();
        for bytes in ["hunt", "er2 \u{1b}[1mhun\u{1b}[0mter2 ", "hun"] {
            assert!(test.print(&*program, Stream::Stdout, bytes));
        }
        assert!(test.shown().ends_with("ter2 "), "the rest may begin a secret");
        program.end(&|bytes| test.show(bytes));
        assert_eq!((test.shown().as_str(), body(&test.records()[0])), (shown, sent));
    }
    let alone = Test::new(Wishes { redacts: true, ..Wishes::default() }, Place::Unknown);
    let program = alone.program();
    alone.print(&*program, Stream::Stderr, "a hunter2");
    program.end(&|bytes| alone.show(bytes));
    assert_eq!((alone.shown().as_str(), alone.records().len()), ("a [REDACTED]", 0));
    assert_eq!(alone.logs.line(Level::Info, b"hunter2\n".to_vec()), b"[REDACTED]\n");
}

#[test]
fn r36_what_is_printed_after_the_end_of_a_program_is_recorded_until_all_is_closed() {
    let test = Test::new(RECORDS, Place::Unknown);
    let program = test.program();
    test.print(&*program, Stream::Stdout, "soon");
    program.end(&|_| {});
    test.print(&*program, Stream::Stdout, "late");
    test.logs.close();
    assert_eq!(test.records().iter().map(body).collect::<Vec<_>>(), ["soon", "late"]);
    // What is not recorded is not shown either.
    assert!(!test.print(&*program, Stream::Stdout, "too late"));
    assert_eq!(test.shown(), "soonlate");
}

#[test]
fn r36_without_records_programs_that_were_left_behind_are_shown_to_the_end() {
    let test = Test::new(Wishes { records: false, redacts: true, strips: false }, Place::Unknown);
    let program = test.program();
    test.logs.close();
    assert!(test.print(&*program, Stream::Stdout, "late\n"));
    assert_eq!(test.shown(), "late\n");
}

#[test]
fn r32_what_was_taken_is_recorded_also_when_nobody_reads_what_is_shown() {
    for redacts in [false, true] {
        let test = Test::new(Wishes { redacts, ..RECORDS }, Place::Unknown);
        let program = test.program();
        let (shows, begins) = mpsc::channel();
        let (reader, nobody) = mpsc::channel::<()>();
        let printing = thread::spawn(move || {
            let show = |_: &[u8]| {
                shows.send(()).unwrap();
                let _ = nobody.recv();
            };
            program.take(Stream::Stdout, b"line\nhalf", &show)
        });
        begins.recv().unwrap();
        test.logs.close();
        assert_eq!(test.records().iter().map(body).collect::<Vec<_>>(), ["line", "half"], "{redacts}");
        drop(reader);
        assert!(printing.join().unwrap());
    }
}

#[test]
fn records_wait_for_others_for_a_moment_only() {
    let test = Test::new(RECORDS, Place::Unknown);
    let program = test.program();
    test.print(&*program, Stream::Stdout, "line\n");
    while test.records().is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    program.end(&|_| {});
    assert_eq!(test.records().len(), 1);
}

#[test]
fn bad_input_becomes_records_that_hold_it() {
    for (bytes, count) in [
        (vec![0; 1 << 20], 16),
        (b"\x1b[".repeat(1 << 17), 4),
        (b"\x1b]".repeat(1 << 17), 4),
        (vec![0xc3; 70_000], 2),
        (vec![b'\n'; 1000], 1000),
    ] {
        for strips in [false, true] {
            let test = Test::new(Wishes { strips, ..RECORDS }, Place::Unknown);
            let program = test.program();
            assert!(bytes.chunks(1 << 16).all(|bytes| program.take(Stream::Stdout, bytes, &|_| {})));
            program.end(&|_| {});
            let is_stripped = strips && bytes[0] == 0x1b;
            assert_eq!(test.records().len(), if is_stripped { 0 } else { count });
        }
    }
}
