//! Builds as JSON, for programs.

use serde_json::{Map, Value as Json, json};

use super::read::{Bad, Value};
use super::row::State;
use super::summary::Totals;
use super::tree::{Build, Forest, Node, Role};

/// The builds and what could not be read. Times are nanoseconds; those since 1970 are texts, as in OTLP.
pub fn json(forest: &Forest, builds: &[&Build], bad: &[Bad], bad_count: usize) -> Json {
    let bad: Vec<Json> = bad
        .iter()
        .map(|bad| json!({ "file": bad.file.display().to_string(), "line": bad.line, "reason": bad.reason }))
        .collect();
    let builds: Vec<Json> = builds.iter().map(|build| build_json(forest, build)).collect();
    json!({ "builds": builds, "badLines": bad, "badLineCount": bad_count })
}

fn build_json(forest: &Forest, build: &Build) -> Json {
    let totals = Totals::of(forest, build);
    let spans: Vec<Json> = forest.walk(&build.roots).into_iter().map(|(index, _)| span_json(forest, index)).collect();
    json!({
        "traceId": format!("{:032x}", build.trace),
        "result": totals.result(forest),
        "startTimeUnixNano": build.start.to_string(),
        "durationNano": build.end - build.start,
        "layersReused": totals.reused,
        "layersWritten": totals.written,
        "layersWrittenBytes": totals.written_bytes,
        "cacheHits": totals.cache_hits,
        "cacheMisses": totals.cache_misses,
        "requests": totals.requests,
        "retries": totals.retries,
        "spans": spans,
    })
}

fn span_json(forest: &Forest, index: usize) -> Json {
    let node = &forest.nodes[index];
    let span = &node.span;
    let parent = node.parent.map(|parent| id(&forest.nodes[parent]));
    let attributes: Map<String, Json> =
        span.attributes.iter().map(|(key, value)| (key.clone(), value_json(value))).collect();
    json!({
        "spanId": id(node),
        "parentSpanId": parent,
        "kind": match node.role {
            Role::Phase => "phase",
            Role::Process => "program",
            Role::Step => "step",
            Role::Foreign => "foreign",
        },
        "name": span.name,
        "phase": span.phase,
        "service": span.service,
        "state": State::of(node).meaning(),
        "critical": node.critical,
        "startTimeUnixNano": span.start.to_string(),
        "durationNano": node.duration(),
        "attributes": attributes,
        "events": span.events,
    })
}

fn id(node: &Node) -> String {
    format!("{:016x}", node.span.id)
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Number(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Flag(flag) => json!(flag),
    }
}
