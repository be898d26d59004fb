//! What a phase sends to a collector: from the variables to an outbox, and from its end to what the user hears.
//!
//! Telemetry T11, T13, R38 to R41. Whoever opted in gets an outbox for the signals of the opt-in; nothing that is wrong
//! here changes what the phase does.

use std::sync::Arc;
use std::time::Duration;

use super::inputs::Key;
use super::parse::parse_bool;
use super::resolve::Values;
use super::session::{Session, temp_dir};
use crate::effect::events::{Events, Phase, SessionEvent};
use crate::model::duration;
use crate::model::env::Environment;
use crate::net::proxy::Proxies;
use crate::os::{lookup::Lookup, process};
use crate::telemetry::Live;
use crate::telemetry::otlp::resource::ResourceOverrides;
use crate::telemetry::otlp::settings::{Settings, path_tokens};
use crate::telemetry::otlp::{Form, Network, Signal};
use crate::telemetry::outbox::{Outbox, OutboxConfig};
use crate::telemetry::spool::{DEFAULT_CAP, SpoolConfig};

/// The value of `-traces-otlp` that asks for spans of buildpacks, too.
const ALL: &str = "all";
/// The variable that asks for spans that a person can read. It has no flag.
const STDOUT: &str = "CNB_OTEL_STDOUT";
/// How long the end of a phase may wait, unless somebody says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// What was asked to be sent.
pub(super) fn signals(values: &Values) -> Vec<Signal> {
    let traces = values.flag(Key::TracesOtlp) || follows(values);
    [(Signal::Traces, traces), (Signal::Logs, values.flag(Key::BuildLogsOtlp))]
        .into_iter()
        .filter_map(|(signal, wanted)| wanted.then_some(signal))
        .collect()
}

/// Where spans go that are sent as they end, if they are to be sent and can be. What is wrong is for the user.
pub(super) fn live<S>(session: &Session<S>, outbox: &Outbox, warnings: &mut Vec<String>) -> Option<Arc<Live>> {
    if !outbox.sends(Signal::Traces) {
        return None;
    }
    let mut resource = ResourceOverrides::parse(&session.env);
    warnings.extend(resource.warning.take());
    let follows = follows(&session.values);
    if follows && !session.values.flag(Key::Telemetry) {
        warnings.push("spans of buildpacks are not sent: they write them to files only with -telemetry".to_owned());
    }
    let redactor = session.capture.as_ref().filter(|_| follows).map(|capture| Arc::clone(&capture.redactor));
    let live = Arc::new(Live::new(Arc::clone(outbox.spool()), resource, redactor));
    outbox.waits_for(Arc::clone(&live));
    Some(live)
}

/// Says whether spans of buildpacks were asked for, too.
pub(super) fn follows(values: &Values) -> bool {
    values.text(Key::TracesOtlp) == ALL
}

/// How long the end of a phase may wait until everything is sent. What is no duration is told, and counts as not given.
pub(super) fn deadline<S>(session: &Session<S>) -> Duration {
    let given = duration::parse(&session.values.text(Key::TelemetryFlushTimeout));
    given.unwrap_or_else(|| {
        if !signals(&session.values).is_empty() {
            let name = session.values.name(Key::TelemetryFlushTimeout);
            let text = format!("{name} is no duration, so it is 5s; write it as 500ms, 5s or 1m30s");
            tell(&*session.events, vec![text]);
        }
        DEADLINE
    })
}

/// How much of one program's output may wait. What is no number of MiB is told, and counts as not given.
fn cap(values: &Values, warnings: &mut Vec<String>) -> u64 {
    match u64::from(values.id(Key::TelemetrySpoolLimit)) << 20 {
        0 => {
            let name = values.name(Key::TelemetrySpoolLimit);
            warnings.push(format!("{name} is no number of MiB from 1 to 4294967295, so it is 64"));
            DEFAULT_CAP
        }
        bytes => bytes,
    }
}

/// Tells which variables that turn something on say neither yes nor no. As flags they would be refused; a variable fails
/// no build (T13), but what it was meant for does not happen.
pub(super) fn tell_odd_switches<S>(session: &Session<S>) {
    let switches =
        [Key::Telemetry, Key::TracesOtlp, Key::BuildLogsOtlp, Key::BuildLogsStripAnsi, Key::Redact].into_iter();
    let odd = switches.filter(|key| !session.values.fits(*key)).map(|key| {
        let or_all = if key == Key::TracesOtlp { ", nor all," } else { "" };
        (session.values.name(key), or_all)
    });
    let stdout = prints_spans(&session.env).is_none().then(|| (STDOUT.to_owned(), ""));
    let told =
        odd.chain(stdout).map(|(name, or_all)| format!("{name} is neither true nor false{or_all} and counts as false"));
    tell(&*session.events, told.collect());
}

/// Says whether spans are printed for a person, too; none where the variable says neither yes nor no.
pub(super) fn prints_spans(env: &Environment) -> Option<bool> {
    match env.get(STDOUT).filter(|value| !value.is_empty()) {
        None => Some(false),
        Some(value) => parse_bool(&value.to_string_lossy()),
    }
}

/// Opens an outbox for some signals; none where nothing can be sent. What is wrong is for the user. Files are read and
/// made here, so this comes before privileges are dropped. `owner` gets the spool.
pub(super) fn open<S>(
    session: &Session<S>,
    phase: Phase,
    signals: &[Signal],
    owner: Option<(u32, u32)>,
    warnings: &mut Vec<String>,
) -> Option<Arc<Outbox>> {
    if signals.is_empty() {
        return None;
    }
    let Settings { destinations, warnings: of_settings } = Settings::parse(&session.env, signals);
    warnings.extend(of_settings);
    let cap = cap(&session.values, warnings);
    let config = OutboxConfig {
        spool: SpoolConfig {
            folder: temp_dir(&session.env),
            forbidden: [Key::App, Key::Layers, Key::Platform].map(|key| session.values.path(key)).into(),
            name: phase.verb(),
            owner,
            cap,
            traces: Form::Protobuf,
            logs: Form::Protobuf,
        },
        destinations,
        network: Network { proxies: Proxies::of(&session.env), lookup: Lookup::default() },
    };
    let outbox = if config.destinations.is_empty() {
        None
    } else {
        let (outbox, more) = Outbox::open(config);
        warnings.extend(more);
        outbox
    };
    if let (Some(outbox), Some(capture)) = (&outbox, &session.capture) {
        capture.redactor.add(outbox.secrets());
    }
    outbox.map(Arc::new)
}

/// Ends an outbox: sends what waits for `deadline` at most, and gives what the user should know.
pub(super) fn close(outbox: &Outbox, deadline: Duration, events: &dyn Events) -> Vec<String> {
    let waits = |waiting| events.emit(SessionEvent::Delivering { waiting, deadline }.into());
    outbox.finish(deadline, &waits).warnings
}

/// Keeps others of the same user, buildpacks among them, from reading this process: its memory, and the environment that
/// it was started with. That is done where credentials for registries, headers or a key for collectors are set, or an
/// address that may have a credential in it, also when nothing is sent (R41).
pub(super) fn protect(env: &Environment) {
    let is_credential = |name: &str, value: &str| {
        let of_collector = name.starts_with("OTEL_EXPORTER_OTLP_")
            && (name.ends_with("HEADERS")
                || name.ends_with("CLIENT_KEY")
                || (name.ends_with("ENDPOINT") && (value.contains(['?', '@']) || path_tokens(value).next().is_some())));
        name == "CNB_REGISTRY_AUTH" || of_collector
    };
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    if env.iter().any(|(name, value)| !value.is_empty() && is_credential(&text(name), &text(value))) {
        process::hide();
    }
}

/// Tells warnings.
pub(super) fn tell(events: &dyn Events, warnings: Vec<String>) {
    for warning in warnings {
        events.emit(SessionEvent::Telemetry(warning).into());
    }
}
