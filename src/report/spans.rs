//! Turns events into spans: a phase, its programs, its steps.
//!
//! Telemetry T5, R15-R18, R24. Each span is written when it ends; when a phase or a program begins, a child of no length
//! says so, because a span that is still open is nowhere to be seen.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, SdkTracer, Span};

use crate::effect::clock::Clock;
use crate::effect::events::{Event, Events, Facts, Note, Outcome, Phase, Work, WorkId};
use crate::effect::telemetry::ProcessTelemetry;
use crate::model::id::ModuleKind;
use crate::model::trace::TraceContext;
use crate::telemetry::attributes::{Key, flag, text};
use crate::telemetry::context::Origin;
use crate::telemetry::files::Seen;
use crate::telemetry::session::{LogPath, Session};
use crate::telemetry::tail::Following;
use crate::telemetry::{CNB_TRACEPARENT, Fault, LOG_PATH, TRACEPARENT, TRACESTATE, TelemetryConfig, describe};

/// How often, and with what pause, spans are looked for after a panic.
const TRIES_AFTER_PANIC: u32 = 50;
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(10);

/// The consumer of events that writes spans.
pub struct Spans {
    session: Session,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tracers: HashMap<Phase, SdkTracer>,
    open: BTreeMap<WorkId, Open>,
    finished: bool,
}

/// Work that has begun and not ended.
struct Open {
    span: Span,
    phase: Phase,
    work: Work,
    began: SystemTime,
    /// The file that was made for its program.
    provided: Option<(ModuleKind, Seen)>,
    /// That file, as it is sent line by line.
    followed: Option<Following>,
}

impl Spans {
    /// Opens the files of telemetry, as its user opted in. What fails is a warning in [`Spans::warnings`].
    pub fn new(config: TelemetryConfig, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        Self { session: Session::begin(config, ids), clock, state: Mutex::default() }
    }

    /// Ends all work that is open, the innermost first, and takes no more events. Another call does nothing.
    ///
    /// At the end of a program nothing should be open; after a signal all ends as [`Outcome::Cancellation`], and after a
    /// panic as [`Outcome::Error`] with the error type `panic`.
    pub fn finish(&self, outcome: Outcome, error_type: Option<&'static str>) {
        let open = {
            let mut state = self.state();
            state.finished = true;
            std::mem::take(&mut state.open)
        };
        for open in open.into_values().rev() {
            self.close(open, self.clock.now(), outcome, &Facts { error_type, ..Facts::default() });
        }
    }

    /// Ends what is open after a panic, wherever it was: in here too, where waiting for a lock would be for ever (R18).
    pub fn finish_after_panic(&self) {
        for _ in 0..TRIES_AFTER_PANIC {
            match self.state.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE_AFTER_PANIC),
                free => {
                    drop(free);
                    return self.finish(Outcome::Error, Some("panic"));
                }
            }
        }
    }

    /// What is to be told to the user, as warnings: at most one of each kind. It never changes an exit code (T13).
    pub fn warnings(&self) -> Vec<String> {
        self.session.faults().warnings()
    }

    /// Where in its trace a piece of work is that has begun and not ended.
    pub fn context(&self, id: WorkId) -> Option<TraceContext> {
        self.state().open.get(&id).map(|open| context(open.span.span_context()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must still find its spans here (R18).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: WorkId, parent: Option<WorkId>, work: Work) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.finished {
            return;
        }
        let parent =
            parent.and_then(|id| state.open.get(&id)).map(|open| (open.phase, open.span.span_context().clone()));
        let phase = match (&work, &parent) {
            (Work::Phase(phase), _) | (_, Some((phase, _))) => *phase,
            (_, None) => self.session.config().phase,
        };
        let tracer = state.tracers.entry(phase).or_insert_with(|| self.session.tracer(phase)).clone();
        let above = parent.map_or_else(|| self.root(), |(_, span)| Context::new().with_remote_span_context(span));
        let mut span = start(&tracer, describe::name(&work), describe::kind(&work), now, describe::work(&work), &above);
        let marker = matches!(work, Work::Phase(_) | Work::Process { .. }).then(|| {
            let own = span.span_context().clone();
            span.set_attribute(text(Key::TaskRunId, &own.span_id().to_string()));
            start_marker(&tracer, &work, own, now)
        });
        state.open.insert(id, Open { span, phase, work, began: now, provided: None, followed: None });
        drop(state);
        // Outside of the lock: writing takes time, and many programs begin at once.
        if let Some(mut marker) = marker {
            marker.end_with_timestamp(now);
        }
    }

    fn note(&self, id: WorkId, note: &Note) {
        let now = self.clock.now();
        if let Some(open) = self.state().open.get_mut(&id) {
            let (name, attributes) = describe::note(note);
            open.span.add_event_with_timestamp(name, now.max(open.began), attributes);
        }
    }

    fn end(&self, id: WorkId, outcome: Outcome, facts: &Facts) {
        // Before the work is closed: a fault that this meets must still find it open (R18).
        let now = self.clock.now();
        let open = self.state().open.remove(&id);
        if let Some(open) = open {
            self.close(open, now, outcome, facts);
        }
    }

    /// Ends a span, which writes it. Outside of the lock: writing takes time.
    fn close(&self, mut open: Open, now: SystemTime, outcome: Outcome, facts: &Facts) {
        open.span.set_attributes(describe::end(outcome, facts));
        open.span.set_status(describe::status(outcome));
        // A clock that was set back must not make a span that ends before it begins.
        open.span.end_with_timestamp(now.max(open.began));
        // What the program wrote last is still read, beside what comes next.
        drop(open.followed);
        if let Some((kind, seen)) = open.provided
            && !self.session.kept(kind, &seen)
        {
            self.session.faults().add(Fault::Tampered(seen.path));
        }
    }

    /// What a span without a parent in this program hangs from.
    fn root(&self) -> Context {
        match self.session.origin() {
            Origin::Build(_) => Context::new(),
            Origin::Platform(context) => Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from_bytes(context.trace_id),
                SpanId::from_bytes(context.span_id),
                TraceFlags::new(context.flags),
                true,
                TraceState::NONE,
            )),
        }
    }
}

fn start(
    tracer: &SdkTracer,
    name: Cow<'static, str>,
    kind: SpanKind,
    time: SystemTime,
    attributes: Vec<KeyValue>,
    above: &Context,
) -> Span {
    let builder = SpanBuilder::from_name(name).with_kind(kind).with_start_time(time).with_attributes(attributes);
    tracer.build_with_context(builder, above)
}

/// Starts the child that tells that work has begun: what is known of a phase or program until it ends (R15).
fn start_marker(tracer: &SdkTracer, work: &Work, parent: SpanContext, time: SystemTime) -> Span {
    let name = format!("{} started", describe::name(work));
    let mut attributes = describe::work(work);
    attributes.push(flag(Key::Started, true));
    let above = Context::new().with_remote_span_context(parent);
    start(tracer, name.into(), SpanKind::Internal, time, attributes, &above)
}

impl Events for Spans {
    fn emit(&self, event: Event) {
        match event {
            Event::Begin { id, parent, work } => self.begin(id, parent, work),
            Event::Note { id, note } => self.note(id, &note),
            Event::End { id, outcome, facts } => self.end(id, outcome, &facts),
            Event::Session(_)
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

impl ProcessTelemetry for Spans {
    fn variables(&self, id: WorkId) -> Vec<(&'static str, OsString)> {
        let (own, work) = match self.state().open.get(&id) {
            Some(open) => (traceparent(open.span.span_context()), open.work.clone()),
            None => return Vec::new(),
        };
        let mut variables = Vec::new();
        if let Work::Process { step, kind, id: module, version } = &work {
            // Outside of the lock: making a file takes time, and many programs begin at once.
            match self.session.log_path(*step, *kind, module, version) {
                Some(LogPath::Platform(path)) => variables.push((LOG_PATH, path)),
                Some(LogPath::Provided(seen)) => {
                    variables.push((LOG_PATH, seen.path.clone().into_os_string()));
                    let followed = self.session.follow(*kind, &seen);
                    if let Some(open) = self.state().open.get_mut(&id) {
                        open.followed = followed;
                        open.provided = Some((*kind, seen));
                    }
                }
                None => {}
            }
        }
        let platform = self.session.config().platform_traceparent.clone();
        variables.push((CNB_TRACEPARENT, platform.unwrap_or_else(|| own.clone())));
        variables.push((TRACEPARENT, own));
        variables.extend(self.session.trace_state().map(|state| (TRACESTATE, state.into())));
        variables
    }
}

fn traceparent(span: &SpanContext) -> OsString {
    context(span).to_string().into()
}

fn context(span: &SpanContext) -> TraceContext {
    TraceContext {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        flags: span.trace_flags().to_u8(),
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        // Only what was forgotten is still open; the SDK would end it by another clock and without a result.
        self.finish(Outcome::Error, None);
    }
}

#[cfg(test)]
mod tests;
