//! Every sentence that a user sees. Clients match on them: see `docs/PARITY.md` before changing one.

mod analyze;
mod build;
mod cache;
mod detect;
mod export;
mod generate;
mod rebase;
mod restore;
mod session;
mod target;
pub(super) mod transfer;

use crate::effect::events::Event;
use crate::model::digest::DiffId;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For who looks for a fault.
    Debug,
    /// For everybody.
    Info,
    /// Something is odd: printed behind `Warning: `.
    Warn,
    /// Something failed: printed behind `ERROR: `.
    Error,
}

/// A line, or several, without the prefix of its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// It is shown whatever level the user asked for.
    pub forced: bool,
    /// A program printed it, and it was heard then.
    pub is_heard: bool,
    /// Its bytes; a newline is added where there is none at the end.
    pub text: Vec<u8>,
}

impl Line {
    /// A line of a level.
    pub fn new(level: Level, text: impl Into<Vec<u8>>) -> Self {
        Self { level, forced: false, is_heard: false, text: text.into() }
    }

    /// A line at [`Level::Debug`].
    pub fn debug(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Level::Debug, text)
    }

    /// A line at [`Level::Info`].
    pub fn info(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Level::Info, text)
    }

    /// A line at [`Level::Warn`].
    pub fn warn(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Level::Warn, text)
    }

    /// A line at [`Level::Error`].
    pub fn error(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Level::Error, text)
    }
}

/// The lines for an event; work that begins and ends has none, and transfers have a time of their own: see
/// `report::progress`.
pub fn lines(event: &Event) -> Vec<Line> {
    match event {
        Event::Begin { .. } | Event::Note { .. } | Event::End { .. } | Event::Transfer(_) => Vec::new(),
        Event::Session(event) => session::lines(event),
        Event::Analyze(event) => analyze::lines(event),
        Event::Detect(event) => detect::lines(event),
        Event::Generate(event) => generate::lines(event),
        Event::Restore(event) => restore::lines(event),
        Event::Build(event) => build::lines(event),
        Event::Export(event) => export::lines(event),
        Event::Rebase(event) => rebase::lines(event),
        Event::Cache(event) => cache::lines(event),
    }
}

/// What a layer of an image or a cache holds.
fn layer_sha(id: &str, diff_id: &DiffId) -> Line {
    Line::debug(format!("Layer '{id}' SHA: {diff_id}"))
}
