//! The end of what a phase tells: after its work, after a fault of ours, or when it was told to stop.
//!
//! Telemetry T13, R17, R18. All three say the same: what is missing, where the rest waits, and how to send it.

use std::sync::Arc;
use std::time::Duration;

use super::delivery;
use crate::effect::events::SessionEvent;
use crate::report::build_logs::BuildLogs;
use crate::report::console::Console;
use crate::report::spans::Spans;
use crate::telemetry::outbox::Outbox;
use crate::telemetry::provider;

/// What is to be ended.
#[derive(Clone)]
pub(super) struct Ending {
    /// Spans, which have ended before.
    pub spans: Option<Arc<Spans>>,
    /// Build logs.
    pub logs: Option<Arc<BuildLogs>>,
    /// What waits to be sent.
    pub outbox: Option<Arc<Outbox>>,
    /// The stream that users read.
    pub console: Arc<Console>,
}

impl Ending {
    /// Closes everything, sends what waits for `deadline` at most, and then says what is wrong: whoever should read that
    /// may not.
    pub(super) fn end(&self, deadline: Duration) {
        let mut warnings = self.spans.as_ref().map(|spans| spans.warnings()).unwrap_or_default();
        for warning in &warnings {
            self.console.announce(&SessionEvent::Telemetry(warning.clone()).into());
        }
        warnings.extend(self.logs.iter().flat_map(|logs| logs.close()));
        if let Some(outbox) = &self.outbox {
            warnings.extend(delivery::close(outbox, deadline, &*self.console));
        }
        delivery::tell(&*self.console, warnings);
    }

    /// Nobody waits any more for who is ending all this at the moment.
    pub(super) fn hurry(&self) {
        self.outbox.iter().for_each(|outbox| outbox.hurry());
    }

    /// Spans end at once when a fault of ours does: on its way out, work would end as something else (R18).
    pub(super) fn end_spans_at_a_panic(&self) {
        let Some(spans) = self.spans.clone() else { return };
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if provider::is_printing() {
                return;
            }
            report(panic);
            spans.finish_after_panic();
        }));
    }
}
