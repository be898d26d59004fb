//! Where a daemon listens: `DOCKER_HOST` read as docker's own clients read it.
//!
//! Catalogue 1, section 1.8.

use std::fmt;
use std::path::PathBuf;

use super::Error;

/// Where docker listens when nobody says anything else.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket in the file system.
    Unix(PathBuf),
    /// `host:port`, and what stands before each path.
    Tcp {
        /// A name, an address, or an address in brackets.
        host: String,
        /// The port.
        port: u16,
        /// Starts with a slash, or is empty.
        base: String,
        /// `https://`: TLS, whatever else is said about it.
        tls: bool,
    },
}

impl Address {
    /// Reads the value of `DOCKER_HOST`; an empty one means the default.
    ///
    /// # Errors
    /// It is no address, or one that takes another program to reach, as `ssh://` does.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let text = if text.is_empty() { DEFAULT } else { text };
        let unparsable = || Error::Address(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(unparsable)?;
        match scheme {
            "unix" if !rest.is_empty() => Ok(Self::Unix(rest.into())),
            "tcp" | "http" | "https" => {
                let (authority, base) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
                let tls = scheme == "https";
                let (host, port) = match authority.rsplit_once(':') {
                    Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| unparsable())?),
                    _ => (authority, default_port(scheme)),
                };
                let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
                if !bare || host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@') {
                    return Err(unparsable());
                }
                // As Go does, an address without a host means this machine.
                let host = if host.is_empty() { "localhost" } else { host }.to_owned();
                Ok(Self::Tcp { host, port, base: base.trim_end_matches('/').to_owned(), tls })
            }
            _ => Err(unparsable()),
        }
    }

    /// What stands before the path of each request.
    pub(super) fn base(&self) -> &str {
        if let Self::Tcp { base, .. } = self { base } else { "" }
    }

    /// The value of the `Host` header. A socket has no host, but the header must be there.
    pub(super) fn host_header(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "http" => 80,
        "https" => 443,
        _ => 2375,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix {}", path.display()),
            Self::Tcp { host, port, .. } => write!(f, "tcp {host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Address::parse(text).map_or_else(
            |error| error.to_string(),
            |address| format!("{address} {}{}", address.host_header(), address.base()),
        )
    }

    #[test]
    fn reads_what_docker_reads() {
        for (text, expected) in [
            ("", "unix /var/run/docker.sock localhost"),
            ("unix:///run/user/1/docker.sock", "unix /run/user/1/docker.sock localhost"),
            ("tcp://10.0.0.1:2376", "tcp 10.0.0.1:2376 10.0.0.1:2376"),
            ("tcp://docker", "tcp docker:2375 docker:2375"),
            ("tcp://[::1]:1", "tcp [::1]:1 [::1]:1"),
            ("tcp://[::1]", "tcp [::1]:2375 [::1]:2375"),
            ("tcp://:1", "tcp localhost:1 localhost:1"),
            ("https://a.io/engine/", "tcp a.io:443 a.io:443/engine"),
        ] {
            assert_eq!(parsed(text), expected);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in
            ["x", "unix://", "ssh://a", "npipe:////./pipe/x", "tcp://a:b", "tcp://::1", "tcp://a b:1", "tcp://u@a"]
        {
            assert_eq!(parsed(text), format!("unable to parse docker host `{text}`"));
        }
    }
}
