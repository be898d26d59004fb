//! Prints the lines of events, as the user asked for them.
//!
//! Everything goes to one stream, standard output, as the reference has it (policy P1, P2).

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::strip::Strip;
use super::text::{Level, Line, lines};
use crate::effect::events::{Event, Events, SessionEvent};

/// From which level on lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Lines of this level and above.
    From(Level),
    /// Nothing, not even errors: `fatal`.
    Nothing,
}

/// The log level is none of those known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid level")]
pub struct LevelError;

impl Threshold {
    /// Reads a log level, in any case.
    ///
    /// # Errors
    /// It is none of debug, info, warn, warning, error, fatal.
    pub fn parse(text: &str) -> Result<Self, LevelError> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "debug" => Self::From(Level::Debug),
            "info" => Self::From(Level::Info),
            "warn" | "warning" => Self::From(Level::Warn),
            "error" => Self::From(Level::Error),
            "fatal" => Self::Nothing,
            _ => return Err(LevelError),
        })
    }

    fn shows(self, line: &Line) -> bool {
        match self {
            Self::From(level) => line.level >= level || line.forced,
            Self::Nothing => line.forced && line.level < Level::Error,
        }
    }
}

/// The stream that users read.
pub struct Console {
    threshold: Threshold,
    out: Mutex<Out>,
    /// What is told once, however many stores of images find it out.
    told: Mutex<Vec<SessionEvent>>,
}

struct Out {
    writer: Box<dyn Write + Send>,
    strip: Option<Strip>,
}

const RESET: &str = "\x1b[0m";

impl Console {
    /// Makes one. Without colour, escape sequences are taken out of everything, programs' output included.
    pub fn new(writer: Box<dyn Write + Send>, threshold: Threshold, colour: bool) -> Arc<Self> {
        let strip = (!colour).then(Strip::default);
        Arc::new(Self { threshold, out: Mutex::new(Out { writer, strip }), told: Mutex::default() })
    }

    /// Says whether it shows colours.
    pub fn has_colour(&self) -> bool {
        self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner).strip.is_none()
    }

    /// Prints a line, if its level is shown.
    pub fn print(&self, line: &Line) {
        if !self.threshold.shows(line) {
            return;
        }
        let prefix = match line.level {
            Level::Warn => format!("\x1b[33;1mWarning: {RESET}"),
            Level::Error => format!("\x1b[31;1mERROR: {RESET}"),
            Level::Debug | Level::Info => String::new(),
        };
        let newline = if line.text.ends_with(b"\n") { "" } else { "\n" };
        self.write(&[prefix.as_bytes(), &line.text, newline.as_bytes()].concat());
    }

    /// Writes the bytes of a program that runs.
    pub fn write(&self, bytes: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let out = &mut *out;
        let stripped = out.strip.as_mut().map(|strip| strip.pass(bytes));
        // A reader that went away must not end the build.
        let _ = out.writer.write_all(stripped.as_deref().unwrap_or(bytes));
        let _ = out.writer.flush();
    }
}

impl Events for Console {
    fn emit(&self, event: Event) {
        if let Event::Session(event @ SessionEvent::UnsafeRegistry { .. }) = &event {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.contains(event) {
                return;
            }
            told.push(event.clone());
        }
        for line in lines(&event) {
            self.print(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(level: &str, colour: bool, lines: &[Line]) -> String {
        let out = Shared::default();
        let console = Console::new(Box::new(out.clone()), Threshold::parse(level).unwrap(), colour);
        for line in lines {
            console.print(line);
        }
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn prefixes_have_colours_unless_they_are_off() {
        let lines = [Line::warn("w"), Line::error("e\n"), Line::info("\x1b[36mi\x1b[0m")];
        assert_eq!(
            printed("info", true, &lines),
            "\x1b[33;1mWarning: \x1b[0mw\n\x1b[31;1mERROR: \x1b[0me\n\x1b[36mi\x1b[0m\n"
        );
        assert_eq!(printed("info", false, &lines), "Warning: w\nERROR: e\ni\n");
    }

    #[test]
    fn the_level_hides_what_is_below_it_and_fatal_hides_errors() {
        let lines = [Line::debug("d"), Line::info("i"), Line::warn("w"), Line::error("e")];
        assert_eq!(printed("WARNING", false, &lines), "Warning: w\nERROR: e\n");
        assert_eq!(printed("fatal", false, &lines), "");
        assert!(Threshold::parse("nope").is_err());
    }

    /// It crashes the reference.
    #[test]
    fn an_empty_line_is_a_line() {
        let lines = [Line::info(""), Line::warn(""), Line::error(""), Line::info("\n")];
        assert_eq!(printed("info", false, &lines), "\nWarning: \nERROR: \n\n");
    }

    #[test]
    fn an_unsafe_way_to_a_registry_is_told_once_by_a_program() {
        let out = Shared::default();
        let console = Console::new(Box::new(out.clone()), Threshold::From(Level::Info), false);
        for registry in ["a.io", "a.io", "b.io"] {
            console.emit(SessionEvent::UnsafeRegistry { registry: registry.into(), plain: true }.into());
        }
        assert_eq!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_forced_line_is_shown_at_any_level() {
        let line = Line { forced: true, ..Line::debug("d") };
        assert_eq!(printed("error", false, &[line]), "d\n");
    }
}
