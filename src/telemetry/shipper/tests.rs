//! The way from the spool to collectors that are slow, away or wrong: with transports that answer as they are told.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

use super::super::otlp::settings::Settings;
use super::super::outbox::{Delivered, Outbox};
use super::super::spool::tests::config;
use super::super::spool::{Reader, SpoolConfig};
use super::*;
use crate::model::env::Environment;

/// How one request is answered.
enum Answer {
    Is(Result<Accepted, Refusal>),
    /// Not at all: until the deadline, or until nobody holds the other end any more.
    Silence(std::sync::mpsc::Receiver<()>),
}

/// What a transport was given and how it answers; success where nothing was said.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    always: Option<Result<Accepted, Refusal>>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    slow: Duration,
}

impl Scripted {
    fn saying(answers: impl IntoIterator<Item = Result<Accepted, Refusal>>) -> Self {
        let answers = answers.into_iter().map(Answer::Is).collect();
        Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect()
    }
}

impl Transport for Scripted {
    fn send(&mut self, _: Signal, request: &[u8], deadline: Instant) -> Result<Accepted, Refusal> {
        std::thread::sleep(self.slow);
        let answer = self.answers.lock().unwrap().pop_front();
        let result = match answer {
            Some(Answer::Is(result)) => result,
            Some(Answer::Silence(held)) => {
                let _ = held.recv_timeout(deadline.saturating_duration_since(Instant::now()));
                Err(Refusal::for_now("timed out"))
            }
            None => self.always.clone().unwrap_or_else(|| Ok(Accepted::default())),
        };
        self.seen.lock().unwrap().push(request.to_vec());
        result
    }
}

fn lane(signal: Signal, json: bool, transport: &Scripted) -> Lane {
    let protocol = if json { "http/json" } else { "http/protobuf" };
    let env: Environment = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)].into_iter().collect();
    let destination = Settings::parse(&env, &[signal]).destinations.remove(0);
    Lane::new(&destination, Box::new(transport.clone()))
}

fn start(spool: &SpoolConfig, lanes: Vec<Lane>) -> Outbox {
    let (outbox, warnings) = Outbox::start(spool, lanes, Vec::new(), Builder::new);
    assert_eq!(warnings, [""; 0]);
    outbox.unwrap()
}

fn open(folder: &Path, logs: &Scripted) -> Outbox {
    start(&config(folder), vec![lane(Signal::Logs, false, logs)])
}

fn finish(outbox: &Outbox, seconds: u64) -> Delivered {
    outbox.finish(Duration::from_secs(seconds), &|_| {})
}

/// Waits for something that another thread does.
fn wait_for(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < end, "it never came to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn unavailable() -> Result<Accepted, Refusal> {
    Err(Refusal { retry: Retry::After(Duration::from_millis(20)), cause: "status 503".to_owned() })
}

#[test]
fn r39_all_arrives_once_and_in_order_through_a_slow_collector_and_503s() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Scripted { slow: Duration::from_millis(5), ..Scripted::saying([unavailable(), unavailable()]) };
    let outbox = open(folder.path(), &logs);
    std::thread::scope(|scope| {
        for process in 0..4_u64 {
            let spool = outbox.spool();
            scope.spawn(move || {
                for number in 0..200 {
                    spool.append(Signal::Logs, process, format!("{process}.{number};").as_bytes(), 1).unwrap();
                }
            });
        }
    });
    let delivered = finish(&outbox, 60);
    assert_eq!(delivered, Delivered { sent: 800, ..Delivered::default() });
    // What was not taken was sent again.
    let taken = logs.seen()[2..].concat();
    for process in 0..4 {
        let prefix = format!("{process}.");
        let of: Vec<&str> = taken.split(';').filter_map(|text| text.strip_prefix(&prefix)).collect();
        assert_eq!(of, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn r39_what_is_refused_for_good_is_counted_and_only_that() {
    let folder = tempfile::tempdir().unwrap();
    let (hold, held) = channel();
    let refused = || Err(Refusal::for_good("status 400 Bad Request: bad"));
    let logs = Scripted::saying([]);
    // Keeps the thread busy until all of them wait, so that they are sent as one.
    logs.answers.lock().unwrap().push_back(Answer::Silence(held));
    let answers = [Ok(Accepted::default()), refused(), Ok(Accepted::default()), refused()];
    logs.answers.lock().unwrap().extend(answers.map(Answer::Is));
    let outbox = open(folder.path(), &logs);
    outbox.spool().append(Signal::Logs, 1, b"zero ", 1).unwrap();
    wait_for(|| logs.answers.lock().unwrap().len() == 4);
    for request in ["one ", "two ", "three "] {
        outbox.spool().append(Signal::Logs, 1, request.as_bytes(), 2).unwrap();
    }
    drop(hold);
    let delivered = finish(&outbox, 60);
    assert_eq!(logs.seen()[0], "zero ");
    // "zero" again with the others as one request: taken or not, in the end only what is bad is gone.
    assert_eq!((delivered.sent + delivered.dropped, &delivered.kept), (7, &None), "{:?}", logs.seen());
}

#[test]
fn r39_one_bad_request_does_not_take_others_with_it() {
    struct Picky(Scripted);
    impl Transport for Picky {
        fn send(&mut self, signal: Signal, request: &[u8], deadline: Instant) -> Result<Accepted, Refusal> {
            let bad = request.windows(3).any(|window| window == b"bad");
            self.0.send(signal, request, deadline)?;
            if bad { Err(Refusal::for_good("status 400 Bad Request")) } else { Ok(Accepted::default()) }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let logs = Scripted { slow: Duration::from_millis(50), ..Scripted::default() };
    let mut way = lane(Signal::Logs, false, &logs);
    way.transport = Box::new(Picky(logs.clone()));
    let outbox = start(&config(folder.path()), vec![way]);
    for request in ["zero ", "one ", "bad ", "three ", "four "] {
        outbox.spool().append(Signal::Logs, 1, request.as_bytes(), 3).unwrap();
    }
    let delivered = finish(&outbox, 60);
    assert_eq!((delivered.sent, delivered.dropped, delivered.kept), (12, 3, None));
    let expected = "3 log records are lost: http://localhost:4318/v1/logs refused them: status 400 Bad Request";
    assert_eq!(delivered.warnings, [expected]);
}

#[test]
fn r39_partial_success_and_odd_answers_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let partial = |rejected| Ok(Accepted { rejected, message: Some("too old".to_owned()) });
    let odd = || Ok(Accepted { rejected: 0, message: Some("hello".to_owned()) });
    let logs = Scripted { slow: Duration::from_millis(1), ..Scripted::saying([partial(1), odd(), odd(), partial(9)]) };
    let outbox = open(folder.path(), &logs);
    for number in 1..=4 {
        outbox.spool().append(Signal::Logs, 1, b"x", 2).unwrap();
        wait_for(|| logs.seen().len() == number);
    }
    let delivered = finish(&outbox, 60);
    // Nobody can throw away more than there was.
    assert_eq!((delivered.sent, delivered.dropped), (5, 3));
    let endpoint = "http://localhost:4318/v1/logs";
    let expected =
        [format!("3 log records are lost: {endpoint} threw them away: too old"), format!("{endpoint} says: hello")];
    assert_eq!(delivered.warnings, expected);
}

#[test]
fn small_requests_are_sent_as_one_in_both_forms() {
    for json in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let logs = Scripted::default();
        let (hold, held) = channel();
        logs.answers.lock().unwrap().push_back(Answer::Silence(held));
        let form = if json { Form::Json } else { Form::Protobuf };
        let spool = SpoolConfig { logs: form, ..config(folder.path()) };
        let outbox = start(&spool, vec![lane(Signal::Logs, json, &logs)]);
        let append = |text: &str| outbox.spool().append(Signal::Logs, 1, text.as_bytes(), 1).unwrap();
        append(r#"{"resourceLogs":[{"a":0}]}"#);
        wait_for(|| logs.answers.lock().unwrap().is_empty());
        append(r#"{"resourceLogs":[{"b":[1]},{"c":2}]}"#);
        append(r#"{"resourceLogs":[{"d":3}]}"#);
        append(r#"{ "resourceLogs":[{"e":4}]}"#);
        drop(hold);
        assert_eq!(finish(&outbox, 60).sent, 4);
        let seen = logs.seen();
        if json {
            let first = r#"{"resourceLogs":[{"a":0},{"b":[1]},{"c":2},{"d":3}]}"#;
            assert_eq!(seen[1..], [first, r#"{ "resourceLogs":[{"e":4}]}"#]);
        } else {
            assert_eq!(seen.len(), 2);
            assert!(seen[1].ends_with(r#"{ "resourceLogs":[{"e":4}]}"#), "{seen:?}");
        }
    }
}

#[test]
fn requests_are_joined_only_where_they_have_the_usual_form() {
    let joined = |first: &str, second: &str| {
        let mut request = [first, second].concat().into_bytes();
        let is_joined = join(Form::Json, Signal::Traces, &mut request, first.len());
        (is_joined, String::from_utf8(request).unwrap())
    };
    let one = r#"{"resourceSpans":[1]}"#;
    assert_eq!(joined(one, one), (true, r#"{"resourceSpans":[1,1]}"#.to_owned()));
    for odd in [r#"{"resourceSpans":[]}"#, r#"{"resourceLogs":[1]}"#, "", r#"{"resourceSpans":["#] {
        assert!(!joined(one, odd).0 && !joined(odd, one).0, "{odd}");
    }
}

#[test]
fn r40_a_black_hole_costs_the_deadline_and_what_waits_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Scripted::default();
    let (hold, held): (Sender<()>, _) = channel();
    logs.answers.lock().unwrap().push_back(Answer::Silence(held));
    let outbox = open(folder.path(), &logs);
    let began = Instant::now();
    for _ in 0..1_000 {
        outbox.spool().append(Signal::Logs, 1, &[b'x'; 1_000], 10).unwrap();
    }
    wait_for(|| logs.answers.lock().unwrap().is_empty());
    let told = Mutex::new(Vec::new());
    let ending = Instant::now();
    let delivered = outbox.finish(Duration::from_millis(1_500), &|waiting| told.lock().unwrap().push(waiting));
    assert!(ending.elapsed() >= Duration::from_millis(1_500) && began.elapsed() < Duration::from_secs(30));
    assert_eq!(*told.lock().unwrap(), [10_000], "more than a second is not waited in silence");
    let (path, count) = delivered.kept.unwrap();
    assert_eq!((count, delivered.sent), (10_000, 0));
    assert_eq!(delivered.warnings[0], "http://localhost:4318/v1/logs did not take everything in time");
    let last = delivered.warnings.last().unwrap();
    assert!(last.contains(&format!("lifecycle ship {}", path.display())) && last.contains("10000 spans"), "{last}");
    // An answer that comes late changes nothing.
    drop(hold);
    drop(outbox);
    let file = std::fs::File::open(path).unwrap();
    let mut reader = Reader::new(&file).unwrap().unwrap();
    assert_eq!(std::iter::from_fn(|| reader.next().unwrap()).count(), 1_000);
}

#[test]
fn r40_a_dead_collector_is_told_with_its_address_and_one_that_came_back_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let dead = Scripted { always: Some(Err(Refusal::for_now("connection refused"))), ..Scripted::default() };
    let outbox = open(folder.path(), &dead);
    outbox.spool().append(Signal::Logs, 1, b"x", 1).unwrap();
    let delivered = finish(&outbox, 2);
    let expected = "http://localhost:4318/v1/logs could not be reached or took nothing: connection refused";
    assert_eq!((delivered.warnings[0].as_str(), delivered.warnings.len()), (expected, 2));
    assert!(delivered.kept.is_some());

    let back = Scripted::saying([Err(Refusal::for_now("connection refused"))]);
    let outbox = open(folder.path(), &back);
    outbox.spool().append(Signal::Logs, 1, b"x", 1).unwrap();
    wait_for(|| !back.seen().is_empty());
    // The pause of our own ends with the run.
    assert_eq!(finish(&outbox, 60), Delivered { sent: 1, ..Delivered::default() });
}

#[test]
fn t13_who_is_told_not_to_wait_says_at_once_what_is_left() {
    for is_late in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let logs = Scripted::default();
        let (_hold, held) = channel();
        logs.answers.lock().unwrap().push_back(Answer::Silence(held));
        let outbox = open(folder.path(), &logs);
        outbox.spool().append(Signal::Logs, 1, b"x", 1).unwrap();
        let (waiting, is_waiting) = channel();
        let outbox = &outbox;
        if !is_late {
            outbox.hurry();
            // What comes before the end is still taken in.
            outbox.spool().append(Signal::Logs, 1, b"y", 1).unwrap();
        }
        let began = Instant::now();
        let delivered = std::thread::scope(|scope| {
            scope.spawn(move || is_waiting.recv().is_ok_and(|()| is_late).then(|| outbox.hurry()));
            let delivered = outbox.finish(Duration::from_secs(600), &|_| waiting.send(()).unwrap());
            drop(waiting);
            delivered
        });
        assert!(began.elapsed() < Duration::from_secs(300));
        assert_eq!(delivered.kept.unwrap().1, if is_late { 1 } else { 2 });
        assert_eq!(delivered.warnings[0], "http://localhost:4318/v1/logs did not take everything in time");
    }
}

#[test]
fn r39_who_asks_for_no_pause_gets_those_that_grow() {
    let none = Err(Refusal { retry: Retry::After(Duration::ZERO), cause: "status 503".to_owned() });
    let mut lane = lane(Signal::Logs, false, &Scripted { always: Some(none), ..Scripted::default() });
    for (least, most) in [(250, 500), (500, 1000), (1000, 2000), (2000, 4000)] {
        let before = Instant::now();
        lane.send(b"x", None).unwrap_err();
        let until = lane.rests_until().unwrap();
        assert!(until >= before + Duration::from_millis(least));
        assert!(until <= Instant::now() + Duration::from_millis(most));
    }
}

#[test]
fn r37_what_waited_in_a_file_that_somebody_removed_is_lost_and_not_waiting_there() {
    let folder = tempfile::tempdir().unwrap();
    let dead = Scripted { always: Some(Err(Refusal::for_now("connection refused"))), ..Scripted::default() };
    let outbox = open(folder.path(), &dead);
    outbox.spool().append(Signal::Logs, 1, b"x", 4).unwrap();
    let path = outbox.spool().path().to_owned();
    std::fs::remove_file(&path).unwrap();
    let delivered = finish(&outbox, 0);
    assert_eq!((delivered.dropped, delivered.kept), (4, None));
    let last = delivered.warnings.last().unwrap();
    let expected = format!("4 spans and log records are lost: they waited in '{}', which somebody", path.display());
    assert!(last.starts_with(&expected), "{last}");
}

#[test]
fn r40_nobody_waits_for_a_collector_that_asks_for_more_than_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let busy = Err(Refusal { retry: Retry::After(Duration::from_secs(3600)), cause: "status 429".to_owned() });
    let logs = Scripted { always: Some(busy), ..Scripted::default() };
    let outbox = open(folder.path(), &logs);
    outbox.spool().append(Signal::Logs, 1, b"x", 1).unwrap();
    wait_for(|| !logs.seen().is_empty());
    let began = Instant::now();
    assert!(finish(&outbox, 60).kept.is_some());
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(logs.seen().len(), 1);
}

#[test]
fn one_signal_does_not_wait_for_the_collector_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let dead = Scripted { always: Some(Err(Refusal::for_now("connection refused"))), ..Scripted::default() };
    let logs = Scripted::default();
    let spool = SpoolConfig { traces: Form::Protobuf, ..config(folder.path()) };
    let lanes = vec![lane(Signal::Traces, false, &dead), lane(Signal::Logs, false, &logs)];
    let outbox = start(&spool, lanes);
    for _ in 0..10 {
        outbox.spool().append(Signal::Traces, 0, b"s", 1).unwrap();
        outbox.spool().append(Signal::Logs, 1, b"l", 1).unwrap();
    }
    wait_for(|| outbox.spool().waiting().records == 10);
    assert_eq!(logs.seen().concat().len(), 10);
    let delivered = finish(&outbox, 1);
    assert_eq!((delivered.sent, delivered.kept.map(|(_, count)| count)), (10, Some(10)));
}

#[test]
fn r40_a_collector_that_hangs_holds_up_nobody_else_and_only_it_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    let (hold, held) = channel();
    let (hung, logs) = (Scripted::default(), Scripted::default());
    hung.answers.lock().unwrap().push_back(Answer::Silence(held));
    let mut hangs = lane(Signal::Traces, false, &hung);
    hangs.timeout = NO_LIMIT;
    let outbox = start(&config(folder.path()), vec![hangs, lane(Signal::Logs, false, &logs)]);
    outbox.spool().append(Signal::Traces, 0, b"s", 1).unwrap();
    wait_for(|| hung.answers.lock().unwrap().is_empty());
    for _ in 0..10 {
        outbox.spool().append(Signal::Logs, 1, b"l", 1).unwrap();
    }
    wait_for(|| logs.seen().concat().len() == 10);
    let delivered = finish(&outbox, 1);
    assert_eq!((delivered.sent, delivered.kept.map(|(_, count)| count)), (10, Some(1)));
    assert_eq!(delivered.warnings[0], "http://localhost:4318/v1/traces did not take everything in time");
    assert_eq!(delivered.warnings.len(), 2, "{:?}", delivered.warnings);
    drop(hold);
}

#[test]
fn what_others_did_to_the_spool_is_lost_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (hold, held) = channel();
    let logs = Scripted::default();
    logs.answers.lock().unwrap().push_back(Answer::Silence(held));
    let outbox = open(folder.path(), &logs);
    outbox.spool().append(Signal::Logs, 1, b"one", 1).unwrap();
    wait_for(|| logs.answers.lock().unwrap().is_empty());
    outbox.spool().append(Signal::Logs, 1, b"two", 5).unwrap();
    std::fs::OpenOptions::new().write(true).open(outbox.spool().path()).unwrap().set_len(0).unwrap();
    drop(hold);
    let delivered = finish(&outbox, 60);
    assert_eq!((delivered.sent, delivered.dropped, delivered.kept), (0, 6, None));
    assert!(delivered.warnings[0].starts_with("6 log records are lost: the spool cannot be read"));
}

#[test]
fn without_a_place_for_the_spool_nothing_is_sent_and_why_is_said() {
    let (outbox, warnings) = Outbox::start(&config(Path::new("/does/not/exist")), Vec::new(), Vec::new(), Builder::new);
    let text = warnings.concat();
    assert!(
        outbox.is_none() && text.ends_with("waits to be sent: /does/not/exist: no such file or directory"),
        "{text}"
    );
}

#[test]
fn t13_without_a_thread_nothing_is_sent_and_why_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let lanes =
        || vec![lane(Signal::Traces, false, &Scripted::default()), lane(Signal::Logs, false, &Scripted::default())];
    // More memory for its stack than there is.
    let none = || Builder::new().stack_size(1 << 60);
    let (outbox, warnings) = Outbox::start(&config(folder.path()), lanes(), Vec::new(), none);
    assert!(outbox.is_none());
    for (warning, things) in warnings.iter().zip(["spans", "log records"]) {
        assert!(warning.starts_with(&format!("no {things} are sent: no thread can be started: ")), "{warning}");
    }
    assert_eq!((warnings.len(), std::fs::read_dir(folder.path()).unwrap().count()), (2, 0));
    // The other signal is sent.
    let only_one = || {
        thread_local!(static STARTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
        let builder = Builder::new();
        if STARTED.replace(1) == 0 { builder } else { builder.stack_size(1 << 60) }
    };
    let (outbox, warnings) = Outbox::start(&config(folder.path()), lanes(), Vec::new(), only_one);
    let outbox = outbox.unwrap();
    assert_eq!((warnings.len(), outbox.sends(Signal::Traces), outbox.sends(Signal::Logs)), (1, true, false));
    outbox.spool().append(Signal::Traces, 0, b"s", 1).unwrap();
    assert_eq!(finish(&outbox, 60), Delivered { sent: 1, ..Delivered::default() });
}

#[test]
fn pauses_grow_and_are_never_the_same() {
    let pauses: Vec<u128> = [0, 1, 2, 5, 6, 100].map(|failed| pause(failed, 1.0).as_millis()).into();
    assert_eq!(pauses, [500, 1_000, 2_000, 16_000, 30_000, 30_000]);
    assert_eq!(pause(0, 0.0).as_millis(), 250);
    assert!((0..100).all(|_| (0.0..=1.0).contains(&chance())));
}
