//! Which registries may be spoken to without TLS, or with certificates that nobody checks.
//!
//! Catalogue 1, section 1.9; policy P22: an entry means one registry, or one repository prefix of it, never a text that
//! begins alike.

use std::net::IpAddr;

use crate::model::reference::DEFAULT_REGISTRY;
use crate::net::proxy::host;

/// A registry, or a part of one, that the platform calls insecure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insecure {
    registry: String,
    prefix: String,
}

impl Insecure {
    /// Reads `host[:port]` or `host[:port]/prefix`; a scheme before it and a tag behind it are dropped.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (registry, prefix) = text.split_once('/').unwrap_or((text, ""));
        if registry.is_empty() {
            return None;
        }
        let registry = if registry == "docker.io" { DEFAULT_REGISTRY } else { registry };
        let prefix = prefix.split([':', '@']).next().unwrap_or_default().trim_end_matches('/');
        Some(Self { registry: registry.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whether it means this repository.
    pub(super) fn matches(&self, registry: &str, repository: &str) -> bool {
        self.registry == registry
            && (self.prefix.is_empty()
                || repository.strip_prefix(&self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

/// Whether a registry is on this machine or in a private network, where http is tried too.
pub(super) fn is_local(registry: &str) -> bool {
    is_loopback(registry) || matches!(address(registry), Some(IpAddr::V4(ip)) if ip.is_private())
}

/// Whether a registry is on this machine.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = host(registry);
    host == "localhost" || host.ends_with(".localhost") || address(registry).is_some_and(|ip| ip.is_loopback())
}

/// The address that a host is, which may be an IPv4 one in the clothes of IPv6.
fn address(authority: &str) -> Option<IpAddr> {
    host(authority).parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Whether an address is one that a registry on the internet has no business to send anybody to.
pub(super) fn is_inner_address(authority: &str) -> bool {
    match address(authority) {
        Some(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        Some(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_unique_local()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(entry: &str, registry: &str, repository: &str) -> bool {
        Insecure::parse(entry).unwrap().matches(registry, repository)
    }

    #[test]
    fn an_entry_is_a_registry_and_no_text_that_begins_alike() {
        assert!(matches("a.io", "a.io", "x"));
        assert!(!matches("a.io", "a.io.evil", "x"));
        assert!(!matches("localhost:50", "localhost:5055", "x"));
        assert!(!matches("a.io", "a.io:5000", "x"));
        assert!(matches("http://a.io:5000/", "a.io:5000", "x"));
        assert!(matches("docker.io", "index.docker.io", "library/x"));
    }

    #[test]
    fn an_entry_may_be_a_part_of_a_registry() {
        assert!(matches("host.docker.internal/bar", "host.docker.internal", "bar"));
        assert!(matches("a.io/bar:tag", "a.io", "bar"));
        assert!(matches("a.io/bar", "a.io", "bar/baz"));
        assert!(!matches("a.io/bar", "a.io", "barn"));
    }

    #[test]
    fn knows_local_registries() {
        for local in [
            "localhost:5000",
            "x.localhost",
            "127.0.0.1:5000",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1:80",
            "[::1]:5000",
        ] {
            assert!(is_local(local), "{local}");
        }
        for other in ["a.io", "172.32.0.1", "8.8.8.8:5000", "localhost.evil.io", "[2001:db8::1]:5000"] {
            assert!(!is_local(other), "{other}");
        }
        for inner in ["169.254.169.254", "[::ffff:169.254.169.254]:80", "[::ffff:10.0.0.1]", "[::ffff:7f00:1]"] {
            assert!(is_inner_address(inner), "{inner}");
        }
        assert!(is_local("[::ffff:127.0.0.1]:5000") && !is_inner_address("[::ffff:8.8.8.8]"));
    }
}
