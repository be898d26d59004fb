//! What a spool did not take in, and why: for the sentences that say so.
//!
//! Telemetry T12, R37: nothing is dropped silently.

use std::sync::{Mutex, PoisonError};

use super::Refused;

/// Counts what was not taken in.
#[derive(Debug, Default)]
pub struct Loss(Mutex<Lost>);

#[derive(Debug, Default)]
struct Lost {
    full: u64,
    failed: u64,
    cause: String,
}

impl Loss {
    /// Counts so many, and keeps why the first could not be written.
    pub fn add(&self, count: u64, why: &Refused) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Refused::Full => lost.full += count,
            Refused::Failed(_) => {
                lost.failed += count;
                if lost.cause.is_empty() {
                    lost.cause = why.to_string();
                }
            }
        }
    }

    /// The sentences for the user: of how many there was no room for, and of those that could not be written, because.
    pub fn told(&self, full: impl Fn(u64) -> String, failed: impl Fn(u64, &str) -> String) -> Vec<String> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = (lost.full > 0).then(|| full(lost.full));
        let failed = (lost.failed > 0).then(|| failed(lost.failed, &lost.cause));
        full.into_iter().chain(failed).collect()
    }
}
