//! Builds as JSON, for programs.
//!
//! Times are nanoseconds; those since 1970 are texts, as in OTLP, because they do not fit into a double.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::read::{Bad, Span, Value};
use super::row::State;
use super::summary::Totals;
use super::tree::{Build, Forest, Node, Role};

/// Everything that `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Export<'a> {
    builds: Vec<BuildJson<'a>>,
    bad_lines: Vec<BadJson<'a>>,
    bad_line_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildJson<'a> {
    trace_id: String,
    result: &'static str,
    start_time_unix_nano: String,
    duration_nano: u64,
    layers_reused: BTreeSet<String>,
    layers_written: BTreeSet<String>,
    layers_written_bytes: u64,
    cache_hits: usize,
    cache_misses: usize,
    requests: usize,
    retries: usize,
    spans: Vec<SpanJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson<'a> {
    span_id: String,
    /// The span that it is shown below, which for foreign spans may be another than they say.
    parent_span_id: Option<String>,
    kind: &'static str,
    name: &'a str,
    phase: Option<&'a str>,
    service: Option<&'a str>,
    state: &'static str,
    critical: bool,
    start_time_unix_nano: String,
    duration_nano: u64,
    #[serde(serialize_with = "attributes")]
    attributes: &'a Span,
    events: &'a [String],
}

#[derive(Serialize)]
struct BadJson<'a> {
    file: String,
    line: usize,
    reason: &'a str,
}

impl<'a> Export<'a> {
    /// Takes the builds and what could not be read.
    pub fn new(forest: &'a Forest, builds: &[&'a Build], bad: &'a [Bad], bad_line_count: usize) -> Self {
        let bad_json =
            |bad: &'a Bad| BadJson { file: bad.file.display().to_string(), line: bad.line, reason: &bad.reason };
        Self {
            builds: builds.iter().map(|build| BuildJson::new(forest, build)).collect(),
            bad_lines: bad.iter().map(bad_json).collect(),
            bad_line_count,
        }
    }
}

impl<'a> BuildJson<'a> {
    fn new(forest: &'a Forest, build: &Build) -> Self {
        let totals = Totals::of(forest, build);
        Self {
            trace_id: format!("{:032x}", build.trace),
            result: totals.result(forest),
            start_time_unix_nano: build.start.to_string(),
            duration_nano: build.end - build.start,
            spans: forest.walk(&build.roots).into_iter().map(|(index, _)| SpanJson::new(forest, index)).collect(),
            layers_reused: totals.reused,
            layers_written: totals.written,
            layers_written_bytes: totals.written_bytes,
            cache_hits: totals.cache_hits,
            cache_misses: totals.cache_misses,
            requests: totals.requests,
            retries: totals.retries,
        }
    }
}

impl<'a> SpanJson<'a> {
    fn new(forest: &'a Forest, index: usize) -> Self {
        let node = &forest.nodes[index];
        let span = &node.span;
        Self {
            span_id: id(node),
            parent_span_id: node.parent.map(|parent| id(&forest.nodes[parent])),
            kind: match node.role {
                Role::Phase => "phase",
                Role::Process => "program",
                Role::Step => "step",
                Role::Foreign => "foreign",
            },
            name: &span.name,
            phase: span.phase.as_deref(),
            service: span.service.as_deref(),
            state: State::of(node).meaning(),
            critical: node.critical,
            start_time_unix_nano: span.start.to_string(),
            duration_nano: node.duration(),
            attributes: span,
            events: &span.events,
        }
    }
}

fn id(node: &Node) -> String {
    format!("{:016x}", node.span.id)
}

/// Attributes as an object. A foreign span may have one twice; the first counts.
fn attributes<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    let mut seen = BTreeSet::new();
    for (key, value) in &span.attributes {
        if !seen.insert(key) {
            continue;
        }
        match value {
            Value::Text(text) => map.serialize_entry(key, text)?,
            Value::Number(number) => map.serialize_entry(key, number)?,
            Value::Float(number) => map.serialize_entry(key, number)?,
            Value::Flag(flag) => map.serialize_entry(key, flag)?,
        }
    }
    map.end()
}
