//! OTLP, the protocol of OpenTelemetry: what is sent where, and how a collector may answer.
//!
//! Clauses: OpenTelemetry's protocol exporter and OTLP specifications; telemetry T11, R38, R39. [`settings`] reads the
//! standard variables, a [`Transport`] sends requests that somebody else made, [`crate::telemetry::outbox`] decides when.

mod answer;
mod certificates;
#[cfg(test)]
pub(in crate::telemetry) mod fake;
pub mod foreign;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
pub mod resource;
pub mod settings;
mod wire;
mod words;

use std::time::{Duration, Instant};

use crate::net::proxy::Proxies;
use crate::os::lookup::Lookup;
use settings::{Destination, Protocol};
use words::Discreet;

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

impl Signal {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Traces, Self::Logs];

    /// What a user calls the things that are sent.
    pub fn things(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
        }
    }
}

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An `ExportTraceServiceRequest` or `ExportLogsServiceRequest`: for `http/protobuf` and `grpc`.
    Protobuf,
    /// The same as one line of OTLP JSON, without its end: for `http/json`.
    Json,
}

/// A collector took a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many spans or records of it the collector threw away: a partial success.
    pub rejected: u64,
    /// What the collector says about that, or what is odd about its answer: one line, without credentials.
    pub message: Option<String>,
}

/// A collector did not take a request, or was not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    /// Whether the same request may be taken later.
    pub retry: Retry,
    /// Why: a fragment of one line, without credentials.
    pub cause: String,
}

/// Whether a request that was not taken may be taken later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would be refused each time.
    Never,
    /// After a while.
    Later,
    /// After this time, as the collector asks.
    After(Duration),
}

impl Refusal {
    /// The request would be refused each time.
    pub fn for_good(cause: impl Into<String>) -> Self {
        Self { retry: Retry::Never, cause: cause.into() }
    }

    /// Another try may help.
    pub fn for_now(cause: impl Into<String>) -> Self {
        Self { retry: Retry::Later, cause: cause.into() }
    }
}

/// Sends requests for one signal to one collector, over connections that it keeps.
pub trait Transport: Send {
    /// Sends one request, and gives up at `deadline`. It is tried once: who calls decides about more. What
    /// [`transport`] makes tells texts that anybody may see.
    ///
    /// # Errors
    /// The collector refuses it, or is not reached in time.
    fn send(&mut self, signal: Signal, request: &[u8], deadline: Instant) -> Result<Accepted, Refusal>;
}

/// How this process reaches others.
#[derive(Clone, Default)]
pub struct Network {
    /// Proxies.
    pub proxies: Proxies,
    /// Where addresses of hosts are found.
    pub lookup: Lookup,
}

/// Makes the transport for a destination. Nothing is connected to before the first request.
///
/// # Errors
/// A file of certificates or keys is of no use, or this lifecycle cannot speak the protocol: a sentence that names the
/// variable and what to do.
pub fn transport(destination: &Destination, network: &Network) -> Result<Box<dyn Transport>, String> {
    let transport: Box<dyn Transport> = match destination.protocol {
        Protocol::HttpProtobuf | Protocol::HttpJson => Box::new(http::Http::new(destination, network)?),
        #[cfg(feature = "grpc")]
        Protocol::Grpc => Box::new(grpc::Grpc::new(destination, network)?),
        #[cfg(not(feature = "grpc"))]
        Protocol::Grpc => {
            return Err(format!(
                "{} is grpc, which this lifecycle was built without: set it to http/protobuf, and the port to the \
                 collector's for that (usually 4318)",
                destination.variable("PROTOCOL")
            ));
        }
    };
    Ok(Box::new(Discreet::new(transport, destination, network)))
}
