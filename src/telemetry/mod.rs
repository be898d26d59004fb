//! Spans in files, as CNB RFC 0131 asks: where they go, what they may say, and the context that ties them together.
//!
//! [`crate::report::spans`] turns events into the spans that are written here; [`passthrough`] is all that is left when
//! telemetry is off. Decisions T1-T14 and requirements R1-R28 of telemetry.md.

pub mod attributes;
pub mod context;
pub mod describe;
mod fault;
pub mod files;
pub mod ids;
pub mod line;
pub mod live;
pub mod logs;
pub mod otlp;
pub mod outbox;
pub mod passthrough;
pub mod provider;
pub mod redact;
pub mod resend;
pub mod session;
mod shipper;
pub mod spool;
pub mod tail;

pub use fault::{Fault, Faults};
pub use live::Live;
pub use passthrough::Passthrough;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::PlatformApi;
use crate::effect::events::Phase;

/// The variable that names the file for a program's spans.
pub const LOG_PATH: &str = "CNB_OTEL_LOG_PATH";
/// The variable with the context that platforms give, in the words of the draft specification.
pub const CNB_TRACEPARENT: &str = "CNB_OTEL_TRACEPARENT";
/// OpenTelemetry's own carrier of the context in an environment.
pub const TRACEPARENT: &str = "TRACEPARENT";
/// OpenTelemetry's carrier of what vendors add to a context.
pub const TRACESTATE: &str = "TRACESTATE";

/// Everything that telemetry of one program depends on. It is made only where the user opted in (T1).
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// Spans go to files (`-telemetry`).
    pub files: bool,
    /// Spans are sent as they end (`-traces-otlp`).
    pub live: Option<Arc<Live>>,
    /// `<layers>`.
    pub layers_dir: PathBuf,
    /// What this program is: for the creator [`Phase::Create`], whatever phases it runs.
    pub phase: Phase,
    /// `CNB_OTEL_LOG_PATH` as the platform set it.
    pub platform_log_path: Option<OsString>,
    /// `CNB_OTEL_TRACEPARENT` as the platform set it.
    pub platform_traceparent: Option<OsString>,
    /// `TRACESTATE` as the platform set it; it counts only beside a valid `CNB_OTEL_TRACEPARENT`.
    pub platform_tracestate: Option<OsString>,
    /// User and group id that own new files and folders, where this program is root.
    pub owner: Option<(u32, u32)>,
    /// The negotiated Platform API.
    pub platform_api: PlatformApi,
    /// The version of this lifecycle, without its commit.
    pub version: String,
    /// Prints spans for a person too (`CNB_OTEL_STDOUT`).
    pub stdout: bool,
}
