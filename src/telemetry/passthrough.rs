//! Telemetry is off: what the platform set for buildpacks and extensions reaches them, and nothing else is done (T14).

use std::ffi::OsString;

use super::{CNB_TRACEPARENT, LOG_PATH};
use crate::api::{PlatformApi, PlatformFeature};
use crate::effect::events::WorkId;
use crate::effect::telemetry::ProcessTelemetry;

/// Passes the platform's variables on, where the Platform API knows them.
#[derive(Clone, Debug, Default)]
pub struct Passthrough(Vec<(&'static str, OsString)>);

impl Passthrough {
    /// Takes the platform's values of `CNB_OTEL_LOG_PATH` and `CNB_OTEL_TRACEPARENT`.
    pub fn new(api: PlatformApi, log_path: Option<OsString>, traceparent: Option<OsString>) -> Self {
        if !api.has(PlatformFeature::OtelVariables) {
            return Self::default();
        }
        let values = [(LOG_PATH, log_path), (CNB_TRACEPARENT, traceparent)];
        Self(values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

impl ProcessTelemetry for Passthrough {
    fn variables(&self, _: WorkId) -> Vec<(&'static str, OsString)> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(api: &str) -> Vec<(&'static str, OsString)> {
        let api = PlatformApi::negotiate(Some(api)).unwrap();
        Passthrough::new(api, Some("/x y".into()), Some("not a traceparent".into())).variables(WorkId::next())
    }

    #[test]
    fn passes_both_values_unmodified_from_0_16() {
        assert_eq!(variables("0.16"), [(LOG_PATH, "/x y".into()), (CNB_TRACEPARENT, "not a traceparent".into())]);
    }

    #[test]
    fn passes_nothing_below_0_16() {
        assert_eq!(variables("0.15"), []);
    }
}
