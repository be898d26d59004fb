//! A tolerant reader of OTLP JSON lines: what is no span is counted and named, and the rest is kept.
//!
//! Clause: OpenTelemetry file exporter. It is our own because `opentelemetry-proto` refuses some valid OTLP, such as
//! quoted 32-bit integers and `"NaN"`, and because one bad span must not cost its whole line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::json::{Json, Object};
use crate::os::error_text;
use crate::telemetry::attributes::Key;

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Recording {
    /// Every span once, in the order of reading.
    pub spans: Vec<Span>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// What could not be read, the first of it.
    pub bad: Vec<Bad>,
    /// How much could not be read.
    pub bad_count: usize,
    places: HashMap<(u128, u64), usize>,
    frame: Option<Frame>,
}

/// What a line has around its spans, and whose it is. One writer's lines mostly have the same, so it is read once.
#[derive(Debug)]
struct Frame {
    front: String,
    back: String,
    writer: Writer,
}

/// What a resource says.
#[derive(Clone, Debug, Default)]
struct Writer {
    phase: Option<String>,
    service: Option<String>,
}

/// One thing that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// A span of anybody.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// The trace.
    pub trace: u128,
    /// Its id in the trace.
    pub id: u64,
    /// The id of the span above it.
    pub parent: Option<u64>,
    /// Its name.
    pub name: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970, never before the start.
    pub end: u64,
    /// Its status is an error.
    pub failed: bool,
    /// The names of its events.
    pub events: Vec<String>,
    /// Attributes with simple values.
    pub attributes: Vec<(String, Value)>,
    /// `cnb.phase` of its resource: it is the lifecycle's.
    pub phase: Option<String>,
    /// `service.name` of its resource.
    pub service: Option<String>,
    /// Which of the files it is from.
    pub file: usize,
}

/// A simple value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Another number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
}

/// How many bad things are named; more are only counted.
const NAMED: usize = 20;

/// The longest line that is read, in bytes. Whoever wrote a longer one wrote no spans.
const LONGEST_LINE: u64 = 64 << 20;

impl Span {
    /// The text of an attribute.
    pub fn text(&self, key: Key) -> Option<&str> {
        match self.attribute(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an attribute.
    pub fn number(&self, key: Key) -> Option<i64> {
        match self.attribute(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The yes or no of an attribute.
    pub fn flag(&self, key: Key) -> Option<bool> {
        match self.attribute(key)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn attribute(&self, key: Key) -> Option<&Value> {
        self.attributes.iter().find(|(name, _)| name == key.name()).map(|(_, value)| value)
    }
}

impl Recording {
    /// Reads a file. A span that is there already is replaced: files may be given twice, or be copies.
    pub fn read(&mut self, path: &Path) {
        self.files.push(path.to_owned());
        match File::open(path) {
            Ok(file) => self.lines(BufReader::with_capacity(1 << 18, file)),
            Err(error) => self.bad(0, error_text(&error)),
        }
    }

    fn lines(&mut self, mut reader: impl BufRead) {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            let is_cut = line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n");
            match read {
                Ok(0) => return,
                Ok(_) if is_cut => match reader.skip_until(b'\n') {
                    Ok(_) => self.bad(number, format!("it is longer than {} MiB", LONGEST_LINE >> 20)),
                    Err(error) => return self.bad(number, error_text(&error)),
                },
                Ok(_) => self.line(number, line.trim_ascii()),
                Err(error) => return self.bad(number, error_text(&error)),
            }
        }
    }

    fn line(&mut self, number: usize, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        // Checking a whole line for UTF-8 at once is faster than text by text.
        let Ok(text) = std::str::from_utf8(line) else { return self.bad(number, "it is no UTF-8".to_owned()) };
        if self.framed(number, text) {
            return;
        }
        match serde_json::from_str::<Json<'_>>(text) {
            Ok(Json::Object(data)) => {
                for resource_spans in data.list("resourceSpans") {
                    let writer = Writer::of(resource_spans);
                    let spans = resource_spans.list("scopeSpans").flat_map(|scope_spans| scope_spans.list("spans"));
                    self.spans(number, spans, &writer);
                }
                self.frame = Frame::of(text, &data);
            }
            Ok(_) => self.bad(number, "it is no JSON object".to_owned()),
            Err(error) if error.is_eof() => self.bad(number, "it is cut off".to_owned()),
            Err(_) => self.bad(number, "it is no JSON".to_owned()),
        }
    }

    /// Reads a line that differs from the one before in its spans alone; says whether it does.
    fn framed(&mut self, number: usize, text: &str) -> bool {
        let Some(frame) = self.frame.take() else { return false };
        let spans = text.strip_prefix(&*frame.front).and_then(|rest| rest.strip_suffix(&*frame.back));
        let Some(Ok(Json::List(spans))) = spans.map(serde_json::from_str::<Json<'_>>) else { return false };
        self.spans(number, spans.iter().filter_map(Json::object), &frame.writer);
        self.frame = Some(frame);
        true
    }

    fn spans<'a>(&mut self, line: usize, spans: impl Iterator<Item = &'a Object<'a>>, writer: &Writer) {
        for span in spans {
            match read_span(span) {
                Ok(read) => {
                    let Writer { phase, service } = writer.clone();
                    self.keep(Span { phase, service, file: self.files.len() - 1, ..read });
                }
                Err(reason) => self.bad(line, reason.to_owned()),
            }
        }
    }

    fn keep(&mut self, span: Span) {
        let place = *self.places.entry((span.trace, span.id)).or_insert(self.spans.len());
        if place == self.spans.len() {
            self.spans.push(span);
        } else {
            self.spans[place] = span;
        }
    }

    fn bad(&mut self, line: usize, reason: String) {
        self.bad_count += 1;
        if self.bad.len() < NAMED {
            let file = self.files.last().cloned().unwrap_or_default();
            self.bad.push(Bad { file, line, reason });
        }
    }
}

impl Frame {
    /// Takes a line apart that has one list of spans, and no other place where a list of that name could be.
    fn of(text: &str, data: &Object<'_>) -> Option<Self> {
        const NAME: &str = r#""spans""#;
        let mut resources = data.list("resourceSpans");
        let (resource_spans, None) = (resources.next()?, resources.next()) else { return None };
        let mut scopes = resource_spans.list("scopeSpans");
        let (Some(Json::List(_)), None) = (scopes.next()?.get("spans"), scopes.next()) else { return None };
        let (at, None) = (text.find(NAME)?, text.matches(NAME).nth(1)) else { return None };
        let begin = at + text[at..].find('[')?;
        let mut list = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<IgnoredAny>();
        list.next()?.ok()?;
        let end = begin + list.byte_offset();
        let (front, back) = (text[..begin].to_owned(), text[end..].to_owned());
        Some(Self { front, back, writer: Writer::of(resource_spans) })
    }
}

impl Writer {
    fn of(resource_spans: &Object<'_>) -> Self {
        let resource = resource_spans.get("resource").and_then(Json::object).map(attributes).unwrap_or_default();
        let text = |key: Key| {
            resource.iter().find(|(name, _)| name == key.name()).and_then(|(_, value)| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
        };
        Self { phase: text(Key::Phase), service: text(Key::ServiceName) }
    }
}

fn read_span(span: &Object<'_>) -> Result<Span, &'static str> {
    let trace = hex(span.text("traceId"), 32).ok_or("a span has no valid traceId")?;
    let id = hex(span.text("spanId"), 16).ok_or("a span has no valid spanId")?;
    let time = |name: &str| span.get(name).and_then(Json::number::<u64>);
    let start = time("startTimeUnixNano").ok_or("a span has no valid startTimeUnixNano")?;
    let end = time("endTimeUnixNano").unwrap_or(start);
    let code = span.get("status").and_then(Json::object).and_then(|status| status.get("code"));
    Ok(Span {
        trace,
        id: id_of(id),
        parent: hex(span.text("parentSpanId"), 16).map(id_of),
        name: span.text("name").unwrap_or_default().to_owned(),
        start,
        end: end.max(start),
        failed: code.is_some_and(|code| code.number() == Some(2_i64) || code.text() == Some("STATUS_CODE_ERROR")),
        events: span.list("events").filter_map(|event| event.text("name")).map(str::to_owned).collect(),
        attributes: attributes(span),
        ..Span::default()
    })
}

/// A span id of 16 digits, which fit.
fn id_of(digits: u128) -> u64 {
    u64::try_from(digits).unwrap_or(0)
}

/// An id: hex in either case, never all zero.
fn hex(text: Option<&str>, length: usize) -> Option<u128> {
    let text = text.filter(|text| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u128::from_str_radix(text, 16).ok().filter(|id| *id != 0)
}

fn attributes(object: &Object<'_>) -> Vec<(String, Value)> {
    let read = |pair: &Object<'_>| {
        let key = pair.text("key")?.to_owned();
        let (kind, value) = pair.get("value")?.object()?.first()?;
        let value = match (kind, value) {
            ("stringValue", Json::Text(text)) => Value::Text(text.clone().into_owned()),
            ("boolValue", Json::Flag(flag)) => Value::Flag(*flag),
            ("doubleValue", Json::Float(number)) => Value::Float(*number),
            // A double without a fraction may be written like a whole number.
            ("intValue" | "doubleValue", number) => Value::Number(number.number()?),
            _ => return None,
        };
        Some((key, value))
    };
    object.list("attributes").filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: &str = r#""traceId":"0AF7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331""#;

    fn recording(text: &[u8]) -> Recording {
        let mut recording = Recording { files: vec!["f".into()], ..Recording::default() };
        recording.lines(text);
        recording
    }

    fn with_span(rest: &str) -> Recording {
        let spans = format!(r#"{{"scopeSpans":[{{"spans":[{{{SPAN},{rest}}}]}}]}}"#);
        recording(format!(r#"{{"resourceSpans":[{spans}]}}"#).as_bytes())
    }

    #[test]
    fn numbers_may_be_quoted_or_not() {
        for (start, end) in [(r#""1""#, r#""5""#), ("1", "5")] {
            for status in ["2", r#""2""#, r#""STATUS_CODE_ERROR""#] {
                let rest = format!(
                    r#""startTimeUnixNano":{start},"endTimeUnixNano":{end},"status":{{"code":{status}}},"unknown":[],
                    "attributes":[{{"key":"cnb.bytes","value":{{"intValue":{start}}}}},{{"key":"x","value":{{"arrayValue":{{}}}}}},
                    {{"key":"y","value":{{"doubleValue":"NaN"}}}},{{"key":"z"}}]"#
                );
                let recording = with_span(&rest.replace('\n', " "));
                assert_eq!(recording.bad, []);
                let span = &recording.spans[0];
                assert_eq!((span.start, span.end, span.failed, span.parent), (1, 5, true, None));
                assert_eq!(span.number(Key::Bytes), Some(1));
                assert_eq!(span.attributes.len(), 1);
            }
        }
    }

    #[test]
    fn bad_lines_are_named_and_the_rest_is_kept() {
        let good =
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":1,SPAN}]}]}]}"#.replace("SPAN", SPAN);
        let text = format!("\u{feff}\n{{}}\n[1]\n\n{good}\nxx\n{}", &good[..40]);
        let recording = recording(text.as_bytes());
        assert_eq!(recording.spans.len(), 1);
        let named: Vec<(usize, &str)> = recording.bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        let expected = [(1, "it is no JSON"), (3, "it is no JSON object"), (6, "it is no JSON"), (7, "it is cut off")];
        assert_eq!(named, expected);
    }

    #[test]
    fn one_bad_span_does_not_cost_its_line() {
        let spans = format!(
            r#"{{"spanId":"1"}},{{"traceId":"{}","spanId":"b7ad6b7169203331"}},{{{SPAN}}},{{{SPAN},"startTimeUnixNano":"7"}}"#,
            "0".repeat(32)
        );
        let line = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        let recording = recording(line.as_bytes());
        assert_eq!((recording.spans.len(), recording.bad_count), (1, 3));
    }

    /// Lines that look like the one before are read by halves: that must not show.
    #[test]
    fn lines_of_one_writer_are_read_as_any_line() {
        let line = |service: &str, spans: &str, more: &str| {
            format!(
                r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},"scopeSpans":[{{"spans": {spans}{more}}}]}}]}}{}"#,
                "\n"
            )
        };
        let span = |id: u32, name: &str| {
            let trace = "0af7651916cd43dd8448eb211c80319c";
            format!(r#"{{"traceId":"{trace}","spanId":"{id:016x}","name":"{name}","startTimeUnixNano":"7"}}"#)
        };
        let one = |id: u32| format!("[{}]", span(id, "one"));
        let text = [
            line("a", &one(1), ""),
            line("a", &one(2), ""),
            line("b", &one(3), ""),
            line("b", &format!("[{},{{}},{}]", span(4, "spans"), span(5, "]}}\\\"spans\\\":[")), ""),
            line("b", &one(6), r#","spans":[{"traceId":"x"}]"#),
            line("b", "[", ""),
            line("b", "[]", ""),
            line("b", "7", ""),
            line("b", &format!("{},{}", one(7), one(8)), ""),
            line("b", &format!("{}]", one(7)), ""),
            line("b", &one(9), ""),
        ]
        .concat();
        let read = recording(text.as_bytes());
        let found: Vec<(u64, &str)> =
            read.spans.iter().map(|span| (span.id, span.service.as_deref().unwrap())).collect();
        assert_eq!(found, [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "b"), (6, "b"), (9, "b")]);
        assert_eq!(read.spans[4].name, "]}}\"spans\":[");
        let named: Vec<(usize, &str)> = read.bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        let (no_id, no_json) = ("a span has no valid traceId", "it is no JSON");
        assert_eq!(named, [(4, no_id), (6, no_json), (9, no_json), (10, no_json)]);
    }

    #[test]
    fn a_line_without_end_is_bad_and_what_follows_is_read() {
        let long = usize::try_from(LONGEST_LINE).unwrap();
        let span =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{SPAN},"startTimeUnixNano":"7"}}]}}]}}]}}"#);
        let mut text = vec![0; long + 10];
        text.push(b'\n');
        text.extend_from_slice(span.as_bytes());
        let read = recording(&text);
        let named: Vec<(usize, &str)> = read.bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        assert_eq!((read.spans.len(), named), (1, vec![(1, "it is longer than 64 MiB")]));
        // As long as it may be, its end included.
        let mut text = span.into_bytes();
        text.resize(long - 1, b' ');
        text.push(b'\n');
        assert_eq!(recording(&text).spans.len(), 1);
    }

    #[test]
    fn many_bad_lines_are_counted_and_a_few_named() {
        let recording = recording("x\n".repeat(1000).as_bytes());
        assert_eq!((recording.bad_count, recording.bad.len()), (1000, NAMED));
    }

    #[test]
    fn a_span_that_is_there_twice_is_one() {
        let mut recording = with_span(r#""startTimeUnixNano":1"#);
        let line =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{SPAN},"startTimeUnixNano":3}}]}}]}}]}}"#);
        recording.lines(line.as_bytes());
        assert_eq!(recording.spans.len(), 1);
        assert_eq!(recording.spans[0].start, 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let mut recording = Recording::default();
        recording.read(Path::new("/nowhere/a.jsonl"));
        let bad = Bad { file: "/nowhere/a.jsonl".into(), line: 0, reason: "no such file or directory".to_owned() };
        assert_eq!(recording.bad, [bad]);
    }
}
