//! One request, one answer: HTTP, proxies, time limits. Nothing here knows what a registry is.
//!
//! Certificates of the system are loaded when the first https connection needs them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _};
use ureq::{Agent, SendBody};

use super::connection::{self, Attentive, is_broken};
use super::insecure::is_local;
use super::spool::Spool;
use super::url::{Scheme, Url};
use crate::net::Failure;
use crate::net::proxy::Proxies;
use crate::net::resolve::HostResolver;
use crate::net::tls::Tls;
use crate::os::lookup::Lookup;

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To look a name up, and then to connect.
    pub connect: Duration,
    /// Between two signs of life while bytes are sent or received, and until an answer begins.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        // A registry may take its time to check a large blob before it answers.
        Self { connect: Duration::from_secs(15), stall: Duration::from_secs(180) }
    }
}

/// What is sent besides headers.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// Nothing, and no word about it.
    None,
    /// Bytes.
    Bytes(&'a [u8]),
    /// The rest of a file, from an offset on, and who hears how far in the file it got.
    File(&'a File, u64, &'a dyn Fn(u64)),
    /// A file that is still written, and who hears how far in it this got. Its length is told as it goes.
    Growing(&'a Spool, &'a dyn Fn(u64)),
}

impl Body<'_> {
    /// How many bytes are sent, as far as that is known.
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::None => Ok(0),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(file, offset, _) => Ok(file.metadata()?.len().saturating_sub(*offset)),
            Self::Growing(spool, _) => Ok(spool.written()),
        }
    }

    /// Tells whether nobody wants it any more.
    pub(super) fn is_called_off(&self) -> bool {
        matches!(self, Self::Growing(spool, _) if spool.is_called_off())
    }
}

/// A request.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a Url,
    pub(super) headers: Vec<(&'static str, &'a str)>,
    pub(super) body: Body<'a>,
    /// Certificates are not checked.
    pub(super) insecure: bool,
}

/// An answer whose body is yet to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: http::HeaderMap,
    body: ureq::Body,
}

/// Sends requests. Connections are kept and used again.
pub(super) struct Transport {
    resolver: HostResolver,
    proxies: Proxies,
    timeouts: Timeouts,
    agents: Mutex<BTreeMap<AgentKey, Agent>>,
}

/// What sets agents apart: ureq has one proxy and one way to check certificates for each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AgentKey {
    scheme: Scheme,
    insecure: bool,
    direct: bool,
}

impl Transport {
    pub(super) fn new(lookup: Lookup, proxies: Proxies, timeouts: Timeouts) -> Self {
        Self { resolver: HostResolver::new(lookup), proxies, timeouts, agents: Mutex::default() }
    }

    /// Sends a request once. Redirects are answers like others. Who accepts what it did not get accepts nothing.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        connection::begin();
        let agent = self.agent(request)?;
        let mut builder = http::Request::builder().method(request.method).uri(request.url.secret_text());
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        let permanent = |error: http::Error| Failure { cause: error.to_string(), retryable: false };
        let answer = match request.body {
            Body::None => agent.run(builder.body(()).map_err(permanent)?),
            Body::Bytes(bytes) => agent.run(builder.body(bytes).map_err(permanent)?),
            Body::File(file, offset, told) => {
                let length = request.body.len().map_err(|error| Failure::of_io(&error))?;
                let mut rest = Rest { file, offset, left: length, told };
                let builder = builder.header("content-length", length.to_string());
                agent.run(builder.body(SendBody::from_reader(&mut rest)).map_err(permanent)?)
            }
            Body::Growing(spool, told) => {
                agent.run(builder.body(SendBody::from_reader(&mut spool.reader(told))).map_err(permanent)?)
            }
        };
        let (parts, body) = answer.map_err(Failure::of)?.into_parts();
        if parts.status.is_success() && is_broken() {
            let cause = "the connection broke before all was sent".to_owned();
            return Err(Failure { cause, retryable: true });
        }
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn agent(&self, request: &Request<'_>) -> Result<Agent, Failure> {
        let scheme = request.url.scheme();
        let proxy = self.proxies.before(request.url.authority(), scheme == Scheme::Https);
        let proxy = proxy.map_err(|cause| Failure { cause, retryable: false })?;
        let key = AgentKey { scheme, insecure: request.insecure, direct: proxy.is_none() };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(concat!("cnb-lifecycle/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(self.timeouts.connect))
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_per_read(Some(self.timeouts.stall))
            .timeout_per_write(Some(self.timeouts.stall))
            .build();
        let attentive = Attentive { tls: scheme == Scheme::Https };
        let connector = ().chain(ConnectProxyConnector::default()).chain(attentive);
        let resolver = self.resolver.clone();
        let agent = if scheme == Scheme::Https {
            let tls = Tls::new(request.insecure)
                .map_err(|error| Failure { cause: format!("tls: {error}"), retryable: false })?;
            Agent::with_parts(config, connector.chain(tls), resolver)
        } else {
            Agent::with_parts(config, connector, resolver)
        };
        agents.insert(key, agent.clone());
        Ok(agent)
    }
}

impl Answer {
    /// The value of a header, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How many bytes its body has, or would have for a HEAD; `None` where that is not told. Some say 0 of every HEAD.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok().filter(|length| *length > 0)
    }

    /// The values of a header that may be there several times.
    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Reads the body, up to one byte more than `limit`.
    pub(super) fn read(&mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        match self.body.as_reader().take(limit + 1).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::of_io(&error)),
        }
    }

    /// As much of the body as arrives, up to `limit` bytes.
    pub(super) fn start(&mut self, limit: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.body.as_reader().take(limit).read_to_end(&mut bytes);
        bytes
    }

    /// The body as a stream.
    pub(super) fn into_reader(self) -> impl Read + Send + 'static {
        self.body.into_reader()
    }
}

/// The rest of a file that others read too.
struct Rest<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
    told: &'a dyn Fn(u64),
}

impl Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if is_broken() {
            // Nobody gets it, but ureq counts it.
            self.left -= most as u64;
            return Ok(most);
        }
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        (self.told)(self.offset);
        Ok(count)
    }
}

/// Whether http may be tried where https leads nowhere.
pub(super) fn may_be_plain(registry: &str, insecure: bool) -> bool {
    insecure || is_local(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_from_its_offset_on() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mut text = String::new();
        let told = std::cell::Cell::new(0);
        Rest { file: &file, offset: 7, left: 3, told: &|at| told.set(at) }.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), told.get()), ("789", 10));
    }
}
