//! The one place that chooses real effects: where images are, how programs run, who hears events.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use super::inputs::Key;
use super::session::{Privileged, Session, Unprivileged, temp_dir};
use super::stop::Stoppable;
use super::{capture, delivery, exit, version};
use crate::api::PlatformFeature;
use crate::buildpack::api;
use crate::cache::{ImageCache, VolumeCache};
use crate::effect::Effects;
use crate::effect::cache::Cache;
use crate::effect::clock::Clock;
use crate::effect::events::{
    CacheEvent, Events, Facts, Listener, Ongoing, Outcome, Phase, SessionEvent, Timed, Work, WorkId,
};
use crate::effect::images::{ImageError, Images, Opened, StoreKind, WrittenImage};
use crate::effect::processes::Processes;
use crate::effect::telemetry::{NoTelemetry, ProcessTelemetry};
use crate::image::daemon::{self, Awake, Daemon, DaemonConfig, DaemonImages};
use crate::image::layout::{LayoutImages, layout_path};
use crate::image::registry::{Keychain, RegistryConfig, RegistryImages};
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::order::GroupElement;
use crate::model::target::RunTarget;
use crate::net::proxy::Proxies;
use crate::os::os_release;
use crate::os::process::{OsProcesses, StreamTo};
use crate::phase::{build, detect, export, generate, rebase};
use crate::report::Fan;
use crate::report::build_logs::BuildLogs;
use crate::report::spans::Spans;
use crate::telemetry::passthrough::Passthrough;
use crate::telemetry::{self, TelemetryConfig, ids, provider};

/// How often a daemon is asked whether it is there: podman's goes to sleep after 5 s.
const PING_INTERVAL: Duration = Duration::from_millis(500);

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
        let listener = self.listener();
        daemon_or_layout(session, &listener).unwrap_or_else(|| Box::new(registry(session, keychain, listener)))
    }

    /// Opens the places where the images of the build and the cache image are.
    pub(super) fn open_stores<S>(&self, session: &Session<S>, keychain: &Keychain) -> Stores {
        let listener = self.listener();
        Stores { other: daemon_or_layout(session, &listener), registry: registry(session, keychain, listener) }
    }

    /// Names the cache image, if there is one. It is asked for when a phase first wants something of it.
    pub(super) fn image_cache<'b>(
        &'b self,
        session: &Session<Unprivileged>,
        stores: &'b Stores,
    ) -> Option<ImageCache<'b>> {
        let name = session.values.some_text(Key::CacheImage)?;
        let keeps_old = session.api.has(PlatformFeature::KeepsOldCacheImage);
        Some(ImageCache::new(&stores.registry, &name, &**self.events, keeps_old))
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
    let outbox = delivery::open(&session, phase, &signals, owner);
    let files = session.values.flag(Key::Telemetry);
    let live = outbox.as_ref().and_then(|outbox| delivery::live(&session, outbox));
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
    let logs = capture::open(&session, outbox.as_deref(), spans.as_ref());
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
    let held = move |program: &Path| told.emit(SessionEvent::HeldOutput(program.to_owned()).into());
    let deliver = {
        let (outbox, logs, events) = (outbox.clone(), logs.clone(), Arc::clone(&listeners));
        move |deadline| {
            close_logs(logs.as_deref(), &*events);
            if let Some(outbox) = outbox {
                delivery::close(&outbox, deadline, &*events);
            }
        }
    };
    let hurried = outbox.clone();
    let hurry = move || hurried.iter().for_each(|outbox| outbox.hurry());
    let processes = Stoppable::new(processes.telling_held_output(Box::new(held)), spans.as_ref(), deliver, hurry);
    if spans.is_some() || logs.is_some() {
        end_telemetry_at_a_panic(spans.clone(), logs.clone());
    }
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
        // Spans and build logs have ended already.
        if let Some(outbox) = &outbox {
            delivery::close(outbox, deadline, &*listeners);
        }
        resume_unwind(fault)
    });
    processes.done();
    end(work, &result);
    if let Some(spans) = spans {
        spans.finish(Outcome::Success, None);
        let warnings = spans.warnings().into_iter();
        for warning in warnings {
            listeners.emit(SessionEvent::Telemetry(warning).into());
        }
    }
    if let Err(failure) = &result {
        // It is printed when all of this is over.
        for event in &failure.events() {
            console.announce(event);
        }
    }
    close_logs(logs.as_deref(), &*listeners);
    if let Some(outbox) = outbox {
        delivery::close(&outbox, deadline, &*listeners);
    }
    result
}

/// Puts what build logs still have where it waits to be sent, and tells what is wrong with them.
fn close_logs(logs: Option<&BuildLogs>, events: &dyn Events) {
    let warnings = logs.map(BuildLogs::close).unwrap_or_default().into_iter();
    for warning in warnings {
        events.emit(SessionEvent::Telemetry(warning).into());
    }
}

/// Spans and build logs end also when a fault of ours ends the program (telemetry R18).
fn end_telemetry_at_a_panic(spans: Option<Arc<Spans>>, logs: Option<Arc<BuildLogs>>) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if provider::is_printing() {
            return;
        }
        report(panic);
        if let Some(spans) = &spans {
            spans.finish_after_panic();
        }
        if let Some(logs) = &logs {
            drop(logs.close());
        }
    }));
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

/// Opens the cache folder, if one is given. A cache image wins over it.
pub(super) fn volume_cache(session: &Session<Unprivileged>) -> Result<Option<Box<dyn Cache>>, Failure> {
    if session.values.some_text(Key::CacheImage).is_some() {
        return Ok(None);
    }
    let Some(dir) = session.values.some_path(Key::CacheDir) else { return Ok(None) };
    let cache = VolumeCache::open(&dir).map_err(|error| Failure::Setup {
        action: "create volume cache".to_owned(),
        cause: error.to_string(),
        hint: Some(format!("Make the folder {} and let the user of this phase write it.", dir.display())),
    })?;
    Ok(Some(Box::new(cache)))
}
/// The name by which a store finds an image: for layouts the path of its folder, else what the platform wrote.
pub(super) fn stored_name<S>(session: &Session<S>, name: &str) -> Result<String, Failure> {
    if !session.uses_layout() {
        return Ok(name.to_owned());
    }
    let path = layout_path(&session.values.path(Key::LayoutDir), name);
    path.map(|path| path.display().to_string()).map_err(|error| Failure::reference(&error))
}

/// Connects to the daemon, if images are in one. Its socket may be one that only root may open.
pub(super) fn connect_daemon(session: &mut Session<Privileged>) -> Result<(), Failure> {
    if !session.uses_daemon() {
        return Ok(());
    }
    let value =
        |name: &str| session.env.get(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
    let config = DaemonConfig {
        host: value("DOCKER_HOST"),
        tls_verify: value("DOCKER_TLS_VERIFY"),
        cert_path: value("DOCKER_CERT_PATH"),
        api_version: value("DOCKER_API_VERSION"),
    };
    let daemon = Daemon::connect(&config).map_err(|error| {
        Failure::Setup {
        action: "initialize docker client".to_owned(),
        cause: error.to_string(),
        hint: Some(
            "Give this phase the daemon's socket (/var/run/docker.sock, or another one in DOCKER_HOST) and start it as \
             a user who may open it."
                .to_owned(),
        ),
    }
    })?;
    session.daemon = Some(daemon);
    Ok(())
}

/// Keeps the daemon awake, if there is one, until the result is dropped.
pub(super) fn keep_daemon_awake(session: &Session<Unprivileged>) -> Option<Awake> {
    let events = Arc::clone(&session.events);
    let failed = move |error: daemon::Error| events.emit(SessionEvent::DaemonAsleep(error.to_string()).into());
    session.daemon.as_ref().map(|daemon| daemon.keep_awake(PING_INTERVAL, failed))
}

/// Opens the place where images are, unless that is a registry.
fn daemon_or_layout<S>(session: &Session<S>, listener: &Listener) -> Option<Box<dyn Images>> {
    let (architecture, listener) = (os_release::architecture(), listener.clone());
    if session.uses_layout() {
        return Some(Box::new(LayoutImages::new(session.values.path(Key::LayoutDir), architecture, listener)));
    }
    if !session.uses_daemon() {
        return None;
    }
    let Some(daemon) = session.daemon.clone() else { return Some(Box::new(NoImages(StoreKind::Daemon))) };
    let launch_cache = launch_cache(session, &*listener.events);
    let images = DaemonImages::new(daemon, architecture, temp_dir(&session.env), listener);
    Some(match launch_cache {
        Some(cache) => Box::new(images.with_launch_cache(cache)),
        None => Box::new(images),
    })
}

/// A client for registries, which has not spoken to any yet, also where the images of a build are elsewhere.
pub(super) fn registry<S>(session: &Session<S>, keychain: &Keychain, listener: Listener) -> RegistryImages {
    let config = RegistryConfig {
        insecure: session.values.list(Key::InsecureRegistries),
        keychain: keychain.clone(),
        proxies: Proxies::of(&session.env),
        ..RegistryConfig::new(os_release::architecture(), temp_dir(&session.env))
    };
    RegistryImages::new(config, listener)
}

/// Where the images of a build are, and where its cache image is, which may be the same.
pub(super) struct Stores {
    registry: RegistryImages,
    /// The daemon or the layouts, if images go there.
    other: Option<Box<dyn Images>>,
}

impl Stores {
    /// Where the images of the build are.
    pub(super) fn images(&self) -> &dyn Images {
        self.other.as_deref().unwrap_or(&self.registry)
    }

    /// Where a cache image is.
    pub(super) fn registry(&self) -> &dyn Images {
        &self.registry
    }
}

/// Opens the launch cache, if one is given. Without it a build takes longer, and no more (policy P28).
fn launch_cache<S>(session: &Session<S>, events: &dyn Events) -> Option<Arc<dyn Cache>> {
    match VolumeCache::open(&session.values.some_path(Key::LaunchCache)?) {
        Ok(cache) => Some(Arc::new(cache)),
        Err(error) => {
            events.emit(CacheEvent::LaunchCacheFailed(format!("creating launch cache: {error}")).into());
            None
        }
    }
}

/// The place for images of a phase that has none to do with, or is not connected to it yet.
struct NoImages(StoreKind);

impl NoImages {
    fn error<T>() -> Result<T, ImageError> {
        Err(ImageError::permanent("this phase reads and writes no images yet"))
    }
}

impl Images for NoImages {
    fn kind(&self) -> StoreKind {
        self.0
    }

    fn open(&self, _: &str) -> Result<Opened, ImageError> {
        Self::error()
    }

    fn check_read(&self, _: &str) -> Result<(), ImageError> {
        Self::error()
    }

    fn check_write(&self, _: &str) -> Result<(), ImageError> {
        Self::error()
    }

    fn layer(&self, _: &ImageRecord, _: &DiffId) -> Result<Box<dyn io::Read + Send>, ImageError> {
        Self::error()
    }

    fn write(&self, _: &crate::effect::images::ImageDraft, _: &[String]) -> Result<WrittenImage, ImageError> {
        Self::error()
    }
}
