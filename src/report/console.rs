//! Prints the lines of events, as the user asked for them.
//!
//! Everything goes to one stream, standard output, as the reference has it (policy P1, P2).

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::build_logs::BuildLogs;
use super::progress::{Progress, Show};
use super::strip::Strip;
use super::text::{Level, Line, lines};
use crate::effect::events::{Event, Events, SessionEvent, TransferEvent};

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
    progress: Mutex<Progress>,
    began: Instant,
    /// Who looks after pushes while there are any.
    ticker: Mutex<Option<thread::JoinHandle<()>>>,
    myself: Weak<Self>,
    logs: OnceLock<Arc<BuildLogs>>,
}

struct Out {
    writer: Box<dyn Write + Send>,
    strip: Option<Strip>,
    /// The last line of a terminal, drawn again behind whatever is written.
    bar: String,
}

/// Back to the first column, and nothing from there on.
const CLEAR: &[u8] = b"\r\x1b[K";
const RESET: &str = "\x1b[0m";
/// How often pushes are looked after that give no news.
const TICK: Duration = Duration::from_secs(1);

impl Console {
    /// Makes one. Without colour, escape sequences are taken out of everything, programs' output included.
    pub fn new(writer: Box<dyn Write + Send>, threshold: Threshold, colour: bool) -> Arc<Self> {
        Self::on_terminal(writer, threshold, colour, None)
    }

    /// The same on a terminal with so many columns, where there is one: pushes that take long have a bar there.
    pub fn on_terminal(
        writer: Box<dyn Write + Send>,
        threshold: Threshold,
        colour: bool,
        columns: Option<usize>,
    ) -> Arc<Self> {
        let strip = (!colour).then(Strip::default);
        Arc::new_cyclic(|myself| Self {
            threshold,
            out: Mutex::new(Out { writer, strip, bar: String::new() }),
            told: Mutex::default(),
            progress: Mutex::new(Progress::new(columns)),
            began: Instant::now(),
            ticker: Mutex::default(),
            myself: myself.clone(),
            logs: OnceLock::new(),
        })
    }

    /// Says whether it shows colours.
    pub fn has_colour(&self) -> bool {
        self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner).strip.is_none()
    }

    /// From now on, lines that are shown are heard by build logs, too.
    pub fn heard_by(&self, logs: Arc<BuildLogs>) {
        let _ = self.logs.set(logs);
    }

    /// Prints a line, if its level is shown.
    pub fn print(&self, line: &Line) {
        if let Some(bytes) = self.shown(line) {
            self.write(&bytes);
        }
    }

    /// Lets build logs hear the lines of an event that is printed later, when they no longer listen.
    pub fn announce(&self, event: &Event) {
        for line in &lines(event) {
            drop(self.shown(line));
        }
    }

    /// The bytes that are printed for a line, if any; build logs hear them.
    fn shown(&self, line: &Line) -> Option<Vec<u8>> {
        if !self.threshold.shows(line) {
            return None;
        }
        let prefix = match line.level {
            Level::Warn => format!("\x1b[33;1mWarning: {RESET}"),
            Level::Error => format!("\x1b[31;1mERROR: {RESET}"),
            Level::Debug | Level::Info => String::new(),
        };
        let newline = if line.text.ends_with(b"\n") { "" } else { "\n" };
        let bytes = [prefix.as_bytes(), &line.text, newline.as_bytes()].concat();
        let Some(logs) = self.logs.get().filter(|_| !line.is_heard) else { return Some(bytes) };
        Some(logs.line(line.level, if self.has_colour() { bytes } else { Strip::default().pass(&bytes) }))
    }

    /// Writes the bytes of a program that runs.
    pub fn write(&self, bytes: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let out = &mut *out;
        let stripped = out.strip.as_mut().map(|strip| strip.pass(bytes));
        let bytes = stripped.as_deref().unwrap_or(bytes);
        // A reader that went away must not end the build.
        let _ = if out.bar.is_empty() {
            out.writer.write_all(bytes)
        } else {
            out.writer.write_all(&[CLEAR, bytes, out.bar.as_bytes()].concat())
        };
        let _ = out.writer.flush();
    }

    fn transfer(&self, event: &TransferEvent) {
        if !self.threshold.shows(&Line::info("")) {
            return;
        }
        let now = self.began.elapsed();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        // What is shown last is the newest.
        self.show(progress.hear(event, now));
        drop(progress);
        if let TransferEvent::Sent { .. } | TransferEvent::Awaited { .. } = event {
            self.look_after_pushes();
        }
    }

    /// Sees to it that a thread shows pushes that stall, as long as there are any.
    fn look_after_pushes(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if ticker.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let myself = self.myself.clone();
        let look_after = move || {
            loop {
                thread::sleep(TICK);
                if !myself.upgrade().is_some_and(|console| console.tick()) {
                    return;
                }
            }
        };
        // Where the system gives no thread, only news is told.
        *ticker = thread::Builder::new().spawn(look_after).ok();
    }

    /// Shows pushes that it is time for; tells whether there are any.
    fn tick(&self) -> bool {
        let now = self.began.elapsed();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let show = progress.due(now);
            if show == Show::default() {
                return !progress.is_idle();
            }
            self.show(show);
        }
    }

    fn show(&self, show: Show) {
        if let Some(bar) = show.bar {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = out.writer.write_all(&[CLEAR, bar.as_bytes()].concat());
            let _ = out.writer.flush();
            out.bar = bar;
        }
        if let Some(line) = show.line {
            self.print(&line);
        }
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
        if let Event::Transfer(event) = &event {
            self.transfer(event);
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
    fn lines_stand_above_the_bar_and_levels_above_info_have_none() {
        let sent =
            |id, bytes| Event::from(TransferEvent::Sent { id, what: "layer 'a:b'".into(), bytes, size: Some(4) });
        for (level, expected) in [
            ("info", "\r\x1b[K[##########..........]\r\x1b[Kw\n[##########..........]\r\x1b[KSent layer"),
            ("warn", ""),
        ] {
            let (out, id) = (Shared::default(), crate::effect::events::WorkId::next());
            let threshold = Threshold::parse(level).unwrap();
            // Nobody else draws.
            let console = Console::on_terminal(Box::new(out.clone()), threshold, false, Some(23));
            let mut console = Arc::into_inner(console).unwrap();
            console.emit(sent(id, 0));
            console.began -= Duration::from_secs(3);
            console.emit(sent(id, 2));
            console.print(&Line::info("w"));
            console.emit(TransferEvent::Ended { id, arrived: true }.into());
            let out = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
            assert!(if expected.is_empty() { out.is_empty() } else { out.starts_with(expected) }, "{out:?}");
        }
    }

    #[test]
    fn a_push_that_stalls_is_told_all_the_same() {
        let (out, id) = (Shared::default(), crate::effect::events::WorkId::next());
        let console =
            Arc::into_inner(Console::new(Box::new(out.clone()), Threshold::From(Level::Info), false)).unwrap();
        let sent = TransferEvent::Sent { id, what: "layer 'a:b'".into(), bytes: 2_000_000, size: None };
        console.progress.lock().unwrap().hear(&sent, Duration::ZERO);
        let began = console.began.checked_sub(Duration::from_secs(9)).unwrap();
        let console = Arc::new_cyclic(|myself| Console { began, myself: myself.clone(), ..console });
        let told = || String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        console.emit(sent.into());
        // Another second has to pass. Nothing is sent meanwhile.
        let waits = Instant::now();
        while told().is_empty() && waits.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(20));
        }
        assert!(told().starts_with("Sending layer 'a:b': 2.0 MB, 0.0 MB/s\n"), "{}", told());
        console.emit(TransferEvent::Ended { id, arrived: false }.into());
        let thread = console.ticker.lock().unwrap().take();
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn a_forced_line_is_shown_at_any_level() {
        let line = Line { forced: true, ..Line::debug("d") };
        assert_eq!(printed("error", false, &[line]), "d\n");
    }
}
