//! What spans say of work: names, attributes, results.
//!
//! Telemetry R24-R28. Texts from outside are only ids, versions and layer names; everything else is fixed here.

use std::borrow::Cow;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status};

use super::attributes::{Key, flag, number, text};
use crate::effect::events::{Facts, Note, Outcome, Work};
use crate::model::id::ModuleKind;

/// The name of the span for a piece of work.
pub fn name(work: &Work) -> Cow<'static, str> {
    match work {
        Work::Phase(phase) => phase.verb().into(),
        Work::Process { step, kind: ModuleKind::Buildpack, .. } => format!("buildpack-{}", step.name()).into(),
        Work::Process { step, kind: ModuleKind::Extension, .. } => format!("extension-{}", step.name()).into(),
        Work::ResolveOrder => "resolve-order".into(),
        Work::ResolvePlan => "resolve-plan".into(),
        Work::CheckAccess => "check-access".into(),
        Work::ReadPreviousImage => "read-previous-image".into(),
        Work::ReadRunImage => "read-run-image".into(),
        Work::RestoreLayer(_) => "restore-layer".into(),
        Work::HashLayer(_) => "hash-layer".into(),
        Work::WriteLayer(_) => "write-layer".into(),
        Work::WriteImage => "write-image".into(),
        Work::CacheLayer(_) => "cache-layer".into(),
        Work::CommitCache => "commit-cache".into(),
        Work::Request { method, about } => format!("{method} {about}").into(),
    }
}

/// The side of a conversation that a span is.
pub fn kind(work: &Work) -> SpanKind {
    match work {
        Work::Request { .. } => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}

/// What a piece of work is, for its span and its marker.
pub fn work(work: &Work) -> Vec<KeyValue> {
    match work {
        Work::Phase(_) => vec![text(Key::TaskName, &name(work))],
        Work::Process { kind, id, version, .. } => {
            let mut attributes = vec![text(Key::TaskName, &name(work))];
            attributes.extend(module(*kind, id.as_str(), version));
            attributes
        }
        Work::RestoreLayer(layer) | Work::HashLayer(layer) | Work::WriteLayer(layer) | Work::CacheLayer(layer) => {
            vec![text(Key::Layer, layer)]
        }
        Work::Request { method, about } => vec![text(Key::RequestMethod, method), text(Key::RequestAbout, about)],
        Work::ResolveOrder
        | Work::ResolvePlan
        | Work::CheckAccess
        | Work::ReadPreviousImage
        | Work::ReadRunImage
        | Work::WriteImage
        | Work::CommitCache => Vec::new(),
    }
}

fn module(kind: ModuleKind, id: &str, version: &str) -> Vec<KeyValue> {
    match kind {
        ModuleKind::Buildpack => {
            vec![text(Key::BuildpackId, id), text(Key::BuildpackIdRfc, id), text(Key::BuildpackVersion, version)]
        }
        ModuleKind::Extension => vec![text(Key::ExtensionId, id), text(Key::ExtensionVersion, version)],
    }
}

/// What is known when a piece of work ends.
pub fn end(outcome: Outcome, facts: &Facts) -> Vec<KeyValue> {
    let mut attributes = vec![text(Key::TaskRunResult, result(outcome))];
    // OpenTelemetry's own word where nothing more is known.
    let unknown = is_error(outcome).then_some("_OTHER");
    attributes.extend(facts.error_type.or(unknown).map(|kind| text(Key::ErrorType, kind)));
    attributes.extend(facts.exit_code.map(|code| number(Key::ExitCode, code)));
    attributes.extend(facts.status.map(|status| number(Key::ResponseStatus, status)));
    attributes.extend(facts.reused.map(|reused| flag(Key::LayerReused, reused)));
    attributes.extend(facts.cache_hit.map(|hit| flag(Key::CacheHit, hit)));
    attributes.extend(facts.bytes.map(|bytes| number(Key::Bytes, bytes)));
    attributes.extend(facts.files.map(|files| number(Key::Files, files)));
    attributes
}

/// The word of `cicd.pipeline.task.run.result`.
pub fn result(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Error => "error",
        Outcome::Timeout => "timeout",
        Outcome::Skip => "skip",
        Outcome::Cancellation => "cancellation",
    }
}

/// The status of a span: unset unless something is wrong, and then with a fixed text (R25, R28).
pub fn status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Success | Outcome::Skip | Outcome::Cancellation => Status::Unset,
        Outcome::Failure => Status::error("failed"),
        Outcome::Error => Status::error("could not be done"),
        Outcome::Timeout => Status::error("took too long"),
    }
}

fn is_error(outcome: Outcome) -> bool {
    status(outcome) != Status::Unset
}

/// The name and attributes of the event for a note.
pub fn note(note: &Note) -> (&'static str, Vec<KeyValue>) {
    match note {
        Note::DetectPass { id, version } => {
            ("detect-pass", vec![text(Key::BuildpackId, id.as_str()), text(Key::BuildpackVersion, version)])
        }
        Note::Retry { attempt, status } => {
            let mut attributes = vec![number(Key::ResendCount, *attempt)];
            attributes.extend(status.map(|status| number(Key::ResponseStatus, status)));
            ("retry", attributes)
        }
    }
}
