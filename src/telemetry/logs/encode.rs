//! Log records in the two forms of OTLP.
//!
//! Millions of records differ in little: what those of one program share is written once, and copied. `opentelemetry-proto`
//! writes that part, and the tests read all of it back with its types.

use std::io::Write as _;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::{self as proto, InstrumentationScope};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::Attributes;
use prost::Message as _;
use serde::Serialize;

use crate::model::trace::TraceContext;
use crate::telemetry::otlp::Form;

/// How important a line is. The numbers are OpenTelemetry's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For who looks for a fault.
    Debug = 5,
    /// For everybody.
    Info = 9,
    /// Something is odd.
    Warn = 13,
    /// Something failed.
    Error = 17,
}

impl Severity {
    fn text(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Which part of a long line a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// The line ends with it.
    pub is_last: bool,
}

/// What is different in each record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The line.
    pub body: &'a str,
    /// When its first byte came, in nanoseconds since 1970.
    pub time: u64,
    /// When the record was made.
    pub observed: u64,
    /// Of the lifecycle's own lines.
    pub severity: Option<Severity>,
    /// `log.iostream`, of lines of programs.
    pub stream: Option<&'static str>,
    /// `log.record.uid`: the same however often the record is sent.
    pub uid: &'a str,
    /// Of a line that is too long for one record.
    pub part: Option<Part>,
    /// The record stands for so many lines that were dropped (R37).
    pub dropped: Option<u64>,
}

/// Writes the records of one program, or of one phase of the lifecycle.
#[derive(Debug)]
pub struct Encoder {
    form: Form,
    /// What stands in front of all records of a request.
    resource: Vec<u8>,
    scope: Vec<u8>,
    /// What each record says of its span and its program.
    shared: Vec<u8>,
    scratch: Vec<u8>,
}

impl Encoder {
    /// Takes what all records share. What users added to the resource is redacted already.
    pub fn new(
        form: Form,
        resource: Vec<KeyValue>,
        scope: &InstrumentationScope,
        attributes: Vec<KeyValue>,
        span: Option<TraceContext>,
    ) -> Self {
        let resource =
            Resource { attributes: Attributes::from(resource).0, dropped_attributes_count: 0, entity_refs: Vec::new() };
        let attributes = Attributes::from(attributes).0;
        let (resource, scope, shared) = match form {
            Form::Protobuf => (resource.encode_to_vec(), scope.encode_to_vec(), shared_message(&attributes, span)),
            Form::Json => (json(&resource), json(scope), shared_object(&attributes, span)),
        };
        Self { form, resource, scope, shared, scratch: Vec::new() }
    }

    /// Appends a record to those of a request.
    pub fn record(&mut self, record: &Record<'_>, records: &mut Vec<u8>) {
        match self.form {
            Form::Protobuf => self.message(record, records),
            Form::Json => self.object(record, records),
        }
    }

    /// Makes the request of records: `ExportLogsServiceRequest`.
    pub fn request(&self, records: &[u8]) -> Vec<u8> {
        match self.form {
            Form::Protobuf => {
                let scope_logs = field_length(self.scope.len()) + records.len();
                let resource_logs = field_length(self.resource.len()) + field_length(scope_logs);
                let mut request = Vec::with_capacity(field_length(resource_logs));
                head(1, resource_logs, &mut request);
                bytes(1, &self.resource, &mut request);
                head(2, scope_logs, &mut request);
                bytes(1, &self.scope, &mut request);
                request.extend_from_slice(records);
                request
            }
            Form::Json => [
                br#"{"resourceLogs":[{"resource":"#,
                &self.resource[..],
                br#","scopeLogs":[{"scope":"#,
                &self.scope,
                br#","logRecords":["#,
                records.strip_suffix(b",").unwrap_or(records),
                b"]}]}]}",
            ]
            .concat(),
        }
    }

    /// A `LogRecord`, in front of it the number of its field and its length. Fields may be in any order.
    fn message(&mut self, record: &Record<'_>, records: &mut Vec<u8>) {
        let out = &mut self.scratch;
        out.clear();
        fixed(1, record.time, out);
        fixed(11, record.observed, out);
        if let Some(severity) = record.severity {
            out.extend([2 << 3, severity as u8]);
            bytes(3, severity.text().as_bytes(), out);
        }
        head(5, field_length(record.body.len()), out);
        bytes(1, record.body.as_bytes(), out);
        out.extend_from_slice(&self.shared);
        if let Some(stream) = record.stream {
            text_attribute("log.iostream", stream, out);
        }
        text_attribute("log.record.uid", record.uid, out);
        if let Some(part) = record.part {
            attribute("cnb.line.part", 3, u64::from(part.number), out);
            if part.is_last {
                attribute("cnb.line.last", 2, 1, out);
            }
        }
        if let Some(dropped) = record.dropped {
            attribute("cnb.lines.dropped", 3, dropped, out);
        }
        bytes(2, out, records);
    }

    fn object(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let Record { time, observed, uid, .. } = record;
        // Writing to memory cannot fail, here and below.
        let _ = write!(out, r#"{{"timeUnixNano":"{time}","observedTimeUnixNano":"{observed}","#);
        if let Some(severity) = record.severity {
            let _ = write!(out, r#""severityNumber":{},"severityText":"{}","#, severity as u8, severity.text());
        }
        out.extend_from_slice(br#""body":{"stringValue":"#);
        let _ = serde_json::to_writer(&mut *out, record.body);
        out.extend_from_slice(b"},");
        out.extend_from_slice(&self.shared);
        let _ = write!(out, r#"{{"key":"log.record.uid","value":{{"stringValue":"{uid}"}}}}"#);
        if let Some(stream) = record.stream {
            let _ = write!(out, r#",{{"key":"log.iostream","value":{{"stringValue":"{stream}"}}}}"#);
        }
        if let Some(Part { number, is_last }) = record.part {
            let _ = write!(out, r#",{{"key":"cnb.line.part","value":{{"intValue":"{number}"}}}}"#);
            if is_last {
                out.extend_from_slice(br#",{"key":"cnb.line.last","value":{"boolValue":true}}"#);
            }
        }
        if let Some(dropped) = record.dropped {
            let _ = write!(out, r#",{{"key":"cnb.lines.dropped","value":{{"intValue":"{dropped}"}}}}"#);
        }
        out.extend_from_slice(b"]},");
    }
}

/// Attributes, flags and ids, as fields of a record.
fn shared_message(attributes: &[proto::KeyValue], span: Option<TraceContext>) -> Vec<u8> {
    let mut out = Vec::new();
    for attribute in attributes {
        bytes(6, &attribute.encode_to_vec(), &mut out);
    }
    if let Some(span) = span {
        out.push(8 << 3 | 5);
        out.extend(u32::from(span.flags).to_le_bytes());
        bytes(9, &span.trace_id, &mut out);
        bytes(10, &span.span_id, &mut out);
    }
    out
}

/// The same in JSON; its last part, the list of attributes, is left open.
fn shared_object(attributes: &[proto::KeyValue], span: Option<TraceContext>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(span) = span {
        let TraceContext { flags, trace_id, span_id } = span;
        let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
        let _ = write!(out, r#""flags":{flags},"traceId":"{trace_id}","spanId":"{span_id}","#);
    }
    out.extend_from_slice(br#""attributes":["#);
    for attribute in attributes {
        out.extend(json(attribute));
        out.push(b',');
    }
    out
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn text_attribute(key: &str, value: &str, out: &mut Vec<u8>) {
    let inner = field_length(value.len());
    head(6, field_length(key.len()) + field_length(inner), out);
    bytes(1, key.as_bytes(), out);
    head(2, inner, out);
    bytes(1, value.as_bytes(), out);
}

/// An attribute that is a number or yes or no, by the number of that kind in `AnyValue`.
fn attribute(key: &str, kind: u8, value: u64, out: &mut Vec<u8>) {
    let inner = 1 + number_length(value);
    head(6, field_length(key.len()) + field_length(inner), out);
    bytes(1, key.as_bytes(), out);
    head(2, inner, out);
    out.push(kind << 3);
    number(value, out);
}

/// A field of 64 bits.
fn fixed(field: u8, value: u64, out: &mut Vec<u8>) {
    out.push(field << 3 | 1);
    out.extend(value.to_le_bytes());
}

/// A field of bytes.
fn bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    head(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// What stands in front of the bytes of a field. Fields have numbers up to 15.
fn head(field: u8, length: usize, out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    number(length as u64, out);
}

fn field_length(length: usize) -> usize {
    1 + number_length(length as u64) + length
}

/// A number in groups of seven bits.
fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn number_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    fn requests(records: &[Record<'_>], span: Option<TraceContext>) -> [ExportLogsServiceRequest; 2] {
        [Form::Protobuf, Form::Json].map(|form| {
            let scope =
                InstrumentationScope { name: "scope".to_owned(), version: "1".to_owned(), ..Default::default() };
            let attributes = vec![KeyValue::new("buildpack_id", "a/b"), KeyValue::new("n", 5)];
            let mut encoder = Encoder::new(form, vec![KeyValue::new("service.name", "x")], &scope, attributes, span);
            let mut encoded = Vec::new();
            for record in records {
                encoder.record(record, &mut encoded);
            }
            let request = encoder.request(&encoded);
            match form {
                Form::Protobuf => ExportLogsServiceRequest::decode(&request[..]).unwrap(),
                Form::Json => {
                    assert!(!request.contains(&b'\n'));
                    serde_json::from_slice(&request).unwrap_or_else(|error| panic!("{error}"))
                }
            }
        })
    }

    #[test]
    fn both_forms_say_the_same_and_are_what_the_protocols_own_types_read() {
        let long = "x".repeat(70_000);
        let line = Record {
            body: "a \"line\" with \u{0}, ü\u{1b}[0m",
            time: 1_795_266_252_688_639_776,
            observed: u64::MAX,
            severity: None,
            stream: Some("stderr"),
            uid: "0123-4",
            part: None,
            dropped: None,
        };
        let own = Record { severity: Some(Severity::Warn), stream: None, dropped: Some(300), ..line };
        let part = Record { body: &long, part: Some(Part { number: 200, is_last: true }), ..line };
        let span = TraceContext { trace_id: [0xab; 16], span_id: [0xcd; 8], flags: 1 };
        let [message, mut object] = requests(&[line, own, part], Some(span));
        let order = |request: &mut ExportLogsServiceRequest| {
            let records = request.resource_logs.iter_mut().flat_map(|logs| &mut logs.scope_logs);
            let records = records.flat_map(|logs| &mut logs.log_records);
            for record in records {
                record.attributes.sort_by(|a, b| a.key.cmp(&b.key));
            }
        };
        let mut sorted = message.clone();
        order(&mut sorted);
        order(&mut object);
        assert_eq!(sorted, object);
        let logs = &message.resource_logs[0];
        assert_eq!(logs.resource.as_ref().unwrap().attributes[0].key, "service.name");
        assert_eq!(logs.scope_logs[0].scope.as_ref().unwrap().name, "scope");
        let [first, second, third] = &logs.scope_logs[0].log_records[..] else { panic!() };
        assert_eq!(first.body.clone().unwrap().value, Some(Value::StringValue(line.body.to_owned())));
        assert_eq!((first.time_unix_nano, first.observed_time_unix_nano), (line.time, line.observed));
        assert_eq!((first.severity_number, first.flags), (0, 1));
        assert_eq!((&first.trace_id[..], &first.span_id[..]), (&[0xab; 16][..], &[0xcd; 8][..]));
        let names = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
            record.attributes.iter().map(|attribute| attribute.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(first), ["buildpack_id", "n", "log.iostream", "log.record.uid"]);
        assert_eq!((second.severity_number, second.severity_text.as_str()), (13, "WARN"));
        assert_eq!(names(second), ["buildpack_id", "n", "log.record.uid", "cnb.lines.dropped"]);
        assert_eq!(second.attributes[3].value.clone().unwrap().value, Some(Value::IntValue(300)));
        assert_eq!(third.attributes[4].value.clone().unwrap().value, Some(Value::IntValue(200)));
        assert_eq!(third.attributes[5].value.clone().unwrap().value, Some(Value::BoolValue(true)));
    }

    #[test]
    fn records_without_a_span_have_no_ids() {
        let line = Record {
            body: "",
            time: 1,
            observed: 2,
            severity: None,
            stream: None,
            uid: "u",
            part: None,
            dropped: None,
        };
        for request in requests(&[line], None) {
            let record = &request.resource_logs[0].scope_logs[0].log_records[0];
            assert!(record.trace_id.is_empty() && record.span_id.is_empty() && record.flags == 0);
        }
    }

    #[test]
    fn numbers_have_as_many_groups_as_they_need() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(out.len(), number_length(value), "{value}");
        }
    }
}
