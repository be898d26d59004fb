//! The addresses of hosts: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! The program is one static binary that runs in any image. A static glibc looks names up through plug-ins that an
//! image may lack, musl does it in its own way, and neither keeps a time limit. So no C library is asked, wherever the
//! program runs: one behaviour, the tested one, in the reference's words (it does not ask the C library either).
//! Services that only glibc's plug-ins know, such as LDAP or mDNS, are not asked.

mod config;
mod message;
mod server;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error_text;
use config::Config;
use message::Name;

/// Domains that name servers are not asked about: nothing is in them, or they are no business of theirs (RFC 6761,
/// RFC 7686).
const UNASKED: [&str; 2] = [".invalid", ".onion"];

/// Where the addresses of hosts are found. The files are read for each lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Addresses with their names, as in hosts(5).
    pub hosts: PathBuf,
    /// The name servers, as in resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// The port of the name servers.
    pub port: u16,
}

impl Default for Lookup {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }
}

/// Why a host has no address, in the reference's words.
#[derive(Debug, thiserror::Error)]
#[error("lookup {host}{}: {cause}", on(*server))]
pub struct LookupError {
    /// The host.
    pub host: String,
    /// The name server that was asked last, if one was.
    pub server: Option<SocketAddr>,
    /// What happened.
    pub cause: Cause,
}

/// What happened in a lookup without result.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// There is none of this name, or it has no address.
    #[error("no such host")]
    NoSuchHost,
    /// The server does not know, now or ever, or its answer makes no sense.
    #[error("server misbehaving")]
    Misbehaving,
    /// There was no answer in time.
    #[error("i/o timeout")]
    Timeout,
    /// The server could not be reached.
    #[error("{}", error_text(.0))]
    Unreachable(io::Error),
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout,
            _ => Self::Unreachable(error),
        }
    }
}

impl LookupError {
    /// Says whether trying again may help.
    pub fn is_temporary(&self) -> bool {
        !matches!(self.cause, Cause::NoSuchHost)
    }
}

fn on(server: Option<SocketAddr>) -> String {
    server.map(|server| format!(" on {server}")).unwrap_or_default()
}

impl Lookup {
    /// Finds the addresses of a host, at least one, in the order in which they are to be tried: a name, or an address
    /// itself. It takes no longer than until `by`.
    pub fn addresses(&self, host: &str, by: Instant) -> Result<Vec<IpAddr>, LookupError> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let known = config::addresses_in_hosts(&text_of(&self.hosts), host);
        if !known.is_empty() {
            return Ok(in_order(known));
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let found = if UNASKED.iter().any(|domain| name.ends_with(domain)) {
            Err((None, Cause::NoSuchHost))
        } else {
            self.ask(host, by)
        };
        found.map(in_order).map_err(|(server, cause)| LookupError { host: host.to_owned(), server, cause })
    }

    /// Asks for all that a host may be short for, until something has an address.
    fn ask(&self, host: &str, by: Instant) -> Result<Vec<IpAddr>, (Option<SocketAddr>, Cause)> {
        let config = Config::parse(&text_of(&self.resolv_conf), self.port);
        let mut failed = None;
        for name in config.candidates(host).iter().filter_map(|name| Name::parse(name)) {
            match ask_all(&config, &name, by) {
                Ok((_, found)) if !found.is_empty() => return Ok(found),
                Ok((server, _)) => failed = failed.or(Some((Some(server), Cause::NoSuchHost))),
                // Servers that fail for one domain may know another, but then nobody can say that there is no such host.
                Err((server, cause)) => failed = Some((Some(server), cause)),
            }
        }
        Err(failed.unwrap_or((None, Cause::NoSuchHost)))
    }
}

/// Asks one server after the other for a name, as often as is configured, until one can say. It is told with the result.
fn ask_all(config: &Config, name: &Name, by: Instant) -> Result<(SocketAddr, Vec<IpAddr>), (SocketAddr, Cause)> {
    let mut failed = (config.servers[0], Cause::Timeout);
    for _ in 0..config.attempts {
        for server in &config.servers {
            let now = Instant::now();
            if now >= by {
                return Err(failed);
            }
            match server::ask(*server, name, config.use_vc, by.min(now + config.timeout)) {
                Ok(found) => return Ok((*server, found)),
                Err(cause) => failed = (*server, cause),
            }
        }
    }
    Err(failed)
}

/// Sorts addresses: first those that this machine has a route to, of these first IPv4. RFC 6724 prefers IPv6, but it
/// counts on addresses being tried side by side; here, an IPv6 that leads nowhere would cost the whole time to connect.
fn in_order(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_cached_key(|address| (!has_route(*address), address.is_ipv6()));
    addresses.dedup();
    addresses
}

/// Nothing is sent to find this out.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 53))).is_ok()
}

/// The text of a file, without what is no text; nothing if it cannot be read, as for every C library.
fn text_of(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
