//! The records of one program on their way into the spool, and the count of those that find no place there (R37).

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Encoder, Record, Severity};
use crate::telemetry::otlp::{Form, Signal};
use crate::telemetry::spool::{Loss, Refused, Spool};

/// From how many bytes on records are put into the spool. With the longest record it is still a request that every
/// collector takes.
const FULL: usize = 128 * 1024;

/// The process of what the lifecycle itself says.
pub(super) const OWN: u64 = 0;

/// Where requests wait.
pub trait Store: Send + Sync {
    /// How requests with log records must be written.
    fn form(&self) -> Form;

    /// Takes in a request with so many records of a program.
    ///
    /// # Errors
    /// Nothing of it was taken in.
    fn append(&self, process: u64, request: &[u8], records: u32) -> Result<(), Refused>;
}

impl Store for Spool {
    fn form(&self) -> Form {
        self.form(Signal::Logs)
    }

    fn append(&self, process: u64, request: &[u8], records: u32) -> Result<(), Refused> {
        self.append(Signal::Logs, process, request, records)
    }
}

/// What the user is told of lines that found no place, of all programs.
pub fn warnings(loss: &Loss) -> Vec<String> {
    loss.told(
        |count| format!("build logs are incomplete: {count} lines were dropped, as too much waited to be sent"),
        |count, cause| {
            format!("build logs are incomplete: {count} lines could not be kept until they are sent: {cause}")
        },
    )
}

/// Gathers the records of a program, and puts them into the spool, many at a time.
pub struct Source {
    store: Arc<dyn Store>,
    loss: Arc<Loss>,
    process: u64,
    encoder: Encoder,
    /// What identifies this source among all sources of all builds, and the number of its next record.
    name: String,
    next: u64,
    uid: String,
    records: Vec<u8>,
    count: u32,
    /// How many lines they are: the parts of a line count as one, and as none where that line is counted as dropped.
    lines: u64,
    /// Of which streams there are records among them.
    gathered: [bool; 2],
    /// Of which streams the last line is counted as dropped.
    counted: [bool; 2],
    /// How many lines were dropped since the last record that was kept, and why the last of them was.
    dropped: u64,
    why: String,
    /// When the last of them was made.
    observed: u64,
}

impl Source {
    /// Begins without records. `run` is different in each run of the lifecycle, `number` in each source of a run.
    pub fn new(store: Arc<dyn Store>, loss: Arc<Loss>, run: &str, number: u64, is_own: bool, encoder: Encoder) -> Self {
        Self {
            store,
            loss,
            process: if is_own { OWN } else { number },
            encoder,
            name: format!("{run}-{number}"),
            next: 1,
            uid: String::new(),
            records: Vec::new(),
            count: 0,
            lines: 0,
            gathered: [false; 2],
            counted: [false; 2],
            dropped: 0,
            why: String::new(),
            observed: 0,
        }
    }

    /// Adds a record; its `uid` is given here.
    pub fn add(&mut self, record: &Record<'_>) {
        self.observed = record.observed;
        self.uid.clear();
        // As texts they have the order of their numbers.
        let _ = write!(self.uid, "{}-{:010}", self.name, self.next);
        self.next += 1;
        self.encoder.record(&Record { uid: &self.uid, ..*record }, &mut self.records);
        self.count += 1;
        let stream = usize::from(record.stream == Some("stderr"));
        let begins = record.part.is_none_or(|part| part.number == 1);
        if begins {
            self.counted[stream] = false;
        }
        if begins || !(self.gathered[stream] || self.counted[stream]) {
            self.lines += 1;
        }
        self.gathered[stream] = true;
        if self.records.len() >= FULL {
            self.flush();
        }
    }

    /// Puts what was gathered into the spool, behind one record that counts what was dropped before. Where there is no
    /// place for both it is dropped and counted, too.
    pub fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        let (records, count) = if self.dropped > 0 {
            ([self.dropped_record(), std::mem::take(&mut self.records)].concat(), self.count + 1)
        } else {
            (std::mem::take(&mut self.records), self.count)
        };
        match self.store.append(self.process, &self.encoder.request(&records), count) {
            Ok(()) => self.dropped = 0,
            Err(why) => {
                for (counted, gathered) in self.counted.iter_mut().zip(self.gathered) {
                    *counted |= gathered;
                }
                self.loss.add(self.lines, &why);
                self.dropped += self.lines;
                self.why = why.to_string();
            }
        }
        self.lines = 0;
        self.gathered = [false; 2];
        // Its memory is used again.
        self.records = records;
        self.records.clear();
        self.count = 0;
    }

    /// The same at the end: what was dropped is told although this program may have no more place.
    pub fn finish(&mut self) {
        self.flush();
        if self.dropped > 0 {
            let record = self.dropped_record();
            let request = self.encoder.request(&record);
            let told = self.store.append(self.process, &request, 1);
            if told.or_else(|_| self.store.append(OWN, &request, 1)).is_ok() {
                self.dropped = 0;
            }
        }
        self.records = Vec::new();
    }

    /// What stands where lines are missing.
    fn dropped_record(&mut self) -> Vec<u8> {
        // Sorted as texts, it is where they are missing: with the number of the last of them.
        let uid = format!("{}-{:010}-dropped", self.name, self.next - u64::from(self.count) - 1);
        let body = format!("{} lines are missing here: {}", self.dropped, self.why);
        let mut records = Vec::new();
        let record = Record {
            body: &body,
            time: self.observed,
            observed: self.observed,
            severity: Some(Severity::Warn),
            stream: None,
            uid: &uid,
            part: None,
            dropped: Some(self.dropped),
        };
        self.encoder.record(&record, &mut records);
        records
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value::Value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use prost::Message as _;

    use super::*;

    /// Has place for some bytes of each process, or fails.
    #[derive(Default)]
    struct Memory {
        cap: Mutex<usize>,
        fails: AtomicBool,
        taken: Mutex<Vec<(u64, Vec<u8>)>>,
    }

    impl Store for Memory {
        fn form(&self) -> Form {
            Form::Protobuf
        }

        fn append(&self, process: u64, request: &[u8], _: u32) -> Result<(), Refused> {
            let mut taken = self.taken.lock().unwrap();
            let held: usize = taken.iter().filter(|(of, _)| *of == process).map(|(_, request)| request.len()).sum();
            if self.fails.load(Ordering::Relaxed) {
                return Err(Refused::Failed(std::io::Error::from_raw_os_error(28)));
            }
            if held + request.len() > *self.cap.lock().unwrap() {
                return Err(Refused::Full);
            }
            taken.push((process, request.to_vec()));
            Ok(())
        }
    }

    impl Memory {
        fn records(&self) -> Vec<LogRecord> {
            let taken = self.taken.lock().unwrap();
            let requests = taken.iter().map(|(_, request)| ExportLogsServiceRequest::decode(&request[..]).unwrap());
            requests.flat_map(|mut request| request.resource_logs.remove(0).scope_logs.remove(0).log_records).collect()
        }
    }

    fn source(store: &Arc<Memory>, loss: &Arc<Loss>) -> Source {
        let encoder = Encoder::new(store.form(), Vec::new(), &InstrumentationScope::default(), Vec::new(), None);
        Source::new(Arc::clone(store) as Arc<dyn Store>, Arc::clone(loss), "run", 7, false, encoder)
    }

    fn add(source: &mut Source, lines: std::ops::Range<u32>) {
        for line in lines {
            let body = format!("line {line}");
            let record = Record {
                body: &body,
                time: 1,
                observed: 2,
                severity: None,
                stream: Some("stdout"),
                uid: "",
                part: None,
                dropped: None,
            };
            source.add(&record);
        }
    }

    fn dropped(record: &LogRecord) -> u64 {
        let attribute = record.attributes.iter().find(|attribute| attribute.key == "cnb.lines.dropped");
        match attribute.and_then(|attribute| attribute.value.clone()?.value) {
            Some(Value::IntValue(count)) => u64::try_from(count).unwrap(),
            _ => 0,
        }
    }

    fn uid(record: &LogRecord) -> String {
        let uid = record.attributes.iter().find(|attribute| attribute.key == "log.record.uid").unwrap();
        match uid.value.as_ref().and_then(|value| value.value.clone()) {
            Some(Value::StringValue(uid)) => uid,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn r32_each_record_is_there_once_in_order_with_a_name_of_its_own() {
        let (store, loss) = (Arc::new(Memory { cap: Mutex::new(usize::MAX), ..Memory::default() }), Arc::default());
        let mut source = source(&store, &loss);
        add(&mut source, 0..20_000);
        source.finish();
        let records = store.records();
        assert!(store.taken.lock().unwrap().len() > 5);
        let body = |record: &LogRecord| match record.body.clone().unwrap().value {
            Some(Value::StringValue(text)) => text,
            _ => panic!(),
        };
        assert!(records.iter().map(body).eq((0..20_000).map(|line| format!("line {line}"))));
        let uids: Vec<String> = records.iter().map(uid).collect();
        assert!(uids.windows(2).all(|pair| pair[0] < pair[1]), "sorted, so each is there once");
        assert!(warnings(&loss).is_empty());
    }

    #[test]
    fn r37_what_finds_no_place_is_counted_by_a_record_where_it_is_missing() {
        let (store, loss) = (Arc::new(Memory { cap: Mutex::new(300_000), ..Memory::default() }), Arc::default());
        let mut source = source(&store, &loss);
        add(&mut source, 0..20_000);
        let kept = store.records().len();
        assert!(kept > 1000 && kept < 10_000, "{kept}");
        *store.cap.lock().unwrap() = usize::MAX;
        add(&mut source, 20_000..20_010);
        source.finish();
        let records = store.records();
        let counted: u64 = records.iter().map(dropped).sum();
        assert_eq!(records.iter().filter(|record| dropped(record) > 0).count(), 1);
        assert!(dropped(&records[kept]) > 0, "where they are missing");
        assert!(records.iter().map(uid).is_sorted());
        assert_eq!(records.len() as u64 - 1 + counted, 20_010);
        assert_eq!(
            warnings(&loss),
            [format!("build logs are incomplete: {counted} lines were dropped, as too much waited to be sent")]
        );
    }

    #[test]
    fn r37_parts_of_a_line_are_counted_as_the_line_that_they_are() {
        let part = |number, is_last| Some(crate::telemetry::logs::encode::Part { number, is_last });
        let (store, loss) = (Arc::new(Memory { cap: Mutex::new(0), ..Memory::default() }), Arc::default());
        let mut source = source(&store, &loss);
        let long = "x".repeat(64 * 1024);
        let add = |source: &mut Source, body: &str, stream, part| {
            let record = Record {
                body,
                time: 1,
                observed: 2,
                severity: None,
                stream: Some(stream),
                uid: "",
                part,
                dropped: None,
            };
            source.add(&record);
        };
        // One line on each stream, by turns, over many requests.
        for number in 1..=50 {
            add(&mut source, &long, "stdout", part(number, false));
            add(&mut source, &long, "stderr", part(number, number == 50));
        }
        source.flush();
        add(&mut source, "its end", "stdout", part(51, true));
        add(&mut source, "a third", "stderr", None);
        source.finish();
        *store.cap.lock().unwrap() = usize::MAX;
        // Of a fourth, which begins well, parts are dropped, and others are not.
        add(&mut source, "begins", "stdout", part(1, false));
        source.flush();
        assert_eq!(dropped(&store.records()[0]), 3);
        *store.cap.lock().unwrap() = 0;
        add(&mut source, "goes on", "stdout", part(2, false));
        source.flush();
        add(&mut source, "and on", "stdout", part(3, false));
        source.flush();
        *store.cap.lock().unwrap() = usize::MAX;
        add(&mut source, "is there again", "stdout", part(4, false));
        source.flush();
        *store.cap.lock().unwrap() = 0;
        add(&mut source, "and is not", "stdout", part(5, false));
        source.flush();
        *store.cap.lock().unwrap() = usize::MAX;
        add(&mut source, "ends", "stdout", part(6, true));
        source.finish();
        let records = store.records();
        assert_eq!(records.iter().map(dropped).collect::<Vec<_>>(), [3, 0, 1, 0, 0]);
        let expected = "build logs are incomplete: 4 lines were dropped, as too much waited to be sent";
        assert_eq!(warnings(&loss), [expected]);
    }

    #[test]
    fn r37_the_count_is_told_also_when_no_place_comes_free() {
        let (store, loss) = (Arc::new(Memory { cap: Mutex::new(300_000), ..Memory::default() }), Arc::default());
        let mut source = source(&store, &loss);
        add(&mut source, 0..20_000);
        *store.cap.lock().unwrap() = store.taken.lock().unwrap().iter().map(|(_, request)| request.len()).sum();
        source.finish();
        let records = store.records();
        assert_eq!(records.len() as u64 - 1 + dropped(records.last().unwrap()), 20_000);
        assert_eq!(store.taken.lock().unwrap().last().unwrap().0, OWN);
    }

    #[test]
    fn a_full_disk_is_one_warning_with_the_count() {
        let store = Arc::new(Memory { fails: AtomicBool::new(true), ..Memory::default() });
        let loss = Arc::default();
        let mut source = source(&store, &loss);
        add(&mut source, 0..20_000);
        source.flush();
        // When there is place again, the record says why they are missing.
        store.fails.store(false, Ordering::Relaxed);
        *store.cap.lock().unwrap() = usize::MAX;
        source.finish();
        let told = store.records()[0].body.clone().unwrap().value;
        let expected = "20000 lines are missing here: no space left on device";
        assert_eq!(told, Some(Value::StringValue(expected.to_owned())));
        assert_eq!(
            warnings(&loss),
            ["build logs are incomplete: 20000 lines could not be kept until they are sent: no space left on device"]
        );
    }
}
