//! What a build prints as log records: programs' output, and the lifecycle's own lines.
//!
//! Telemetry T12, R30 to R37. Bytes are redacted as they come, cut into lines, and each line becomes a record with the span
//! of who printed it; records go to the spool of [`crate::telemetry::outbox`], and nobody waits for a collector. With
//! redaction asked for, the same pass decides what a terminal shows. [`program`] has what one program prints.

mod program;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::{InstrumentationScope, KeyValue};

use self::program::Program;
use super::spans::Spans;
use super::text::Level;
use crate::effect::clock::Clock;
use crate::effect::events::{Event, Events, Phase, Work, WorkId};
use crate::effect::processes::{Capture, Printed};
use crate::model::trace::TraceContext;
use crate::os::signal;
use crate::telemetry::attributes::Key;
use crate::telemetry::logs::{self, Encoder, Escapes, Lines, Piece, Severity, Source, Store};
use crate::telemetry::provider::SCOPE;
use crate::telemetry::redact::Redactor;
use crate::telemetry::spool::Loss;
use crate::telemetry::{describe, ids};

/// How long a record waits for others to be sent with.
const LINGER: Duration = Duration::from_millis(500);

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Lines become records.
    pub records: bool,
    /// What is shown is redacted.
    pub redacts: bool,
    /// Escape sequences are taken out of records.
    pub strips: bool,
}

/// What records need besides lines.
pub struct Sending {
    /// Where they go.
    pub store: Arc<dyn Store>,
    /// The resource of a phase.
    pub resource: Box<dyn Fn(Phase) -> Vec<KeyValue> + Send + Sync>,
    /// The version of this lifecycle.
    pub version: String,
    /// Where work is in its trace.
    pub place: Place,
}

/// How the place in a trace is known.
pub enum Place {
    /// By spans that are written or sent.
    Spans(Arc<Spans>),
    /// There are no spans, but the platform's context says which trace this is: each program and phase gets an id.
    Context(TraceContext),
    /// It is not.
    Unknown,
}

/// The consumer of events, of programs' output and of shown lines.
pub struct BuildLogs {
    wishes: Wishes,
    redactor: Arc<Redactor>,
    clock: Arc<dyn Clock>,
    run: String,
    loss: Arc<Loss>,
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Default)]
struct State {
    sending: Option<Sending>,
    /// Lines from before it was known where they go.
    early: Vec<(Level, Vec<u8>, u64)>,
    /// Phases that have begun; the first stays when it has ended.
    phases: Vec<Own>,
    /// Programs that run, and their phases.
    works: HashMap<WorkId, (Work, Phase, Option<TraceContext>)>,
    programs: Vec<Arc<Program>>,
    sources: u64,
    is_closed: bool,
}

/// The lifecycle's own lines in a phase.
struct Own {
    work: WorkId,
    phase: Phase,
    source: Arc<Mutex<Source>>,
}

impl BuildLogs {
    /// Begins to listen. Records go nowhere before [`Self::open`].
    pub fn new(wishes: Wishes, redactor: Arc<Redactor>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let run = ids::span_id(&*ids::random()).to_string();
        Arc::new(Self {
            wishes,
            redactor,
            clock,
            run,
            loss: Arc::default(),
            state: Mutex::default(),
            closing: Condvar::new(),
        })
    }

    /// Tells where records go. They are put there at least every [`LINGER`].
    pub fn open(self: &Arc<Self>, sending: Sending) {
        self.state().sending = Some(sending);
        let this = Arc::clone(self);
        // Without the thread records wait for others, or for the end.
        let _ = thread::Builder::new().name("logs".to_owned()).spawn(move || {
            signal::leave_to_others();
            loop {
                let state = this.closing.wait_timeout_while(this.state(), LINGER, |state| !state.is_closed);
                let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
                if state.is_closed {
                    return;
                }
                let (programs, own) = sources(&state);
                drop(state);
                for program in &programs {
                    program.flush();
                }
                for source in &own {
                    lock(source).flush();
                }
            }
        });
    }

    /// Hears a line of the lifecycle's own, as it is shown; gives it back as it may be shown.
    pub fn line(&self, level: Level, line: Vec<u8>) -> Vec<u8> {
        let redacted = self.redactor.whole(&line);
        if self.wishes.records {
            let time = nanoseconds(self.clock.now());
            let mut state = self.state();
            match state.phases.last().map(|own| Arc::clone(&own.source)) {
                _ if state.is_closed => {}
                Some(source) => {
                    drop(state);
                    self.add_own(&source, level, &redacted, time);
                }
                None => state.early.push((level, redacted.clone(), time)),
            }
        }
        if self.wishes.redacts { redacted } else { line }
    }

    /// Puts everything into the spool, lines without an end too. What comes later is not heard, and what programs print
    /// that were left behind is not shown either: their output is let go, as at the end of the process. Gives what the
    /// user should know, a sentence each.
    pub fn close(&self) -> Vec<String> {
        let mut state = self.state();
        if state.is_closed {
            return Vec::new();
        }
        state.is_closed = true;
        state.early.clear();
        let (programs, own) = sources(&state);
        drop(state);
        self.closing.notify_all();
        for program in programs {
            program.close();
        }
        for source in own {
            lock(&source).finish();
        }
        let mut warnings = logs::warnings(&self.loss);
        warnings.extend(self.redactor.take_warning());
        warnings
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn add_own(&self, source: &Mutex<Source>, level: Level, line: &[u8], time: u64) {
        let stripped = self.wishes.strips.then(|| Escapes::default().strip(line));
        let severity = Some(match level {
            Level::Debug => Severity::Debug,
            Level::Info => Severity::Info,
            Level::Warn => Severity::Warn,
            Level::Error => Severity::Error,
        });
        let mut source = lock(source);
        let mut lines = Lines::default();
        let mut add = |piece: Piece<'_>| program::add(&mut source, piece, time, None, severity);
        lines.push(stripped.as_deref().unwrap_or(line), time, &mut add);
        lines.finish(&mut add);
    }

    /// Makes the source of a program or phase; none while records go nowhere.
    fn source(&self, state: &mut State, work: &Work, phase: Phase, place: Option<TraceContext>) -> Option<Source> {
        let sending = state.sending.as_ref()?;
        let number = state.sources;
        state.sources += 1;
        let scope = InstrumentationScope::builder(SCOPE).with_version(sending.version.clone()).build();
        let attributes = describe::work(work).into_iter().filter(|attribute| {
            // The same twice in each of a million records would be too much.
            attribute.key.as_str() != Key::BuildpackIdRfc.name()
        });
        let form = sending.store.form();
        let encoder =
            Encoder::new(form, (sending.resource)(phase), &(&scope, None).into(), attributes.collect(), place);
        let is_own = matches!(work, Work::Phase(_));
        Some(Source::new(Arc::clone(&sending.store), Arc::clone(&self.loss), &self.run, number, is_own, encoder))
    }

    fn begin(&self, id: WorkId, parent: Option<WorkId>, work: Work) {
        let mut state = self.state();
        let place = match state.sending.as_ref().map(|sending| &sending.place) {
            Some(Place::Spans(spans)) => spans.context(id),
            Some(Place::Context(context)) => {
                Some(TraceContext { span_id: ids::span_id(&*ids::random()).to_bytes(), ..*context })
            }
            Some(Place::Unknown) | None => None,
        };
        match work {
            Work::Phase(phase) => {
                let Some(source) = self.source(&mut state, &work, phase, place) else { return };
                let source = Arc::new(Mutex::new(source));
                state.phases.push(Own { work: id, phase, source: Arc::clone(&source) });
                let early = std::mem::take(&mut state.early);
                drop(state);
                for (level, line, time) in early {
                    self.add_own(&source, level, &line, time);
                }
            }
            Work::Process { .. } => {
                let of_parent = state.phases.iter().find(|own| Some(own.work) == parent);
                if let Some(phase) = of_parent.or(state.phases.last()).map(|own| own.phase) {
                    state.works.insert(id, (work, phase, place));
                }
            }
            _ => {}
        }
    }

    fn end(&self, id: WorkId) {
        let mut state = self.state();
        state.works.remove(&id);
        // The first says also what is told after it, such as why it failed.
        if let Some(index) = state.phases.iter().skip(1).position(|own| own.work == id) {
            let own = state.phases.remove(index + 1);
            drop(state);
            lock(&own.source).finish();
        }
    }
}

fn sources(state: &State) -> (Vec<Arc<Program>>, Vec<Arc<Mutex<Source>>>) {
    (state.programs.clone(), state.phases.iter().map(|own| Arc::clone(&own.source)).collect())
}

impl Events for BuildLogs {
    fn emit(&self, event: Event) {
        match event {
            Event::Begin { id, parent, work } => self.begin(id, parent, work),
            Event::End { id, .. } => self.end(id),
            // Their lines come through the console, which knows what is shown.
            Event::Note { .. }
            | Event::Session(_)
            | Event::Analyze(_)
            | Event::Detect(_)
            | Event::Generate(_)
            | Event::Restore(_)
            | Event::Build(_)
            | Event::Export(_)
            | Event::Rebase(_)
            | Event::Cache(_)
            | Event::Transfer(_) => {}
        }
    }
}

impl Capture for BuildLogs {
    fn program(&self, work: Option<WorkId>) -> Arc<dyn Printed> {
        let mut state = self.state();
        let records = self.wishes.records && !state.is_closed;
        let known = work.and_then(|work| state.works.get(&work)).cloned().filter(|_| records);
        let source = known.and_then(|(work, phase, place)| self.source(&mut state, &work, phase, place));
        let program = Program::new(self.wishes, &self.redactor, Arc::clone(&self.clock), source);
        let program = Arc::new(program);
        if records {
            state.programs.push(Arc::clone(&program));
        }
        program
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
