//! Whole phases with everything against them: a collector with every fault in turn, a full disk, a user who is impatient.
//! Telemetry T13, R12, R17, R37, R39.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{LIVE, LOGS, collectors, printed, ready, spools};
use crate::support::{APP_IMAGE, Answer, Collector, Payload, Record, Request, World, is_root, nothing_starts};
use crate::telemetry::{panics, send};

/// Longer than any machine takes.
const PATIENT: (&str, Option<&str>) = ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("10m"));

/// Shorter than anybody takes to answer who is not there.
const IMPATIENT: (&str, Option<&str>) = ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("100ms"));

/// A collector that is not there at the moment, and its address.
fn away() -> (Collector, String) {
    let mut collector = Collector::http();
    let endpoint = collector.endpoint();
    collector.stop();
    (collector, endpoint)
}

/// Waits for something that is sure to come, on the slowest machine.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what} never came to pass");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing waits in the spool at the moment.
fn is_empty(world: &World) -> bool {
    spools(world).iter().all(|spool| fs::metadata(spool).is_ok_and(|found| found.len() < 100))
}

/// How many lines records say are missing, and why.
fn missing(records: &[Record]) -> (usize, String) {
    let told: BTreeMap<_, _> = records
        .iter()
        .filter_map(|record| {
            let count: usize = record.attribute("cnb.lines.dropped")?.parse().unwrap();
            Some((record.attribute("log.record.uid")?, (count, record.body().to_owned())))
        })
        .collect();
    (told.values().map(|(count, _)| count).sum(), told.into_values().map(|(_, body)| body + "\n").collect())
}

#[test]
fn r39_no_line_is_lost_whatever_a_collector_does_for_a_while() {
    let faults = [
        Answer::Slow(Duration::from_millis(200)),
        Answer::Status(503, Some("1")),
        Answer::Ok,
        Answer::Status(429, None),
        Answer::Http10,
        Answer::Reset,
        Answer::Slow(Duration::from_millis(200)),
        Answer::Unanswered,
    ];
    std::thread::scope(|scope| {
        for (protocol, mut collector) in collectors() {
            let faults = faults.clone();
            scope.spawn(move || {
                let world = ready(
                    "seq 1 20000; while ! test -e \"$CNB_LAYERS_DIR/go-on\"; do sleep 0.05; done; seq 20001 40000",
                );
                collector.next(faults);
                let endpoint = collector.endpoint();
                let more = [
                    LOGS,
                    PATIENT,
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol)),
                ];
                let builder = world.start("builder", &[], &more);
                collector.wait_until("a request", |requests| requests.iter().any(|request| request.taken));
                // A restart in the middle.
                collector.stop();
                wait_until("the layers folder", || world.path("layers/test_one").exists());
                fs::write(world.path("layers/test_one/go-on"), "").unwrap();
                std::thread::sleep(Duration::from_millis(500));
                collector.restart();
                builder.outcome().exits(0).does_not_say("Warning").done();
                let expected: Vec<String> = (1..=40_000).map(|number| number.to_string()).collect();
                assert!(printed(&collector.records()) == expected, "{protocol}");
                assert_eq!(spools(&world), Vec::<PathBuf>::new(), "{protocol}");
            });
        }
    });
}

#[test]
fn r39_what_is_refused_or_thrown_away_is_counted_and_everything_else_arrives() {
    for (protocol, collector) in collectors() {
        let world = ready("echo first; while ! test -e \"$CNB_LAYERS_DIR/go-on\"; do sleep 0.05; done; echo second");
        collector.always(Answer::Status(400, None));
        let endpoint = collector.endpoint();
        let more = [
            LOGS,
            PATIENT,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", Some(protocol)),
        ];
        let builder = world.start("builder", &[], &more);
        let has_first = |request: &Request| match &request.payload {
            Payload::Logs(logs) => format!("{logs:?}").contains("first"),
            _ => false,
        };
        collector.wait_until("the first line", |requests| requests.iter().any(has_first));
        wait_until("an empty spool", || is_empty(&world));
        collector.next([Answer::Partial(1, "one too old")]);
        collector.always(Answer::Ok);
        fs::write(world.path("layers/test_one/go-on"), "").unwrap();
        let built = builder.outcome().exits(0).says("log records are lost: ").says("refused them: ");
        built.says("1 log records are lost: ").says("threw them away: one too old").done();
        assert_eq!(spools(&world), Vec::<PathBuf>::new(), "{protocol}");
    }
}

/// A phase that writes no file of more than so many blocks of 512 bytes; who does is killed by the system.
fn limited(world: &World, phase: &str, blocks: u32) -> &'static str {
    let program = world.path("bin/limited");
    let text = format!("#!/bin/sh\nulimit -f {blocks}\nexec bin/{phase} \"$@\"\n");
    let _alone = nothing_starts();
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    "limited"
}

/// A place of 400 KiB for the spool: a file system of its own where this test may mount one, else a limit for files.
struct Narrow {
    mounted: Option<PathBuf>,
}

impl Narrow {
    /// Also the builder to start, and what the system then says.
    fn new(world: &World) -> (Self, &'static str, &'static str) {
        let place = world.path("tmp");
        let mount = |place: &PathBuf| {
            let options = ["-t", "tmpfs", "-o", "size=400k,mode=1777", "none"];
            Command::new("mount").args(options).arg(place).status().is_ok_and(|status| status.success())
        };
        if is_root() && mount(&place) {
            return (Self { mounted: Some(place) }, "builder", "no space left on device");
        }
        (Self { mounted: None }, limited(world, "builder", 800), "file too large")
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        if let Some(place) = &self.mounted {
            let _ = Command::new("umount").arg(place).status();
        }
    }
}

#[test]
fn r12_a_full_disk_below_the_spool_costs_lines_which_are_counted_and_says_so() {
    let print = format!("seq -f 'line %.0f {}' 1 10000", "x".repeat(100));
    let world = ready(&format!("{print}; while ! test -e \"$CNB_LAYERS_DIR/go-on\"; do sleep 0.05; done; echo end"));
    let (narrow, program, cause) = Narrow::new(&world);
    let collector = Collector::http();
    collector.always(Answer::Status(503, None));
    let endpoint = collector.endpoint();
    let more = [LOGS, PATIENT, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str()))];
    let mut builder = world.start(program, &[], &more);
    builder.wait_to_say("\nline 10000 ");
    // What got into the spool is delivered, and there is place again.
    collector.always(Answer::Ok);
    wait_until("an empty spool", || is_empty(&world));
    fs::write(world.path("layers/test_one/go-on"), "").unwrap();
    let built = builder.outcome().exits(0).does_not_say("too much waited");
    let records = collector.records();
    let (missing, told) = missing(&records);
    let lines = printed(&records);
    assert!(missing > 1000 && lines.len() > 100, "{missing}, {}", lines.len());
    assert_eq!((lines.len() + missing, lines.last().map(String::as_str)), (10_001, Some("end")), "{told}");
    assert!(told.contains(cause) && !told.contains("too much"), "{told}");
    let warning = format!("build logs are incomplete: {missing} lines could not be kept until they are sent: {cause}");
    built.says(&warning).done();
    drop(narrow);
}

/// Files of telemetry and the spool are told of it by an error, as of a full disk. What the build starts is killed, as it
/// would be without.
#[test]
fn t13_a_limit_on_the_size_of_files_costs_lines_and_spans_and_never_the_phase() {
    let (_collector, endpoint) = away();
    let ended = "head -c 1000000 /dev/zero > \"$CNB_LAYERS_DIR/big\"; echo \"it ended with $?\"";
    let world = ready(&format!("seq -f 'line %.0f of a build that prints more than it may' 1 20000; {ended}"));
    let more = [LOGS, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())), IMPATIENT];
    let built = world.run_with(limited(&world, "builder", 800), &[], &more).exits(0);
    built.says("build logs are incomplete: ").says("file too large").says("it ended with 153").done();
    let built = world.run_with(limited(&world, "builder", 2), &[], &[("CNB_TELEMETRY", Some("true"))]).exits(0);
    built.says("telemetry is incomplete: ").says("file too large").says("it ended with 153").done();
    // A phase ends with its own error and code, with telemetry and without.
    for more in [&[][..], &[("CNB_TELEMETRY", Some("true"))]] {
        let exported = world.run_with(limited(&world, "exporter", 1), &["-launcher", "bin/launcher", APP_IMAGE], more);
        exported.exits(62).says("ERROR: failed to export: ").says("file too large").done();
    }
}

/// R32, R37, R40: the spans' collector takes connections and never answers.
#[test]
fn r40_log_records_arrive_while_the_collector_of_spans_hangs_and_only_that_is_blamed() {
    let (hole, good) = (Collector::http(), Collector::http());
    hole.always(Answer::BlackHole);
    let traces = format!("{}/v1/traces", hole.endpoint());
    let logs = format!("{}/v1/logs", good.endpoint());
    let world = ready("echo one; while ! test -e \"$CNB_LAYERS_DIR/go-on\"; do sleep 0.05; done; echo two");
    let more = [
        LIVE,
        LOGS,
        IMPATIENT,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", Some("0")),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Some(traces.as_str())),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", Some(logs.as_str())),
    ];
    let builder = world.start("builder", &[], &more);
    wait_until("a record of the first line", || printed(&good.records()).contains(&"one".to_owned()));
    fs::write(world.path("layers/test_one/go-on"), "").unwrap();
    let built = builder.outcome().exits(0);
    built.says(&format!("Warning: {traces} ")).does_not_say(&format!("{logs} could not")).done();
    assert_eq!(printed(&good.records())[0], "one");
}

#[test]
fn r12_spans_for_which_there_is_no_room_are_counted_and_it_is_said_why() {
    let (_collector, endpoint) = away();
    let world = ready("exit 0");
    let more = [LIVE, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())), IMPATIENT];
    let built = world.run_with(limited(&world, "builder", 2), &[], &more).exits(0);
    built.says("not all spans are sent: ").says(" could not be kept until then: file too large").done();
}

#[test]
fn r37_past_the_limit_every_line_is_a_record_or_counted() {
    let (mut collector, endpoint) = away();
    let world = ready("seq -f 'line %g of a build that prints much, while nobody takes it' 1 20000");
    let more = [LOGS, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())), IMPATIENT];
    let built = world.run_with("builder", &["-telemetry-spool-limit=1"], &more).exits(0);
    let spool = spools(&world).remove(0);
    assert!(fs::metadata(&spool).unwrap().len() < 1_200_000);
    collector.restart();
    let to = [("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str()))];
    world.run_with("lifecycle", &["ship", spool.to_str().unwrap()], &to).exits(0).done();
    let records = collector.records();
    let (missing, told) = missing(&records);
    assert!(missing > 1000, "{told}");
    assert_eq!(printed(&records).len() + missing, 20_000, "{told}");
    assert!(told.contains("too much waited to be sent"), "{told}");
    built.says(&format!("{missing} lines were dropped, as too much waited to be sent")).done();
}

/// The work is done, and its result stands: what is left is only to be told, and at once.
#[test]
fn t13_r17_who_is_told_to_stop_in_the_last_delivery_ends_at_once_as_its_work_did() {
    std::thread::scope(|scope| {
        for (answer, signals, code) in [
            (Answer::Status(503, None), &["-TERM"][..], 0),
            (Answer::Status(503, None), &["-INT", "-TERM"], 51),
            (Answer::BlackHole, &["-INT"], 0),
            (Answer::BlackHole, &["-TERM", "-TERM", "-INT"], 51),
        ] {
            scope.spawn(move || {
                let collector = Collector::http();
                collector.always(answer.clone());
                let endpoint = collector.endpoint();
                let world = ready(&format!("echo one; echo two; exit {}", u8::from(code != 0)));
                let more = [
                    LOGS,
                    PATIENT,
                    ("OTEL_EXPORTER_OTLP_TIMEOUT", Some("0")),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
                ];
                let mut builder = world.start("builder", &[], &more);
                builder.wait_to_say("spans and log records to the collector, for 600s at most");
                let began = Instant::now();
                for signal in signals {
                    // It may have ended already.
                    let _ = Command::new("kill").args([signal, builder.id().to_string().as_str()]).status();
                }
                let ended = builder.outcome().exits(code);
                assert!(began.elapsed() < Duration::from_secs(60), "{answer:?}: {:?}", began.elapsed());
                let spools = spools(&world);
                assert_eq!(spools.len(), 1, "{}", ended.report());
                // All that was said is there, and where.
                collector.always(Answer::Ok);
                let path = spools[0].to_str().unwrap();
                let ended = ended.says(&format!("were not delivered and wait in '{path}'"));
                let to = [("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str()))];
                world.run_with("lifecycle", &["ship", path], &to).exits(0).done();
                let records = collector.records();
                assert_eq!(printed(&records), ["one", "two"]);
                ended.says(&format!("Warning: {} spans and log records were not delivered", records.len())).done();
            });
        }
    });
}

/// Before the end of the work it is the other way round.
#[test]
fn r17_who_is_told_to_stop_before_sends_what_it_can_and_dies_by_the_signal() {
    let collector = Collector::http();
    let endpoint = collector.endpoint();
    let world = ready("echo one; echo > \"$CNB_LAYERS_DIR/on\"; exec sleep 60");
    let builder = world.start("builder", &[], &[LOGS, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(&endpoint))]);
    wait_until("the program", || world.path("layers/test_one/on").exists());
    send("-INT", &builder.id().to_string());
    builder.outcome().exits(128 + 2).does_not_say("not delivered").done();
    assert_eq!(printed(&collector.records()), ["one"]);
    assert_eq!(spools(&world), Vec::<PathBuf>::new());
}

#[test]
fn a_black_hole_is_told_by_its_address() {
    let collector = Collector::http();
    collector.always(Answer::BlackHole);
    let endpoint = collector.endpoint();
    let world = ready("echo one");
    let more = [
        LOGS,
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
        ("CNB_TELEMETRY_FLUSH_TIMEOUT", Some("200ms")),
    ];
    let built = world.run_with("builder", &[], &more).exits(0);
    // As who did not answer in time, or as who did not take everything.
    built.says(&format!("Warning: {endpoint}/v1/logs ")).says("lifecycle ship").done();
}

#[test]
fn r37_a_spool_that_a_buildpack_removed_is_told_as_lost() {
    let (_collector, endpoint) = away();
    let world = ready("echo one; sleep 1; rm \"$CNB_LAYERS_DIR\"/../../tmp/*.spool; echo two");
    let more = [LOGS, ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())), IMPATIENT];
    let built = world.run_with("builder", &[], &more).exits(0);
    built.says("log records are lost: they waited in '").does_not_say("lifecycle ship").done();
}

/// The system may have no thread for it.
#[test]
fn spans_of_a_program_that_nobody_can_follow_are_told_by_their_file() {
    let (_collector, endpoint) = away();
    let world = ready("echo one");
    let (library, file) = (panics::faults(&world), world.path("layers/tracing/buildpacks/test_one@1.0-build.jsonl"));
    let more = [
        ("LD_PRELOAD", Some(library.as_str())),
        ("NO_THREAD", file.to_str()),
        ("CNB_TELEMETRY", Some("true")),
        ("CNB_TRACES_OTLP", Some("all")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
        IMPATIENT,
    ];
    let text = format!("not all spans are sent: '{}' could not be read: resource temporarily", file.display());
    world.run_with("builder", &[], &more).exits(0).says("one").says(&text).done();
}
