//! Telemetry variables for programs of buildpacks and extensions.

use std::ffi::OsString;

use super::events::WorkId;

/// Knows the telemetry variables of a program.
pub trait ProcessTelemetry: Send + Sync {
    /// The variables for the program whose [`super::events::Work::Process`] began under `id`; the file that
    /// `CNB_OTEL_LOG_PATH` names exists when this returns. None when telemetry is off and the platform set none.
    ///
    /// They go below the platform's own variables: a value in `<platform>/env/` wins (telemetry T5).
    fn variables(&self, id: WorkId) -> Vec<(&'static str, OsString)>;
}

/// Telemetry is off, and the platform set nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTelemetry;

impl ProcessTelemetry for NoTelemetry {
    fn variables(&self, _: WorkId) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }
}
