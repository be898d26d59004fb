//! How ureq finds the addresses of a host: by our own lookup instead of the C library's.
//!
//! ureq asks before each request, also when it then uses a connection that is open; so answers are remembered a while.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::os::lookup::{Lookup, LookupError};

/// The longest that a lookup takes where ureq knows no time limit.
const LONGEST: Duration = Duration::from_secs(60);
/// How long addresses are remembered: less than tries of one request go on, so that the last ones find a registry that
/// has moved.
const REMEMBERED: Duration = Duration::from_secs(20);

/// Finds addresses as the system's files say. What fails is an [`io::Error`] around a [`LookupError`], also when time
/// is up: it names the name server.
#[derive(Clone, Debug)]
pub(crate) struct HostResolver {
    lookup: Lookup,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

/// Addresses and since when they are known.
type Known = (Instant, Vec<IpAddr>);

impl HostResolver {
    pub(crate) fn new(lookup: Lookup) -> Self {
        Self { lookup, known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self, host: &str, limit: Duration) -> Result<Vec<IpAddr>, LookupError> {
        let now = Instant::now();
        if let Some((since, addresses)) = self.known().get(host)
            && now.duration_since(*since) < REMEMBERED
        {
            return Ok(addresses.clone());
        }
        let addresses = self.lookup.addresses(host, now + limit)?;
        self.known().insert(host.to_owned(), (now, addresses.clone()));
        Ok(addresses)
    }
}

impl Resolver for HostResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let authority = uri.authority().ok_or_else(|| Error::BadUri(uri.to_string()))?;
        let usual_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(usual_port);
        let limit = LONGEST.min(*timeout.after);
        let found = self.addresses(authority.host(), limit).map_err(|error| Error::Io(io::Error::other(error)))?;
        let found = found.into_iter().map(|address| (address, port).into());
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found) {
            // What there is no room for is not tried.
            let _ = addresses.try_push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(resolver: &HostResolver, uri: &str) -> String {
        let found = resolver.resolve(&uri.parse().unwrap(), &Config::default(), NextTimeout::default());
        found.map_or_else(|error| error.to_string(), |found| format!("{:?}", &found[..]))
    }

    #[test]
    fn gives_addresses_with_the_port_of_the_address_or_its_scheme() {
        let resolver = HostResolver::new(Lookup::default());
        assert_eq!(resolve(&resolver, "https://127.0.0.2/v2/"), "[127.0.0.2:443]");
        assert_eq!(resolve(&resolver, "http://[::1]/v2/"), "[[::1]:80]");
        assert_eq!(resolve(&resolver, "http://user:secret@127.0.0.2:5000/v2/"), "[127.0.0.2:5000]");
    }

    #[test]
    fn remembers_what_it_found_and_not_that_it_found_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (hosts, resolv_conf) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
        let resolver = HostResolver::new(Lookup { hosts: hosts.clone(), resolv_conf, port: 1 });
        assert_eq!(resolve(&resolver, "http://a.invalid"), "io: lookup a.invalid: no such host");
        std::fs::write(&hosts, "127.0.0.2 a.invalid").unwrap();
        assert_eq!(resolve(&resolver, "http://a.invalid"), "[127.0.0.2:80]");
        std::fs::remove_file(&hosts).unwrap();
        assert_eq!(resolve(&resolver.clone(), "https://a.invalid"), "[127.0.0.2:443]");
    }

    #[test]
    fn keeps_as_many_addresses_as_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        let many: Vec<String> = (1..40).map(|number| format!("127.0.0.{number} a.invalid\n")).collect();
        std::fs::write(&hosts, many.concat()).unwrap();
        let resolver = HostResolver::new(Lookup { hosts, ..Lookup::default() });
        assert_eq!(resolve(&resolver, "http://a.invalid").split(", ").count(), 16);
    }
}
