//! OTLP over HTTP, as protobuf or JSON.
//!
//! Clauses: OTLP specification, "OTLP/HTTP"; telemetry R38, R39. Redirects are not followed: headers may be credentials,
//! and a collector has an address of its own.

use std::io::Read as _;
use std::time::Instant;

use ureq::Agent;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};

use super::settings::{Destination, Endpoint, Headers};
use super::{Accepted, Form, Network, Refusal, Retry, Signal, Transport, answer, certificates};
use crate::net::resolve::HostResolver;
use crate::net::{Failure, retry_after};

/// What this client calls itself, as the clause wants it.
pub(super) const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"), " cnb-lifecycle");

/// Sends requests by HTTP.
pub(super) struct Http {
    agent: Agent,
    endpoint: Endpoint,
    headers: Headers,
    form: Form,
    gzip: bool,
}

impl Http {
    /// Reads the certificates; nothing is connected to.
    ///
    /// # Errors
    /// See [`super::transport`].
    pub(super) fn new(destination: &Destination, network: &Network) -> Result<Self, String> {
        let endpoint = &destination.endpoint;
        let proxy = network.proxies.before(&endpoint.authority, endpoint.tls)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .build();
        let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
        let resolver = HostResolver::new(network.lookup.clone());
        let agent = if endpoint.tls {
            Agent::with_parts(config, connector.chain(certificates::tls(destination)?), resolver)
        } else {
            Agent::with_parts(config, connector, resolver)
        };
        Ok(Self {
            agent,
            endpoint: endpoint.clone(),
            headers: destination.headers.clone(),
            form: destination.protocol.form(),
            gzip: destination.gzip,
        })
    }

    fn request(&self, request: &[u8], deadline: Instant) -> Result<Answer, Refusal> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::for_now("no time is left"));
        }
        let content_type = match self.form {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        };
        let mut builder = ureq::http::Request::post(self.endpoint.secret_text()).header("content-type", content_type);
        for (name, value) in self.headers.iter() {
            builder = builder.header(name, value);
        }
        let compressed = if self.gzip { gzip(request) } else { None };
        if compressed.is_some() {
            builder = builder.header("content-encoding", "gzip");
        }
        let body = compressed.as_deref().unwrap_or(request);
        let request = builder.body(body).map_err(|error| Refusal::for_good(error.to_string()))?;
        let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
        // What keeps a request from being answered may pass, wrong certificates too: then the collector is put right.
        let failed = |error| Refusal::for_now(Failure::of(error).cause);
        let (parts, mut body) = self.agent.run(request).map_err(failed)?.into_parts();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let mut bytes = Vec::new();
        // The status counts. An answer without an end is cut, and its connection with it.
        let _ = body.as_reader().take(answer::LONGEST).read_to_end(&mut bytes);
        Ok(Answer {
            status: parts.status.as_u16(),
            content_type: header("content-type").map(str::to_owned),
            retry_after: header("retry-after").and_then(|value| retry_after(value, header("date"))),
            body: bytes,
        })
    }
}

/// An answer, as far as it is of interest.
struct Answer {
    status: u16,
    content_type: Option<String>,
    retry_after: Option<std::time::Duration>,
    body: Vec<u8>,
}

impl Transport for Http {
    fn send(&mut self, _: Signal, request: &[u8], deadline: Instant) -> Result<Accepted, Refusal> {
        let answer = self.request(request, deadline)?;
        let content_type = answer.content_type.as_deref();
        if (200..300).contains(&answer.status) {
            return Ok(answer::accepted(content_type, self.form, &answer.body));
        }
        let name = ureq::http::StatusCode::from_u16(answer.status).ok().and_then(|code| code.canonical_reason());
        let said = answer::reason(content_type, self.form, &answer.body);
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let retry = match (answer.status, answer.retry_after) {
            (429 | 502 | 503 | 504, Some(time)) => Retry::After(time),
            (429 | 502 | 503 | 504, None) => Retry::Later,
            _ => Retry::Never,
        };
        Err(Refusal { retry, cause: format!("status {}{name}{said}", answer.status) })
    }
}

/// Compresses; none where that fails.
pub(super) fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    // The library's fastest level stores bytes as they are.
    let level = libdeflater::CompressionLvl::new(1).ok()?;
    let mut compressor = libdeflater::Compressor::new(level);
    let mut compressed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let length = compressor.gzip_compress(bytes, &mut compressed).ok()?;
    compressed.truncate(length);
    Some(compressed)
}

#[cfg(test)]
mod tests;
