//! One span as one line of OTLP JSON: a `TracesData` message.
//!
//! Clause: OpenTelemetry file exporter, JSON lines; telemetry R3-R8.

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use opentelemetry_proto::transform::common::tonic::Attributes;
use opentelemetry_sdk::trace::SpanData;

/// The longest line in bytes, its end included (R6). The Collector's file receiver drops lines over 1 MiB.
pub const LONGEST_LINE: usize = 512 * 1024;

/// Bytes that a line needs, mostly.
const USUAL_LINE: usize = 2048;

/// Renders spans of one program: the same resource in front of each.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What is in front of a span: the resource and the scope, rendered once. They are kept beside the SDK, whose
    /// resource is a hash map: its order would differ from run to run (R7).
    front: Vec<u8>,
    /// What is behind it, with the end of the line.
    back: Vec<u8>,
}

impl Lines {
    /// Takes what all lines say, in the order in which they say it.
    pub fn new(resource: Vec<KeyValue>, scope: &InstrumentationScope) -> Self {
        let attributes = Attributes::from(resource).0;
        let scope_spans =
            ScopeSpans { scope: Some((scope, None).into()), spans: Vec::new(), schema_url: String::new() };
        let resource_spans = ResourceSpans {
            resource: Some(Resource { attributes, dropped_attributes_count: 0, entity_refs: Vec::new() }),
            scope_spans: vec![scope_spans],
            schema_url: String::new(),
        };
        // Texts, numbers and lists of them: writing to memory cannot fail.
        let empty = serde_json::to_string(&TracesData { resource_spans: vec![resource_spans] }).unwrap_or_default();
        // No text can have this in it: its quotes would be escaped.
        let (front, back) = empty.split_once(r#""spans":[]"#).unwrap_or_default();
        Self { front: format!(r#"{front}"spans":["#).into_bytes(), back: format!("]{back}\n").into_bytes() }
    }

    /// The line for a span, with its end. Where it would be too long it has fewer events, and says how many are missing.
    pub fn render(&self, span: SpanData) -> Vec<u8> {
        let mut span = Span::from(span);
        loop {
            let line = self.write(&span);
            if line.len() <= LONGEST_LINE || span.events.is_empty() {
                return line;
            }
            let kept = span.events.len() / 2;
            span.dropped_events_count += u32::try_from(span.events.len() - kept).unwrap_or(u32::MAX);
            span.events.truncate(kept);
        }
    }

    fn write(&self, span: &Span) -> Vec<u8> {
        let mut line = Vec::with_capacity(USUAL_LINE);
        line.extend_from_slice(&self.front);
        let _ = serde_json::to_writer(&mut line, span);
        line.extend_from_slice(&self.back);
        line
    }
}
