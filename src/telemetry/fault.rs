//! What can go wrong with telemetry: a warning at most, never more (T13, R12).

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::files::FileError;

/// Something that keeps telemetry from being complete. It never changes what a phase does or how it exits.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// `CNB_OTEL_TRACEPARENT` is malformed; a new trace was begun. The value may be anything, so it is not repeated.
    #[error("CNB_OTEL_TRACEPARENT is no W3C traceparent, so a new trace begins")]
    Context,
    /// Spans, or the context, cannot be kept.
    #[error("telemetry is incomplete: {0}")]
    File(#[from] FileError),
    /// A program made its telemetry file shorter, or put another in its place.
    #[error("telemetry is incomplete: '{}' was cut or replaced by the program it was made for", .0.display())]
    Tampered(PathBuf),
}

/// Collects faults, the first of each kind: a full disk is worth one line, not one for each span.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Keeps a fault, unless one of its kind is kept already.
    pub fn add(&self, fault: Fault) {
        let kind = std::mem::discriminant(&fault);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(|other| std::mem::discriminant(other) == kind) {
            kept.push(fault);
        }
    }

    /// Adds the error of a result, and gives its value.
    pub fn unless<T, E: Into<Fault>>(&self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(error.into())).ok()
    }

    /// The sentences for the user, in the order in which the faults came.
    pub fn warnings(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(ToString::to_string).collect()
    }
}
