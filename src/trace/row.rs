//! What a line about a span says: its title, its state and its facts.

use super::screen::{self, Style, Terminal};
use super::tree::{Node, Role};
use crate::telemetry::attributes::Key;

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It ended well.
    Done,
    /// It failed.
    Failed,
    /// It has not ended.
    Running,
    /// It was not needed, or said no.
    Skipped,
    /// It was told to stop.
    Cancelled,
    /// It took over a layer.
    Reused,
    /// It took something from the cache.
    Cached,
}

impl State {
    /// Every state with a sign of its own, in the order of the legend.
    pub const WITH_SIGN: [Self; 6] =
        [Self::Reused, Self::Cached, Self::Skipped, Self::Failed, Self::Cancelled, Self::Running];

    /// Finds the state of a span.
    pub fn of(node: &Node) -> Self {
        let span = &node.span;
        match span.text(Key::TaskRunResult) {
            _ if node.running => Self::Running,
            Some("cancellation") => Self::Cancelled,
            _ if span.failed => Self::Failed,
            Some("skip") => Self::Skipped,
            _ if span.flag(Key::LayerReused) == Some(true) => Self::Reused,
            _ if span.flag(Key::CacheHit) == Some(true) => Self::Cached,
            _ => Self::Done,
        }
    }

    /// Its sign in front of a title.
    pub fn sign(self, terminal: Terminal) -> &'static str {
        match self {
            Self::Done => " ",
            Self::Failed => terminal.either("✗", "x"),
            Self::Running => terminal.either("▶", ">"),
            Self::Skipped => terminal.either("–", "-"),
            Self::Cancelled => terminal.either("■", "!"),
            Self::Reused => terminal.either("↻", "="),
            Self::Cached => terminal.either("◆", "+"),
        }
    }

    /// What its sign means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Running => "not ended",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Reused => "reused",
            Self::Cached => "from cache",
        }
    }

    /// The style of its sign.
    pub fn style(self) -> Style {
        match self {
            Self::Done => Style::Plain,
            Self::Failed => Style::Red,
            Self::Running | Self::Cancelled => Style::Yellow,
            Self::Skipped => Style::Dim,
            Self::Reused | Self::Cached => Style::Green,
        }
    }
}

/// The title of a span.
pub fn title(node: &Node, terminal: Terminal) -> String {
    let span = &node.span;
    let plain = match node.role {
        Role::Phase => span.name.to_uppercase(),
        Role::Process => {
            let (id, version) = node.module().unwrap_or_default();
            let generate = if span.name.ends_with("-generate") { " (generate)" } else { "" };
            format!("{id} {version}{generate}")
        }
        Role::Step => match span.text(Key::Layer) {
            Some(layer) => format!("{} {layer}", span.name.trim_end_matches("-layer").replace('-', " ")),
            None => span.name.replace('-', " "),
        },
        Role::Foreign => span.name.clone(),
    };
    terminal.clean(plain.trim())
}

/// What else is known of a span, in a few words each.
pub fn notes(node: &Node, terminal: Terminal) -> Vec<String> {
    let span = &node.span;
    let mut notes = Vec::new();
    if span.events.iter().any(|event| event == "detect-pass") && node.role == Role::Process {
        notes.push("passed".to_owned());
    }
    match State::of(node) {
        State::Failed | State::Skipped => {
            let result = span.text(Key::TaskRunResult).filter(|result| ["timeout", "error"].contains(result));
            notes.extend(result.map(|result| terminal.clean(result)));
            let kind = span.text(Key::ErrorType).filter(|kind| !["_OTHER", "exit"].contains(kind));
            notes.extend(kind.filter(|kind| Some(*kind) != result).map(|kind| terminal.clean(kind)));
        }
        State::Done | State::Running | State::Cancelled | State::Reused | State::Cached => {}
    }
    // 100 is how detection says no, and the sign says that already.
    let is_told = |code: &i64| *code == 0 || (*code == 100 && State::of(node) == State::Skipped);
    notes.extend(span.number(Key::ExitCode).filter(|code| !is_told(code)).map(|code| format!("exit {code}")));
    notes.extend(span.number(Key::ResponseStatus).filter(|status| *status >= 400).map(|status| status.to_string()));
    let retries = span.events.iter().filter(|event| *event == "retry").count();
    match retries {
        0 => {}
        1 => notes.push("1 retry".to_owned()),
        many => notes.push(format!("{many} retries")),
    }
    if span.flag(Key::CacheHit) == Some(false) {
        notes.push("not cached".to_owned());
    }
    let size = span.number(Key::Bytes).and_then(|count| u64::try_from(count).ok());
    notes.extend(size.map(screen::bytes));
    match span.number(Key::Files) {
        Some(1) => notes.push("1 file".to_owned()),
        Some(files) => notes.push(format!("{files} files")),
        None => {}
    }
    notes
}
