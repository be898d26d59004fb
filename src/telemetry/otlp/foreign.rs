//! Spans that others wrote, as lines of OTLP JSON: what is one is sent on, what is none is counted.
//!
//! Clause: OpenTelemetry file exporter, OTLP JSON; telemetry part "live spans". It is our own because the parser of
//! `opentelemetry-proto` refuses some valid OTLP, such as quoted 32-bit integers and `"NaN"`, and because one bad span must
//! not cost its whole line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value as Proto,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, TracesData,
    span::{Event, Link},
};
use serde_json::{Map, Value};

/// What a line says.
#[derive(Debug, Default, PartialEq)]
pub struct Line {
    /// Its spans, below what they have in common.
    pub data: TracesData,
    /// How much in it is no span.
    pub bad: u64,
}

impl Line {
    /// Reads a line without its end. Spans for which `is_new` is false are left out: it gets trace and span id.
    pub fn read(line: &[u8], mut is_new: impl FnMut([u8; 16], [u8; 8]) -> bool) -> Self {
        let Ok(Value::Object(object)) = serde_json::from_slice(line) else { return Self { bad: 1, ..Self::default() } };
        let mut bad = 0;
        let mut scope_spans = |of: &Map<String, Value>| {
            let mut spans: Vec<Span> = Vec::new();
            for span in list(of, "spans") {
                match span_of(span) {
                    Some(span) => {
                        let ids = (<[u8; 16]>::try_from(&*span.trace_id), <[u8; 8]>::try_from(&*span.span_id));
                        if let (Ok(trace), Ok(id)) = ids
                            && is_new(trace, id)
                        {
                            spans.push(span);
                        }
                    }
                    None => bad += 1,
                }
            }
            let scope = of.get("scope").and_then(Value::as_object).map(scope_of);
            ScopeSpans { scope, spans, schema_url: text(of, "schemaUrl") }
        };
        let resource_spans = objects(&object, "resourceSpans").map(|of| {
            let scope_spans = objects(of, "scopeSpans").map(&mut scope_spans);
            let scope_spans: Vec<_> = scope_spans.filter(|scope| !scope.spans.is_empty()).collect();
            let resource = of.get("resource").and_then(Value::as_object).map(resource_of);
            ResourceSpans { resource, scope_spans, schema_url: text(of, "schemaUrl") }
        });
        let resource_spans: Vec<_> = resource_spans.filter(|below| !below.scope_spans.is_empty()).collect();
        // Other signals, or no telemetry at all.
        if !object.contains_key("resourceSpans") {
            bad += 1;
        }
        Self { data: TracesData { resource_spans }, bad }
    }

    /// How many spans there are.
    pub fn spans(&self) -> usize {
        let scopes = self.data.resource_spans.iter().flat_map(|below| &below.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

fn list<'a>(of: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn objects<'a>(of: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    list(of, name).filter_map(Value::as_object)
}

fn text(of: &Map<String, Value>, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A whole number, quoted or not.
fn number<T: TryFrom<i128>>(of: &Map<String, Value>, name: &str) -> Option<T> {
    whole(of.get(name)?)
}

fn whole<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::String(text) => text.parse::<i128>().ok(),
        Value::Number(number) => number.as_i128(),
        _ => None,
    };
    T::try_from(number?).ok()
}

fn count(of: &Map<String, Value>, name: &str) -> u32 {
    number(of, name).unwrap_or(0)
}

/// An id that is not all zero.
fn id<const LENGTH: usize>(of: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let text = of.get(name)?.as_str()?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.chunks_exact(2).map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok());
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    (text.len() == 2 * LENGTH && bytes.iter().any(|byte| *byte != 0)).then_some(bytes)
}

fn span_of(value: &Value) -> Option<Span> {
    let of = value.as_object()?;
    let start: u64 = number(of, "startTimeUnixNano")?;
    Some(Span {
        trace_id: id::<16>(of, "traceId")?,
        span_id: id::<8>(of, "spanId")?,
        trace_state: text(of, "traceState"),
        parent_span_id: id::<8>(of, "parentSpanId").unwrap_or_default(),
        flags: count(of, "flags"),
        name: text(of, "name"),
        kind: number(of, "kind").unwrap_or(0),
        start_time_unix_nano: start,
        // A span that has not ended is none of length, but is one.
        end_time_unix_nano: number(of, "endTimeUnixNano").unwrap_or(start).max(start),
        attributes: attributes(of),
        dropped_attributes_count: count(of, "droppedAttributesCount"),
        events: objects(of, "events").map(event_of).collect(),
        dropped_events_count: count(of, "droppedEventsCount"),
        links: objects(of, "links").filter_map(link_of).collect(),
        dropped_links_count: count(of, "droppedLinksCount"),
        status: of
            .get("status")
            .and_then(Value::as_object)
            .map(|of| Status { message: text(of, "message"), code: number(of, "code").unwrap_or(0) }),
    })
}

fn event_of(of: &Map<String, Value>) -> Event {
    Event {
        time_unix_nano: number(of, "timeUnixNano").unwrap_or(0),
        name: text(of, "name"),
        attributes: attributes(of),
        dropped_attributes_count: count(of, "droppedAttributesCount"),
    }
}

fn link_of(of: &Map<String, Value>) -> Option<Link> {
    Some(Link {
        trace_id: id::<16>(of, "traceId")?,
        span_id: id::<8>(of, "spanId")?,
        trace_state: text(of, "traceState"),
        attributes: attributes(of),
        dropped_attributes_count: count(of, "droppedAttributesCount"),
        flags: count(of, "flags"),
    })
}

fn resource_of(of: &Map<String, Value>) -> Resource {
    let dropped_attributes_count = count(of, "droppedAttributesCount");
    Resource { attributes: attributes(of), dropped_attributes_count, entity_refs: Vec::new() }
}

fn scope_of(of: &Map<String, Value>) -> InstrumentationScope {
    InstrumentationScope {
        name: text(of, "name"),
        version: text(of, "version"),
        attributes: attributes(of),
        dropped_attributes_count: count(of, "droppedAttributesCount"),
    }
}

fn attributes(of: &Map<String, Value>) -> Vec<KeyValue> {
    pairs(of, "attributes")
}

fn pairs(of: &Map<String, Value>, name: &str) -> Vec<KeyValue> {
    let pair = |of: &Map<String, Value>| {
        let value = of.get("value").and_then(Value::as_object).map(value_of);
        KeyValue { key: text(of, "key"), value, ..KeyValue::default() }
    };
    objects(of, name).map(pair).collect()
}

/// The value of an attribute; an empty one where it is of no kind that is known.
fn value_of(of: &Map<String, Value>) -> AnyValue {
    let value = of.iter().find_map(|(kind, value)| match kind.as_str() {
        "stringValue" => Some(Proto::StringValue(value.as_str()?.to_owned())),
        "boolValue" => Some(Proto::BoolValue(value.as_bool()?)),
        "intValue" => Some(Proto::IntValue(whole(value)?)),
        // Numbers that JSON has no form for are texts in OTLP. What sends them on as JSON may write null: so they stay.
        "doubleValue" => Some(match value {
            Value::String(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Proto::DoubleValue(number),
                _ => Proto::StringValue(text.clone()),
            },
            value => Proto::DoubleValue(value.as_f64()?),
        }),
        "bytesValue" => Some(Proto::BytesValue(STANDARD.decode(value.as_str()?).ok()?)),
        "arrayValue" => {
            let values = objects(value.as_object()?, "values").map(value_of).collect();
            Some(Proto::ArrayValue(ArrayValue { values }))
        }
        "kvlistValue" => Some(Proto::KvlistValue(KeyValueList { values: pairs(value.as_object()?, "values") })),
        _ => None,
    });
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: &str = r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"a",
        "startTimeUnixNano":"5","endTimeUnixNano":"7","kind":"3","flags":257,
        "attributes":[{"key":"i","value":{"intValue":"-4"}},{"key":"d","value":{"doubleValue":"NaN"}},
            {"key":"l","value":{"arrayValue":{}}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"b","value":{"boolValue":true}}]}}},
            {"key":"x","value":{"bytesValue":"AQI="}},{"key":"n","value":null},{"key":"u","value":{"other":1}}],
        "events":[{"timeUnixNano":6,"name":"e"}],
        "links":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203332"},{}],
        "status":{"code":2,"message":"m"}}"#;

    fn line(spans: &str) -> String {
        let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]}"#;
        format!(
            r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"scope":{{"name":"t"}},"spans":[{spans}]}}]}}]}}"#
        )
    }

    fn read(line: &str) -> Line {
        Line::read(line.as_bytes(), |_, _| true)
    }

    #[test]
    fn a_span_is_read_with_all_that_it_says() {
        let line = read(&line(SPAN));
        assert_eq!((line.spans(), line.bad), (1, 0));
        let below = &line.data.resource_spans[0];
        assert_eq!(below.resource.as_ref().unwrap().attributes.len(), 1);
        assert_eq!(below.scope_spans[0].scope.as_ref().unwrap().name, "t");
        let span = &below.scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), span.kind, span.flags), ("a", 3, 257));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 7));
        assert_eq!((span.events[0].time_unix_nano, span.links.len()), (6, 1));
        assert_eq!(span.status, Some(Status { message: "m".to_owned(), code: 2 }));
        let values: Vec<_> =
            span.attributes.iter().map(|pair| pair.value.clone().and_then(|value| value.value)).collect();
        assert_eq!(
            values[..3],
            [
                Some(Proto::IntValue(-4)),
                Some(Proto::StringValue("NaN".to_owned())),
                Some(Proto::ArrayValue(ArrayValue::default())),
            ]
        );
        assert!(matches!(&values[3], Some(Proto::KvlistValue(list)) if list.values.len() == 1));
        assert_eq!(values[4..], [Some(Proto::BytesValue(vec![1, 2])), None, None]);
        // What was read is what the crate's own reader finds in its own form.
        let text = serde_json::to_string(&line.data).unwrap();
        assert_eq!(serde_json::from_str::<TracesData>(&text).unwrap(), line.data);
    }

    #[test]
    fn what_is_no_span_is_counted_and_costs_no_other() {
        for (spans, good, bad) in [
            ("{}", 0, 1),
            ("1,null", 0, 2),
            (&format!("{SPAN},{{\"traceId\":\"00000000000000000000000000000000\"}}"), 1, 1),
            (&SPAN.replace("b7ad6b7169203331\",\"name", "b7\",\"name"), 0, 1),
            (&SPAN.replace("0af7651916cd43dd8448eb211c80319c\",\"spanId\":\"b7ad6b7169203331\"", "é"), 0, 1),
            (&SPAN.replace("\"startTimeUnixNano\":\"5\"", "\"startTimeUnixNano\":-5"), 0, 1),
        ] {
            let read = read(&line(spans));
            assert_eq!((read.spans(), read.bad), (good, bad), "{spans}");
        }
        for text in ["", "x", "[]", "{}", r#"{"resourceLogs":[]}"#, "\u{0}", r#"{"resourceSpans""#] {
            assert_eq!(read(text), Line { data: TracesData::default(), bad: 1 }, "{text}");
        }
        assert_eq!(Line::read(b"\xff", |_, _| true).bad, 1);
        // What heals a torn line is nothing, and no fault.
        assert_eq!(read(r#"{"resourceSpans":[]}"#), Line::default());
    }

    #[test]
    fn a_span_that_is_known_is_left_out() {
        let mut seen = std::collections::BTreeSet::new();
        let line = Line::read(line(&format!("{SPAN},{SPAN}")).as_bytes(), |trace, id| seen.insert((trace, id)));
        assert_eq!((line.spans(), line.bad), (1, 0));
    }
}
