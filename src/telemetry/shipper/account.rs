//! What became of what was sent of one signal, and what went wrong: trouble of each kind once, for the end.

use std::io;

use crate::os::error_text;
use crate::telemetry::otlp::{Accepted, Signal};

/// What became of what was sent of one signal.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Account {
    /// Spans or log records that the collector took.
    pub(in crate::telemetry) sent: u64,
    /// Those of requests that it refused for good.
    refused: Lost,
    /// Those that it threw away of requests that it took.
    rejected: Lost,
    /// Those that could not be read from the spool.
    unreadable: Lost,
    /// What the collector says beside that.
    said: Option<String>,
    /// Why it takes no requests at the moment.
    away: Option<String>,
}

/// What is lost for one kind of reason: how many, and the first cause that was given.
#[derive(Debug, Default)]
struct Lost {
    count: u64,
    cause: String,
}

impl Lost {
    fn add(&mut self, count: u64, cause: String) {
        self.count += count;
        if self.cause.is_empty() {
            self.cause = cause;
        }
    }

    /// The sentence for the user, if there is something to tell: what happened, and why.
    fn told(&self, signal: Signal, what: &str) -> Option<String> {
        let because = if self.cause.is_empty() { String::new() } else { format!(": {}", self.cause) };
        (self.count > 0).then(|| format!("{} {} are lost: {what}{because}", self.count, signal.things()))
    }
}

impl Account {
    /// A request was taken, or a part of it.
    pub(super) fn sent(&mut self, records: u64, accepted: Accepted) {
        self.away = None;
        let rejected = accepted.rejected.min(records);
        self.sent += records - rejected;
        if rejected > 0 {
            self.rejected.add(rejected, accepted.message.unwrap_or_default());
        } else if self.said.is_none() {
            self.said = accepted.message;
        }
    }

    /// A request was refused for good.
    pub(super) fn refused(&mut self, records: u64, cause: String) {
        self.refused.add(records, cause);
    }

    /// A request cannot be read.
    pub(super) fn unreadable(&mut self, records: u64, error: &io::Error) {
        self.unreadable.add(records, error_text(error));
    }

    /// The collector takes nothing for now.
    pub(super) fn away(&mut self, cause: String) {
        self.away = Some(cause);
    }

    /// Spans or log records that are lost.
    pub(in crate::telemetry) fn dropped(&self) -> u64 {
        self.refused.count + self.rejected.count + self.unreadable.count
    }

    /// The sentences for the user. Trouble that passed is none: whether the collector is away counts only where something
    /// is `left`.
    pub(in crate::telemetry) fn warnings(&self, signal: Signal, endpoint: &str, left: bool) -> Vec<String> {
        let behind = match &self.away {
            Some(cause) => format!("{endpoint} could not be reached or took nothing: {cause}"),
            None => format!("{endpoint} did not take everything in time"),
        };
        [
            self.refused.told(signal, &format!("{endpoint} refused them")),
            self.rejected.told(signal, &format!("{endpoint} threw them away")),
            self.unreadable.told(signal, "the spool cannot be read"),
            self.said.as_ref().map(|text| format!("{endpoint} says: {text}")),
            left.then_some(behind),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
