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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::events::{Phase, Step};
    use crate::model::id::ModuleId;

    const DOCUMENT: &str = include_str!("../../docs/TELEMETRY.md");

    /// One of each kind of work.
    fn all() -> Vec<Work> {
        let process =
            |step, kind| Work::Process { step, kind, id: ModuleId::parse("a").unwrap(), version: String::new() };
        let layer = || "a:b".to_owned();
        let mut all: Vec<Work> = Phase::ALL.into_iter().map(Work::Phase).collect();
        all.extend([
            process(Step::Detect, ModuleKind::Buildpack),
            process(Step::Build, ModuleKind::Buildpack),
            process(Step::Detect, ModuleKind::Extension),
            process(Step::Generate, ModuleKind::Extension),
            Work::ResolveOrder,
            Work::ResolvePlan,
            Work::CheckAccess,
            Work::ReadPreviousImage,
            Work::ReadRunImage,
            Work::RestoreLayer(layer()),
            Work::HashLayer(layer()),
            Work::WriteLayer(layer()),
            Work::WriteImage,
            Work::CacheLayer(layer()),
            Work::CommitCache,
            Work::Request { method: "GET", about: "manifest" },
        ]);
        all
    }

    #[test]
    fn r24_every_span_is_in_the_document() {
        for work in all() {
            let name = name(&work);
            assert!(DOCUMENT.contains(&format!("`{name}`")), "docs/TELEMETRY.md does not say what `{name}` is");
        }
    }

    #[test]
    fn t9_every_attribute_is_in_the_document_and_no_other() {
        for key in Key::ALL {
            assert!(DOCUMENT.contains(&format!("`{}`", key.name())), "docs/TELEMETRY.md lacks {}", key.name());
        }
        let quoted = DOCUMENT.split('`').skip(1).step_by(2);
        let prefixes = ["cnb.", "cicd.", "http.", "process.", "error.", "buildpack-i", "buildpack_i", "extension_i"];
        for word in quoted.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))) {
            // What is left out on purpose, and what log records alone have.
            let others = ["cicd.pipeline.task.run.url.full", "cnb.line.part", "cnb.line.last", "cnb.lines.dropped"];
            let known = Key::ALL.iter().any(|key| key.name() == word) || others.contains(&word);
            assert!(known, "docs/TELEMETRY.md has {word}, which no span has");
        }
    }

    #[test]
    fn r28_statuses_are_three_texts() {
        let outcomes = [
            Outcome::Success,
            Outcome::Failure,
            Outcome::Error,
            Outcome::Timeout,
            Outcome::Skip,
            Outcome::Cancellation,
        ];
        for outcome in outcomes {
            assert!(DOCUMENT.contains(&format!("`{}`", result(outcome))), "{outcome:?}");
            match status(outcome) {
                Status::Unset => {}
                Status::Error { description } => {
                    assert!(["failed", "could not be done", "took too long"].contains(&&*description));
                    assert!(DOCUMENT.contains(&format!("`{description}`")), "docs/TELEMETRY.md lacks {description}");
                }
                Status::Ok => panic!("no span says that it is well: R25"),
            }
        }
    }

    /// All that a span says of work is in the list of attributes, whatever the work and its end.
    #[test]
    fn r27_texts_from_outside_are_ids_versions_and_layers_only() {
        let facts = Facts {
            bytes: Some(1),
            files: Some(1),
            reused: Some(true),
            cache_hit: Some(true),
            exit_code: Some(1),
            status: Some(500),
            error_type: Some("io"),
        };
        for one in all() {
            let pairs = work(&one).into_iter().chain(end(Outcome::Error, &facts));
            for pair in pairs {
                let key =
                    Key::ALL.iter().find(|key| key.name() == pair.key.as_str()).expect("an attribute of the list");
                let from_outside = matches!(
                    key,
                    Key::BuildpackId
                        | Key::BuildpackIdRfc
                        | Key::BuildpackVersion
                        | Key::ExtensionId
                        | Key::ExtensionVersion
                        | Key::Layer
                );
                let fixed = !pair.value.as_str().contains("a:b") && pair.value.as_str() != "a";
                assert!(from_outside || fixed, "{pair:?}");
            }
        }
    }
}
