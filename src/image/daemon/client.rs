//! Requests to a daemon: the API version that both know, connections that may have gone stale, answers that say no.
//!
//! Clause: Docker Engine API, 1.24 to 1.51; podman's serves the same. Catalogue 1, section 1.8; catalogue 2, section 4.3.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::address::Address;
use super::http::{Content, Framing, Head, Request, Unsent};
use super::pool::{Lease, Patience, Pool};
use super::tls::Tls;

/// The newest API that this client knows.
const NEWEST: ApiVersion = ApiVersion(1, 51);
/// What a daemon speaks that does not say what it speaks, as docker's clients take it.
const UNSAID: ApiVersion = ApiVersion(1, 24);
/// From this version on a daemon has images for several platforms under one name, and is asked for one of them.
const PLATFORMS: ApiVersion = ApiVersion(1, 49);
/// How many connections are opened while this process may open them.
const CONNECTIONS: usize = 3;
/// The path at which a daemon says that it is there, whatever the API.
const PING: &str = "/_ping";
/// The most that is read of an answer that says no, in bytes.
const REFUSAL_LIMIT: u64 = 64 << 10;

/// What a platform says about its daemon: the values of docker's own variables, empty where they are not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonConfig {
    /// `DOCKER_HOST`.
    pub host: String,
    /// `DOCKER_TLS_VERIFY`: any value means yes.
    pub tls_verify: String,
    /// `DOCKER_CERT_PATH`: a folder with `ca.pem`, `cert.pem` and `key.pem`.
    pub cert_path: String,
    /// `DOCKER_API_VERSION`: nothing is negotiated then.
    pub api_version: String,
}

/// A version of the daemon's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ApiVersion(u32, u32);

/// A daemon that answered. Clones share its connections, which stay usable when this process drops its privileges.
#[derive(Clone)]
pub struct Daemon(Arc<Inner>);

struct Inner {
    pool: Arc<Pool>,
    /// Stands before each path, such as `/v1.41`.
    prefix: String,
    has_platforms: bool,
}

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    /// The path behind the version.
    pub(super) path: String,
    /// Names and values, not yet encoded.
    pub(super) query: Vec<(&'static str, String)>,
    /// The body.
    pub(super) content: Option<Content<'a>>,
    /// The daemon packs or unpacks an image for it, and may be silent for long.
    pub(super) works: bool,
}

/// An answer whose body is yet to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Body,
}

/// The body of an answer. Read or dropped, it gives its connection back where it can.
pub(super) struct Body {
    lease: Option<Lease>,
    framing: Framing,
    keeps: bool,
}

impl Daemon {
    /// Connects to a daemon, and asks which API it speaks.
    ///
    /// # Errors
    /// A value makes no sense, a certificate cannot be used, or no daemon answers.
    pub fn connect(config: &DaemonConfig) -> Result<Self, Error> {
        Self::connect_with(config, Patience::default())
    }

    /// The same with another patience.
    pub(super) fn connect_with(config: &DaemonConfig, patience: Patience) -> Result<Self, Error> {
        let address = Address::parse(&config.host)?;
        let pool = Pool::new(address.clone(), tls(config, &address)?, patience);
        let connect = |cause| Error::Connect { address: address.to_string(), cause };
        let first = pool.take().map_err(connect)?;
        let spoken = ping(first)?;
        if matches!(address, Address::Unix(_)) {
            // Each serves a request, as a daemon may close those that never did.
            let others: Vec<Lease> = (1..CONNECTIONS).map_while(|_| pool.take_new().ok()).collect();
            others.into_iter().try_for_each(|lease| ping(lease).map(drop))?;
        }
        let given = config.api_version.trim_start_matches('v');
        let version = if given.is_empty() {
            spoken.unwrap_or(UNSAID).min(NEWEST)
        } else {
            ApiVersion::parse(given).ok_or_else(|| Error::ApiVersion(config.api_version.clone()))?
        };
        let prefix = format!("{}/v{}.{}", address.base(), version.0, version.1);
        Ok(Self(Arc::new(Inner { pool, prefix, has_platforms: version >= PLATFORMS })))
    }

    /// Says whether the daemon can be asked for an image of one platform.
    pub(super) fn has_platforms(&self) -> bool {
        self.0.has_platforms
    }

    /// Asks something; an answer that says no is an error.
    pub(super) fn call(&self, call: Call<'_>) -> Result<Answer, Error> {
        let target = target(&format!("{}{}", self.0.prefix, call.path), &call.query);
        let patience = self.0.pool.patience();
        let silence = if call.works { patience.work } else { patience.answer };
        let (lease, head, framing) = match call.content {
            None if call.method != "POST" => self.repeat(call.method, &target, silence)?,
            content => {
                let mut lease = self.lively()?;
                let (head, framing) = ask(&mut lease, call.method, &target, content, silence)?;
                (lease, head, framing)
            }
        };
        let body = Body { lease: Some(lease), framing, keeps: head.keeps() };
        if (200..300).contains(&head.status) {
            Ok(Answer { status: head.status, body })
        } else {
            Err(refusal(head.status, body))
        }
    }

    /// Asks whether the daemon is there.
    pub(super) fn ping(&self) -> Result<(), Error> {
        let (lease, head, framing) = self.repeat("HEAD", PING, self.0.pool.patience().answer)?;
        drop(Body { lease: Some(lease), framing, keeps: head.keeps() });
        Ok(())
    }

    /// Asks for something that may be asked twice: a connection that idled may be closed by now.
    fn repeat(&self, method: &'static str, target: &str, silence: Duration) -> Result<(Lease, Head, Framing), Error> {
        loop {
            let mut lease = self.take()?;
            match ask(&mut lease, method, target, None, silence) {
                Ok((head, framing)) => return Ok((lease, head, framing)),
                Err(error @ Error::Transport { .. }) if lease.idled && !error.is_silence() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A connection that is open for sure.
    fn lively(&self) -> Result<Lease, Error> {
        loop {
            let mut lease = self.take()?;
            if !lease.idled {
                return Ok(lease);
            }
            match ask(&mut lease, "HEAD", PING, None, self.0.pool.patience().answer) {
                Ok((head, _)) if head.keeps() => return Ok(lease),
                Err(error) if error.is_silence() => return Err(error),
                _ => {}
            }
        }
    }

    fn take(&self) -> Result<Lease, Error> {
        let pool = &self.0.pool;
        pool.take().map_err(|cause| Error::Connect { address: pool.address().to_string(), cause })
    }
}

/// Sends a request and reads the head of its answer. The daemon may be silent for so long, also within its answer.
fn ask(
    lease: &mut Lease,
    method: &'static str,
    target: &str,
    content: Option<Content<'_>>,
    silence: Duration,
) -> Result<(Head, Framing), Error> {
    let path = || target.split('?').next().unwrap_or_default().to_owned();
    let broken = |cause| Error::Transport { method, path: path(), cause };
    let host = lease.address().host_header();
    let connection = lease.connection().map_err(broken)?;
    connection.allow(silence);
    match connection.send(&Request { method, target, host: &host }, content) {
        Ok(()) => connection.answer(method).map_err(broken),
        Err(Unsent::Content(cause)) => Err(Error::Content(cause)),
        Err(Unsent::Connection(cause)) if cause.kind() == io::ErrorKind::TimedOut => Err(broken(cause)),
        // A daemon that has said why closes the connection: its words count more than the broken pipe (policy B32).
        Err(Unsent::Connection(cause)) => connection.answer(method).map_err(|_| broken(cause)),
    }
}

/// Asks whether a daemon is there, and gives the newest API that it speaks, if it says so.
fn ping(mut lease: Lease) -> Result<Option<ApiVersion>, Error> {
    let silence = lease.patience().answer;
    let (mut head, mut framing) = ask(&mut lease, "HEAD", PING, None, silence)?;
    if head.status != 200 {
        // Some can only be asked in this way.
        (head, framing) = ask(&mut lease, "GET", PING, None, silence)?;
    }
    let version = head.header("api-version").and_then(ApiVersion::parse);
    let body = Body { lease: Some(lease), framing, keeps: head.keeps() };
    if head.status >= 400 && version.is_none() {
        return Err(refusal(head.status, body));
    }
    io::copy(&mut body.take(REFUSAL_LIMIT), &mut io::sink()).ok();
    Ok(version)
}

/// What an answer says that says no: its `message`, or the start of whatever it has.
fn refusal(status: u16, body: Body) -> Error {
    let mut text = Vec::new();
    // What was read until the connection broke is better than nothing.
    let _ = body.take(REFUSAL_LIMIT).read_to_end(&mut text);
    let json = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let message = json.as_ref().and_then(|json| json["message"].as_str()).map_or_else(
        || {
            let words: Vec<_> = String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect();
            words.join(" ").chars().filter(|c| !c.is_control()).take(300).collect()
        },
        str::to_owned,
    );
    let message = if message.is_empty() { format!("status {status}") } else { message };
    Error::Refused { status, message }
}

fn tls(config: &DaemonConfig, address: &Address) -> Result<Option<Tls>, Error> {
    let Address::Tcp { tls, .. } = address else { return Ok(None) };
    let dir = (!config.cert_path.is_empty()).then(|| Path::new(&config.cert_path));
    // Certificates alone say whether a daemon at `tcp://` is spoken to with TLS, as in docker's clients.
    if dir.is_none() && !tls {
        return Ok(None);
    }
    Tls::new(dir, dir.is_none() || !config.tls_verify.is_empty()).map(Some)
}

/// A path with a query; values are encoded, and so is what must not stand in a path.
fn target(path: &str, query: &[(&'static str, String)]) -> String {
    let mut target = encode(path, b"/:@");
    for (index, (name, value)) in query.iter().enumerate() {
        let mark = if index == 0 { '?' } else { '&' };
        target.push(mark);
        target.push_str(name);
        target.push('=');
        target.push_str(&encode(value, b""));
    }
    target
}

fn encode(text: &str, kept: &[u8]) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

impl ApiVersion {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl Answer {
    /// Reads the whole body, of at most `limit` bytes.
    pub(super) fn read(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut body = self.body.take(limit + 1);
        body.read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the answer has more than {limit} bytes")));
        }
        Ok(bytes)
    }
}

impl Body {
    fn is_at_end(&self) -> bool {
        self.framing == Framing::Exact(0)
    }

    /// Gives the connection back if it can take another request.
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.keeps
            && self.is_at_end()
        {
            lease.give_back();
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(lease) = &mut self.lease else { return Ok(0) };
        let read = lease.connection().and_then(|connection| connection.read(&mut self.framing, buffer));
        match read {
            Ok(count) => {
                if self.is_at_end() {
                    self.finish();
                }
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.lease = None;
                Err(error)
            }
        }
    }
}

impl Drop for Body {
    /// What was not read is read to its end only where a new connection could not be opened.
    fn drop(&mut self) {
        if self.keeps && self.lease.as_ref().is_some_and(|lease| !lease.is_replaceable()) {
            let _ = io::copy(self, &mut io::sink());
        }
        self.finish();
    }
}
