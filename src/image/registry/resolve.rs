//! How ureq finds the addresses of a host: by our own lookup instead of the C library's.

use std::io;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::os::lookup::Lookup;

/// The longest that a lookup takes where ureq knows no time limit.
const LONGEST: Duration = Duration::from_secs(60);

/// Finds addresses as the system's files say. What fails is an [`io::Error`] around a
/// [`LookupError`](crate::os::lookup::LookupError), also when time is up: it names the name server.
#[derive(Debug)]
pub(super) struct HostResolver(pub(super) Lookup);

impl Resolver for HostResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let bad_uri = || Error::BadUri(uri.to_string());
        let authority = uri.authority().ok_or_else(bad_uri)?;
        let usual_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(usual_port);
        let by = Instant::now() + LONGEST.min(*timeout.after);
        let found = self.0.addresses(authority.host(), by).map_err(|error| Error::Io(io::Error::other(error)))?;
        let found = found.into_iter().map(|address| (address, port).into());
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found) {
            // What there is no room for is not tried.
            let _ = addresses.try_push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}
