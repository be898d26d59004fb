//! One span as one line of OTLP JSON: a `TracesData` message.
//!
//! Clause: OpenTelemetry file exporter, JSON lines; telemetry R3-R8.

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::common::v1 as proto_common;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use opentelemetry_proto::transform::common::tonic::Attributes;
use opentelemetry_sdk::trace::SpanData;

/// The longest line in bytes, its end included (R6). The Collector's file receiver drops lines over 1 MiB.
pub const LONGEST_LINE: usize = 512 * 1024;

/// Renders spans of one program: the same resource in front of each.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Kept beside the SDK, whose resource is a hash map: its order would differ from run to run (R7).
    resource: Resource,
    scope: proto_common::InstrumentationScope,
}

impl Lines {
    /// Takes what all lines say, in the order in which they say it.
    pub fn new(resource: Vec<KeyValue>, scope: &InstrumentationScope) -> Self {
        let attributes = Attributes::from(resource).0;
        let resource = Resource { attributes, dropped_attributes_count: 0, entity_refs: Vec::new() };
        Self { resource, scope: (scope, None).into() }
    }

    /// The line for a span, with its end. Where it would be too long it has fewer events, and says how many are missing.
    pub fn render(&self, span: SpanData) -> Vec<u8> {
        self.bounded(span.into()).1
    }

    /// What the line for a span says.
    pub fn data(&self, span: Span) -> TracesData {
        self.bounded(span).0
    }

    fn bounded(&self, mut span: Span) -> (TracesData, Vec<u8>) {
        loop {
            let data = self.below(span.clone());
            let line = write(&data);
            if line.len() <= LONGEST_LINE || span.events.is_empty() {
                return (data, line);
            }
            let kept = span.events.len() / 2;
            span.dropped_events_count += u32::try_from(span.events.len() - kept).unwrap_or(u32::MAX);
            span.events.truncate(kept);
        }
    }

    fn below(&self, span: Span) -> TracesData {
        let scope_spans = ScopeSpans { scope: Some(self.scope.clone()), spans: vec![span], schema_url: String::new() };
        let resource_spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![scope_spans],
            schema_url: String::new(),
        };
        TracesData { resource_spans: vec![resource_spans] }
    }
}

fn write(data: &TracesData) -> Vec<u8> {
    // Texts, numbers and lists of them: writing to memory cannot fail.
    let mut line = serde_json::to_vec(data).unwrap_or_default();
    line.push(b'\n');
    line
}
