//! Secrets in spans that programs wrote (telemetry R35): every text in them may be any text, so each is redacted, wherever
//! it stands. Ids, times and numbers stay.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};

use super::Redactor;

impl Redactor {
    /// Redacts spans, and what they have in common.
    pub fn spans(self: &Arc<Self>, data: &mut TracesData) {
        for below in &mut data.resource_spans {
            self.text(&mut below.schema_url);
            below.resource.iter_mut().for_each(|resource| self.attributes(&mut resource.attributes));
            for scope_spans in &mut below.scope_spans {
                self.text(&mut scope_spans.schema_url);
                if let Some(scope) = &mut scope_spans.scope {
                    self.text(&mut scope.name);
                    self.text(&mut scope.version);
                    self.attributes(&mut scope.attributes);
                }
                scope_spans.spans.iter_mut().for_each(|span| self.span(span));
            }
        }
    }

    fn span(self: &Arc<Self>, span: &mut Span) {
        self.text(&mut span.name);
        self.text(&mut span.trace_state);
        self.attributes(&mut span.attributes);
        for event in &mut span.events {
            self.text(&mut event.name);
            self.attributes(&mut event.attributes);
        }
        for link in &mut span.links {
            self.text(&mut link.trace_state);
            self.attributes(&mut link.attributes);
        }
        span.status.iter_mut().for_each(|status| self.text(&mut status.message));
    }

    fn attributes(self: &Arc<Self>, attributes: &mut [KeyValue]) {
        for attribute in attributes {
            self.text(&mut attribute.key);
            attribute.value.iter_mut().for_each(|value| self.value(value));
        }
    }

    fn value(self: &Arc<Self>, value: &mut AnyValue) {
        match &mut value.value {
            Some(Value::StringValue(text)) => self.text(text),
            Some(Value::BytesValue(bytes)) => *bytes = self.whole(bytes),
            Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(|value| self.value(value)),
            Some(Value::KvlistValue(list)) => self.attributes(&mut list.values),
            _ => {}
        }
    }

    fn text(self: &Arc<Self>, text: &mut String) {
        if !text.is_empty() {
            *text = String::from_utf8_lossy(&self.whole(text.as_bytes())).into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::otlp::foreign::Line;

    #[test]
    fn r35_no_text_of_a_foreign_span_keeps_a_secret() {
        let attributes = r#"[{"key":"k hunter2","value":{"stringValue":"url=hunter2&x"}},
            {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"hunter2"},
                {"kvlistValue":{"values":[{"key":"hunter2","value":{"stringValue":"aHVudGVyMg=="}}]}}]}}},
            {"key":"b","value":{"bytesValue":"aHVudGVyMg=="}},{"key":"i","value":{"intValue":"7"}}]"#;
        let line = r#"{"resourceSpans":[{"resource":{"attributes":ATTRIBUTES},"schemaUrl":"hunter2","scopeSpans":[{
            "scope":{"name":"n hunter2","version":"hunter2","attributes":ATTRIBUTES},"schemaUrl":"hunter2","spans":[{
            "traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","parentSpanId":"b7ad6b7169203332",
            "traceState":"a=hunter2","flags":257,"name":"curl \u0068unter2","startTimeUnixNano":"5","endTimeUnixNano":"7",
            "attributes":ATTRIBUTES,"events":[{"name":"e hunter2","attributes":ATTRIBUTES}],
            "links":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203333","traceState":"b=hunter2",
            "attributes":ATTRIBUTES}],"status":{"code":2,"message":"hunter2 is wrong"}}]}]}]}"#;
        let line = line.replace("ATTRIBUTES", attributes);
        let mut data = Line::read(line.as_bytes(), |_, _| true).data;
        let before = data.clone();
        let redactor = Arc::new(Redactor::default());
        redactor.spans(&mut data);
        assert_eq!(data, before, "no secrets, no change");
        redactor.add(["hunter2"]);
        redactor.spans(&mut data);
        let text = format!("{data:?}");
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert!(!text.contains(format!("{:?}", b"hunter2").trim_matches(['[', ']'])), "{text}");
        let span = &data.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), span.flags, span.end_time_unix_nano), ("curl [REDACTED]", 257, 7));
        assert_eq!(span.trace_id, before.resource_spans[0].scope_spans[0].spans[0].trace_id);
        assert_eq!(span.attributes[0].key, "k [REDACTED]");
        assert_eq!(span.attributes[3], before.resource_spans[0].scope_spans[0].spans[0].attributes[3]);
        assert_eq!(span.status.as_ref().unwrap().message, "[REDACTED] is wrong");
    }
}
