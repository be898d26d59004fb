//! The address of a collector: read, made for a signal, and shown without what may be a credential.
//!
//! Clause: OpenTelemetry's protocol exporter, "Endpoint URLs for OTLP/HTTP" and "Configuration Options"; telemetry R38, R41.

use std::fmt;

use super::{Protocol, Variable};
use crate::net::decoded;
use crate::telemetry::otlp::Signal;

/// The address of a collector. What is printed of it has no query, which may hold a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https`; else `http`.
    pub tls: bool,
    /// `host[:port]`
    pub authority: String,
    /// From the first slash on, without a query. It has no meaning for gRPC.
    pub path: String,
    query: String,
}

impl Endpoint {
    /// The whole address, for the wire alone.
    pub fn secret_text(&self) -> String {
        if self.query.is_empty() { self.to_string() } else { format!("{self}?{}", self.query) }
    }

    /// The query, its values alone too, and tokens in the path; as they are written, and decoded.
    pub(super) fn secrets(&self) -> impl Iterator<Item = String> {
        let values = self.query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let parts = [self.query.as_str()].into_iter().chain(values).chain(path_tokens(&self.path));
        parts.flat_map(|text| [text.to_owned(), decoded(text.as_bytes())])
    }

    /// Reads `http[s]://host[:port][/path][?query]`.
    fn parse(text: &str) -> Result<Self, Flaw> {
        let (scheme, rest) = text.split_once("://").ok_or(Flaw::NoScheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(Flaw::NoScheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Flaw::User);
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = if path.is_empty() { "/" } else { path };
        let endpoint = Self { tls, authority: authority.to_owned(), path: path.to_owned(), query: query.to_owned() };
        endpoint.is_sound().then_some(endpoint).ok_or(Flaw::Malformed)
    }

    fn is_sound(&self) -> bool {
        let uri = self.secret_text().parse::<ureq::http::Uri>();
        let port = match self.authority.rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok_and(|port| port != 0),
            _ => true,
        };
        port && uri.is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
    }

    /// The address for a signal, of a base for all.
    fn below(mut self, signal: Signal) -> Self {
        if !self.path.ends_with('/') {
            self.path.push('/');
        }
        self.path.push_str(match signal {
            Signal::Traces => "v1/traces",
            Signal::Logs => "v1/logs",
        });
        self
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let parts = self.path.split('/').map(|part| if is_token(part) { "[REDACTED]" } else { part });
        write!(f, "{scheme}://{}{}", self.authority, parts.collect::<Vec<_>>().join("/"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NoScheme,
    User,
    Malformed,
}

/// The parts of an address's path that are most likely tokens: some collectors know their users by them.
pub fn path_tokens(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| is_token(part))
}

fn is_token(part: &str) -> bool {
    part.len() >= 16 && part.contains(|letter: char| letter.is_ascii_digit())
}

/// The address that a variable gives for a signal, or the usual one.
pub(super) fn of(
    variable: &Variable<'_>,
    signal: Signal,
    is_own: bool,
    protocol: Protocol,
    insecure: bool,
) -> Result<Endpoint, String> {
    let default = if protocol == Protocol::Grpc { "http://localhost:4317" } else { "http://localhost:4318" };
    let given = variable.text();
    let mut text = given.clone().unwrap_or_else(|| default.to_owned());
    // Without a scheme it is a host and its port, which only gRPC knows.
    if protocol == Protocol::Grpc && !text.contains("://") {
        let scheme = if insecure { "http" } else { "https" };
        text = format!("{scheme}://{text}");
    }
    let endpoint = Endpoint::parse(&text).map_err(|flaw| match flaw {
        Flaw::NoScheme => {
            format!("{} has to begin with http:// or https://, such as {default}", variable.name)
        }
        Flaw::User => format!(
            "{} has a user name or password in it, which is not supported; put credentials into {}",
            variable.name,
            variable.name.replace("ENDPOINT", "HEADERS")
        ),
        Flaw::Malformed => format!("{} is no address of a collector; one is {default}", variable.name),
    })?;
    let is_base = !is_own && protocol != Protocol::Grpc;
    Ok(if is_base { endpoint.below(signal) } else { endpoint })
}
