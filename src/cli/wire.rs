//! The one place that chooses real effects: how programs run, who hears events, and, by [`super::stores`], where images
//! and caches are.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::ending::Ending;
use super::failure::Failure;
use super::inputs::Key;
use super::session::{Session, Unprivileged};
use super::stop::Stoppable;
use super::stores::{self, NoImages, Stores};
use super::{capture, delivery, exit, version};
use crate::api::PlatformFeature;
use crate::buildpack::api;
use crate::cache::ImageCache;
use crate::effect::Effects;
use crate::effect::clock::Clock;
use crate::effect::events::{Events, Facts, Listener, Ongoing, Outcome, Phase, SessionEvent, Timed, Work, WorkId};
use crate::effect::images::{Images, StoreKind};
use crate::effect::processes::Processes;
use crate::effect::telemetry::{NoTelemetry, ProcessTelemetry};
use crate::image::registry::Keychain;
use crate::model::order::GroupElement;
use crate::model::target::RunTarget;
use crate::os::process::{OsProcesses, StreamTo};
use crate::os::{os_release, signal};
use crate::phase::{build, detect, export, generate, rebase};
use crate::report::Fan;
use crate::report::spans::Spans;
use crate::telemetry::passthrough::Passthrough;
use crate::telemetry::{self, TelemetryConfig, ids};

/// Standard output, which several printers share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Box<dyn Write + Send>>>);

impl Shared {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(out)))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// What a phase runs with; it hands effects to the phase's function.
pub(super) struct Run<'a> {
    phase: Phase,
    images: &'a dyn Images,
    processes: &'a dyn Processes,
    events: &'a Arc<dyn Events>,
    telemetry: &'a dyn ProcessTelemetry,
    clock: &'a dyn Clock,
    work: WorkId,
}

impl Run<'_> {
    /// The same with a place for images.
    pub(super) fn with_images<'b>(&'b self, images: &'b dyn Images) -> Run<'b> {
        Run { images, ..*self }
    }

    /// Who hears of requests, as parts of the phase.
    pub(super) fn listener(&self) -> Listener {
        Listener { events: Arc::clone(self.events), parent: Some(self.work) }
    }

    /// Opens the place where the images of the build are. Requests and layers that are written are parts of the phase.
    pub(super) fn open_images<S>(&self, session: &Session<S>, keychain: &Keychain) -> Box<dyn Images> {
        stores::images(session, keychain, self.listener())
    }

    /// Opens the places where the images of the build and the cache image are.
    pub(super) fn open_stores<S>(&self, session: &Session<S>, keychain: &Keychain) -> Stores {
        Stores::open(session, keychain, self.listener())
    }

    /// Names the cache image, if there is one. It is asked for when a phase first wants something of it.
    pub(super) fn image_cache<'b>(
        &'b self,
        session: &Session<Unprivileged>,
        stores: &'b Stores,
    ) -> Option<ImageCache<'b>> {
        let name = session.values.some_text(Key::CacheImage)?;
        let keeps_old = session.api.has(PlatformFeature::KeepsOldCacheImage);
        Some(stores.image_cache(&name, &**self.events, keeps_old))
    }

    /// Calls a phase's function; when it starts and how long it takes is told for who looks for a fault.
    pub(super) fn timed<T>(&self, call: impl FnOnce(&Effects<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        self.timed_as(Timed::Phase(self.phase), call)
    }

    /// The same for work that a phase does besides its own.
    pub(super) fn timed_as<T>(
        &self,
        work: Timed,
        call: impl FnOnce(&Effects<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let started = self.clock.now();
        self.events.emit(SessionEvent::TimerStarted { work, at: started }.into());
        let result = call(&Effects {
            images: self.images,
            processes: self.processes,
            events: &**self.events,
            telemetry: self.telemetry,
            phase: Some(self.work),
        });
        let at = self.clock.now();
        let took = at.duration_since(started).unwrap_or_default();
        self.events.emit(SessionEvent::TimerEnded { work, at, took }.into());
        result
    }

    /// Runs a phase as part of this one: the creator.
    pub(super) fn phase<T>(
        &self,
        phase: Phase,
        call: impl FnOnce(&Run<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let work = Ongoing::begin(&**self.events, Some(self.work), Work::Phase(phase));
        let result = call(&Run { phase, work: work.id(), ..*self });
        end(work, &result);
        result
    }
}

/// Runs a phase: telemetry opens before it and closes after it.
///
/// A phase that drops privileges begins before: what it does with them takes time, too. Files that telemetry opens then
/// belong to the user of the build, and stay open.
pub(super) fn with_phase<S, T>(
    session: Session<S>,
    phase: Phase,
    call: impl FnOnce(Session<S>, &Run<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let variable = |name: &str| session.env.get(name).map(ToOwned::to_owned);
    let (signals, owner) = (delivery::signals(&session.values), owner(&session));
    delivery::tell_odd_switches(&session);
    // Whoever tells the phase to stop waits from here on until it is known what is then to be cleaned up. Nothing is
    // printed until then: nobody may read it.
    let held = signal::hold();
    let mut warnings = Vec::new();
    let outbox = delivery::open(&session, phase, &signals, owner, &mut warnings);
    let files = session.values.flag(Key::Telemetry);
    let live = outbox.as_ref().and_then(|outbox| delivery::live(&session, outbox, &mut warnings));
    let spans = (files || live.is_some()).then(|| {
        let config = TelemetryConfig {
            files,
            live,
            layers_dir: session.layers().path().to_owned(),
            phase,
            platform_log_path: variable(telemetry::LOG_PATH),
            platform_traceparent: variable(telemetry::CNB_TRACEPARENT),
            platform_tracestate: variable(telemetry::TRACESTATE),
            owner,
            platform_api: session.api,
            version: version::info().version,
            stdout: files && delivery::prints_spans(&session.env) == Some(true),
        };
        Arc::new(Spans::new(config, Arc::clone(&session.clock), ids::random()))
    });
    let (listeners, clock) = (Arc::clone(&session.events), Arc::clone(&session.clock));
    let logs = capture::open(&session, outbox.as_deref(), spans.as_ref(), &mut warnings);
    let mut consumers = vec![Arc::clone(&listeners)];
    consumers.extend(spans.clone().map(|spans| spans as Arc<dyn Events>));
    // Behind the spans, which know where work is in its trace.
    consumers.extend(logs.clone().map(|logs| logs as Arc<dyn Events>));
    let events: Arc<dyn Events> = Arc::new(Fan(consumers));
    let passthrough =
        Passthrough::new(session.api, variable(telemetry::LOG_PATH), variable(telemetry::CNB_TRACEPARENT));
    let telemetry: &dyn ProcessTelemetry = match &spans {
        Some(spans) => &**spans,
        None if session.api.has(PlatformFeature::OtelVariables) => &passthrough,
        None => &NoTelemetry,
    };
    let console = Arc::clone(&session.console);
    let processes = OsProcesses::new(if console.has_colour() && logs.is_none() {
        StreamTo::Inherit
    } else {
        let console = Arc::clone(&console);
        StreamTo::Writer(Arc::new(move |bytes: &[u8]| console.write(bytes)))
    });
    let processes = match &logs {
        Some(logs) => processes.captured_by(Arc::clone(logs) as _),
        None => processes,
    };
    let told = Arc::clone(&events);
    let left_behind = move |program: &Path| told.emit(SessionEvent::HeldOutput(program.to_owned()).into());
    let processes = processes.telling_held_output(Box::new(left_behind));
    let ending = Ending { spans: spans.clone(), logs, outbox, console: Arc::clone(&console) };
    ending.end_spans_at_a_panic();
    let processes = Stoppable::new(held, processes, ending.clone());
    delivery::tell(&*listeners, warnings);
    let work = Ongoing::begin(&*events, None, Work::Phase(phase));
    let run = Run {
        phase,
        images: &NoImages(StoreKind::Registry),
        processes: &processes,
        events: &events,
        telemetry,
        clock: &*clock,
        work: work.id(),
    };
    let deadline = delivery::deadline(&session);
    let result = catch_unwind(AssertUnwindSafe(|| call(session, &run))).unwrap_or_else(|fault| {
        processes.done();
        ending.end(deadline);
        resume_unwind(fault)
    });
    processes.done();
    end(work, &result);
    if let Some(spans) = spans {
        spans.finish(Outcome::Success, None);
    }
    if let Err(failure) = &result {
        // It is printed when all of this is over.
        for event in &failure.events() {
            console.announce(event);
        }
    }
    ending.end(deadline);
    result
}

/// Who owns what telemetry makes, where this process may give files away.
fn owner<S>(session: &Session<S>) -> Option<(u32, u32)> {
    crate::os::user::is_root().then(|| session.ids())
}

/// Tells how a phase ended.
fn end<T>(work: Ongoing<'_>, result: &Result<T, Failure>) {
    let Err(failure) = result else { return work.end(Outcome::Success, Facts::default()) };
    let (outcome, error_type) = match failure {
        Failure::Detect(detect::Error::NoGroup) => (Outcome::Failure, "no_group"),
        Failure::Detect(detect::Error::BuildpackFailed) | Failure::Build(build::Error::Buildpack(_)) => {
            (Outcome::Failure, "buildpack")
        }
        Failure::Generate(generate::Error::Extension(_)) => (Outcome::Failure, "extension"),
        Failure::BuildpackApi(_)
        | Failure::Detect(detect::Error::Api(_))
        | Failure::Generate(generate::Error::Api(_))
        | Failure::Build(build::Error::Api(_)) => (Outcome::Error, "buildpack_api"),
        Failure::Export(export::Error::Tags { .. }) | Failure::Rebase(rebase::Error::Tags { .. }) => {
            (Outcome::Error, "tags")
        }
        Failure::Rebase(rebase::Error::Misfit(_)) => (Outcome::Failure, "misfit"),
        _ => (Outcome::Error, "phase"),
    };
    let facts = Facts { exit_code: Some(exit::code(failure).into()), error_type: Some(error_type), ..Facts::default() };
    work.end(outcome, facts);
}

/// Holds that every buildpack of a group asks for an API that is served.
pub(super) fn verify_buildpack_apis(session: &Session<Unprivileged>, elements: &[GroupElement]) -> Result<(), Failure> {
    let mode = session.deprecation();
    elements.iter().try_for_each(|element| {
        let verified = api::verify(element, &element.api, mode, &*session.events);
        verified.map_err(|error| Failure::BuildpackApi(error.to_string()))
    })
}

/// The target of this very system.
pub(super) fn host_target() -> RunTarget {
    os_release::target(std::fs::read_to_string(Path::new("/etc/os-release")).ok().as_deref())
}
