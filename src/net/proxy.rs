//! Proxies, and which hosts are reached without one.

use std::net::IpAddr;

use super::decoded;
use crate::model::env::Environment;

/// Proxies, as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` give them; empty texts mean none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For https.
    pub https: String,
    /// For http.
    pub http: String,
    /// Hosts without proxy, separated by commas.
    pub none: String,
}

impl Proxies {
    /// Reads the variables: the upper case ones first, and an empty one is none.
    pub fn of(env: &Environment) -> Self {
        let proxy = |upper: &str, lower: &str| {
            let value = env.get(upper).filter(|value| !value.is_empty()).or_else(|| env.get(lower));
            value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
        };
        Self {
            https: proxy("HTTPS_PROXY", "https_proxy"),
            http: proxy("HTTP_PROXY", "http_proxy"),
            none: proxy("NO_PROXY", "no_proxy"),
        }
    }

    /// The proxy before the server at `host[:port]`, if there is one. It is spoken to in plain HTTP: with others a login
    /// would go through the net in clear where TLS was asked for, or requests past the proxy.
    ///
    /// # Errors
    /// Its address is that of none, or of another kind: a sentence that names the variable.
    pub(crate) fn before(&self, authority: &str, tls: bool) -> Result<Option<ureq::Proxy>, String> {
        let (name, proxy) = if tls { ("HTTPS_PROXY", &self.https) } else { ("HTTP_PROXY", &self.http) };
        if proxy.is_empty() || is_direct(authority, &self.none) {
            return Ok(None);
        }
        let proxy = ureq::Proxy::new(proxy).ok().filter(|proxy| proxy.protocol() == ureq::ProxyProtocol::Http);
        proxy.map(Some).ok_or_else(|| {
            format!("{name} is no address of an http proxy, and no other is used; one is http://proxy.example.com:3128")
        })
    }

    /// What nobody may see of them.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = String> {
        [&self.https, &self.http].into_iter().flat_map(|url| secrets(url))
    }
}

/// User and password in front of a host: together, and the password alone, or the user where that is empty; as it is
/// written, and decoded.
pub(crate) fn secrets(url: &str) -> Vec<String> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return Vec::new() };
    let alone = match user.split_once(':') {
        Some((user, "")) => user,
        Some((_, password)) => password,
        None => "",
    };
    [user, alone].into_iter().flat_map(|text| [text.to_owned(), decoded(text.as_bytes())]).collect()
}

/// Whether a host is reached without proxy: this machine, and what `NO_PROXY` names as curl and Go read it: `*`, hosts
/// with all that end in them, addresses and networks, each with a port or without.
fn is_direct(authority: &str, none: &str) -> bool {
    let host = host(authority).to_ascii_lowercase();
    let ip = host.parse::<IpAddr>().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    none.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" || entry == authority.to_ascii_lowercase() {
            return true;
        }
        if let (Some((network, bits)), Some(ip)) = (entry.split_once('/'), ip) {
            return contains(network, bits, ip).unwrap_or(false);
        }
        let name = entry.trim_start_matches('*');
        let suffix = if name.starts_with('.') { name.to_owned() } else { format!(".{name}") };
        host.ends_with(&suffix) || (!entry.starts_with(['.', '*']) && host == entry)
    })
}

fn contains(network: &str, bits: &str, ip: IpAddr) -> Option<bool> {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let (network, width) = number(network.parse().ok()?);
    let (ip, other) = number(ip);
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= width && width == other)?;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    Some(network & mask == ip & mask)
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
pub(crate) fn host(authority: &str) -> &str {
    if let Some((host, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_hosts_have_no_proxy() {
        let none = "a.io, .b.io,*.c.io,10.0.0.0/8,d.io:5000,192.168.1.1,fd00::/8";
        for direct in [
            "localhost:5000",
            "127.0.0.1",
            "a.io",
            "x.a.io:80",
            "x.b.io",
            "x.c.io",
            "10.9.8.7:5000",
            "d.io:5000",
            "192.168.1.1:80",
            "[fd12::1]:5000",
        ] {
            assert!(is_direct(direct, none), "{direct}");
        }
        for proxied in ["ba.io", "b.io", "c.io", "11.0.0.1", "d.io", "192.168.1.2", "[2001:db8::1]"] {
            assert!(!is_direct(proxied, none), "{proxied}");
        }
        assert!(is_direct("z.io", "*"));
    }
}
