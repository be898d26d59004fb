//! OTLP over gRPC: which service takes a signal, and which refusals are for now.
//!
//! Clauses: OTLP specification, "OTLP/gRPC"; telemetry R38, R39. The path of an endpoint has no meaning here.

use std::time::{Duration, Instant};

use super::http::{USER_AGENT, gzip};
use super::settings::{Destination, Endpoint, Headers};
use super::wire::{Value, fields};
use super::{Accepted, Form, Network, Refusal, Retry, Signal, Transport, answer, certificates};
use crate::net::grpc::{Call, Client, Code, Failed, Target};
use crate::os::lookup::Lookup;

/// Sends requests by gRPC.
pub(super) struct Grpc {
    target: Target,
    lookup: Lookup,
    headers: Headers,
    gzip: bool,
    /// Made with the first request: it belongs to the thread that sends.
    client: Option<Client>,
}

impl Grpc {
    /// Reads the certificates; nothing is connected to.
    ///
    /// # Errors
    /// See [`super::transport`].
    pub(super) fn new(destination: &Destination, network: &Network) -> Result<Self, String> {
        let Endpoint { tls, authority, .. } = &destination.endpoint;
        let host = crate::net::proxy::host(authority);
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let target = Target {
            host: host.to_owned(),
            // As every URL of its scheme; 4317 is said where nothing is.
            port: port.unwrap_or(if *tls { 443 } else { 80 }),
            tls: if *tls { Some(certificates::tls(destination)?.config()) } else { None },
            proxy: network.proxies.before(&destination.endpoint.authority, destination.endpoint.tls)?,
        };
        let (headers, gzip) = (destination.headers.clone(), destination.gzip);
        Ok(Self { target, lookup: network.lookup.clone(), headers, gzip, client: None })
    }

    fn client(&mut self) -> Result<&mut Client, Refusal> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::new(self.target.clone(), self.lookup.clone())
                .map_err(|error| Refusal::for_now(crate::os::error_text(&error)))?,
        };
        Ok(self.client.insert(client))
    }

    fn refusal(failed: &Failed) -> Refusal {
        let after = retry_info(&failed.details).or(failed.after);
        let retry = match after {
            // It would be so each time.
            _ if [Code::INVALID_ARGUMENT, Code::RESOURCE_EXHAUSTED].contains(&failed.code) && failed.is_local => {
                Retry::Never
            }
            // What keeps a request from being answered may pass, a wrong certificate too: then the collector is put right.
            _ if failed.is_local => Retry::Later,
            Some(after) if is_retryable(failed.code) || failed.code == Code::RESOURCE_EXHAUSTED => Retry::After(after),
            None if is_retryable(failed.code) => Retry::Later,
            _ => Retry::Never,
        };
        Refusal { retry, cause: failed.cause.clone() }
    }
}

impl Transport for Grpc {
    fn send(&mut self, signal: Signal, request: &[u8], deadline: Instant) -> Result<Accepted, Refusal> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        if timeout.is_zero() {
            return Err(Refusal::for_now("no time is left"));
        }
        let compressed = if self.gzip { gzip(request) } else { None };
        let headers = self.headers.clone();
        let call = Call {
            path: match signal {
                Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            },
            headers: headers.iter().collect(),
            user_agent: USER_AGENT,
            message: compressed.as_deref().unwrap_or(request),
            compressed: compressed.is_some(),
            timeout,
        };
        let answer = self.client()?.call(&call).map_err(|failed| Self::refusal(&failed))?;
        Ok(answer::accepted(None, Form::Protobuf, &answer))
    }
}

/// The codes that the clause lists; one more counts where the collector says when to come back.
fn is_retryable(code: Code) -> bool {
    [Code::CANCELLED, Code::DEADLINE_EXCEEDED, Code::ABORTED, Code::OUT_OF_RANGE, Code::UNAVAILABLE, Code::DATA_LOSS]
        .contains(&code)
}

/// When to try again, from a `google.rpc.Status` that has a `google.rpc.RetryInfo` among its details (field 3, each with
/// its type as field 1 and its bytes as field 2), in which field 1 is a duration of seconds (1) and nanoseconds (2).
fn retry_info(status: &[u8]) -> Option<Duration> {
    let bytes = |message: &[(u64, Value<'_>)], wanted: u64| {
        message.iter().find_map(|(number, value)| match value {
            Value::Bytes(bytes) if *number == wanted => Some(bytes.to_vec()),
            _ => None,
        })
    };
    let status = fields(status)?;
    let details = status.iter().filter_map(|(number, value)| match value {
        Value::Bytes(bytes) if *number == 3 => fields(bytes),
        _ => None,
    });
    let is_info =
        |any: &Vec<(u64, Value<'_>)>| bytes(any, 1).is_some_and(|url| url.ends_with(b"/google.rpc.RetryInfo"));
    let info = bytes(&details.into_iter().find(is_info)?, 2)?;
    let duration = bytes(&fields(&info)?, 1)?;
    let duration = fields(&duration)?;
    let number = |wanted: u64| {
        duration.iter().find_map(|(number, value)| match value {
            Value::Number(value) if *number == wanted => Some(*value),
            _ => None,
        })
    };
    // Below zero, they are huge.
    let nanos = u32::try_from(number(2).unwrap_or(0)).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let seconds = number(1).unwrap_or(0);
    (i64::try_from(seconds).is_ok()).then(|| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status with one detail of this type and these bytes.
    fn status(url: &str, value: &[u8]) -> Vec<u8> {
        let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let any = [field(1, url.as_bytes()), field(2, value)].concat();
        [b"\x08\x08\x12\x03why".to_vec(), field(3, &any)].concat()
    }

    const INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

    #[test]
    fn r39_the_collector_says_when_to_try_again() {
        assert_eq!(retry_info(&status(INFO, b"\x0a\x02\x08\x03")), Some(Duration::from_secs(3)));
        assert_eq!(retry_info(&status(INFO, b"\x0a\x05\x10\x80\xca\xb5\xee")), None, "cut off");
        assert_eq!(retry_info(&status(INFO, b"\x0a\x06\x10\x80\xca\xb5\xee\x01")), Some(Duration::from_millis(500)));
        let below = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(retry_info(&status(INFO, below)), None);
        assert_eq!(retry_info(&status("type.googleapis.com/google.rpc.Help", b"\x0a\x02\x08\x03")), None);
        assert_eq!(retry_info(b"garbage"), None);
        assert_eq!(retry_info(b""), None);
    }
}
