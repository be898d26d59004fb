//! Build logs of a phase: from flags to who hears what is printed, and from an outbox to where records go.
//!
//! Telemetry T12, R30 to R37. Without the opt-ins nothing here is made, and programs print as ever.

use std::sync::Arc;

use super::inputs::Key;
use super::resolve::Values;
use super::session::Session;
use super::{delivery, secrets, version};
use crate::effect::clock::Clock;
use crate::effect::events::Phase;
use crate::model::env::Environment;
use crate::model::trace::TraceContext;
use crate::report::build_logs::{BuildLogs, Place, Sending, Wishes};
use crate::report::spans::Spans;
use crate::telemetry::otlp::Signal;
use crate::telemetry::otlp::resource::ResourceOverrides;
use crate::telemetry::outbox::Outbox;
use crate::telemetry::redact::Redactor;
use crate::telemetry::{CNB_TRACEPARENT, session};

/// Who hears what the build says, and knows what must not be seen.
#[derive(Clone)]
pub(super) struct Capture {
    /// Hears what is printed, if that is to be sent or redacted.
    pub logs: Option<Arc<BuildLogs>>,
    /// Takes secrets out, also of spans that programs write.
    pub redactor: Arc<Redactor>,
}

/// Begins to hear, if anything was asked for that secrets are taken out of.
pub(super) fn begin(values: &Values, env: &Environment, clock: &Arc<dyn Clock>) -> Option<Capture> {
    let wishes = Wishes {
        records: values.flag(Key::BuildLogsOtlp),
        redacts: values.flag(Key::Redact),
        strips: values.flag(Key::BuildLogsStripAnsi),
    };
    let hears = wishes.records || wishes.redacts;
    if !hears && !delivery::follows(values) {
        return None;
    }
    let redactor = Arc::<Redactor>::default();
    let found = secrets::find(values, env);
    redactor.add(found.secrets);
    found.gaps.iter().for_each(|gap| redactor.lack(gap));
    let logs = hears.then(|| BuildLogs::new(wishes, Arc::clone(&redactor), Arc::clone(clock)));
    Some(Capture { logs, redactor })
}

/// Tells where records go, if they go anywhere; gives who must hear programs. What is wrong is for the user.
pub(super) fn open<S>(
    session: &Session<S>,
    outbox: Option<&Outbox>,
    spans: Option<&Arc<Spans>>,
    warnings: &mut Vec<String>,
) -> Option<Arc<BuildLogs>> {
    let logs = session.capture.as_ref()?.logs.as_ref()?;
    let Some(outbox) = outbox.filter(|outbox| outbox.sends(Signal::Logs)) else {
        warnings.extend(logs.close());
        return session.values.flag(Key::Redact).then(|| Arc::clone(logs));
    };
    let context = session.env.get(CNB_TRACEPARENT).and_then(|value| value.to_str());
    let place = match (spans, context.and_then(|context| TraceContext::parse(context).ok())) {
        (Some(spans), _) => Place::Spans(Arc::clone(spans)),
        (None, Some(context)) => Place::Context(context),
        (None, None) => Place::Unknown,
    };
    let mut overrides = ResourceOverrides::parse(&session.env);
    // With spans it was told already.
    warnings.extend(overrides.warning.take().filter(|_| !outbox.sends(Signal::Traces)));
    let (api, version) = (session.api, version::info().version);
    let of_phase = version.clone();
    logs.open(Sending {
        store: Arc::clone(outbox.spool()) as _,
        resource: Box::new(move |phase: Phase| overrides.apply(&session::resource(phase, &of_phase, api))),
        version,
        place,
    });
    Some(Arc::clone(logs))
}
