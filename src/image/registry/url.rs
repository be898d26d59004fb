//! Addresses of requests, printed without what may be secret in them.

use std::fmt;

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    /// `https`
    Https,
    /// `http`
    Http,
}

/// An absolute address. Its text has neither query nor fragment: signatures and tokens are there.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    scheme: Scheme,
    authority: String,
    path: String,
    query: String,
}

impl Url {
    /// `<scheme>://<authority><path>`; the path begins with a slash and has no query.
    pub(super) fn new(scheme: Scheme, authority: &str, path: impl Into<String>) -> Self {
        Self { scheme, authority: authority.to_owned(), path: path.into(), query: String::new() }
    }

    /// Reads an absolute address. One with a user in it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        let path = path.split('#').next().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = if path.is_empty() { "/" } else { path };
        Some(Self { scheme, authority: authority.to_owned(), path: path.to_owned(), query: query.to_owned() })
    }

    /// Reads an address that a server sent, which may be relative to this one. A server behind a proxy may not know
    /// that it is reached by https: its own address keeps the scheme that works.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        if location.contains("://") {
            let url = Self::parse(location)?;
            let downgraded = self.is_same_host(&url) && self.scheme == Scheme::Https;
            return Some(if downgraded { Self { scheme: Scheme::Https, ..url } } else { url });
        }
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = if location.starts_with('/') {
            location.to_owned()
        } else {
            let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        Self::parse(&format!("{scheme}://{}{path}", self.authority))
    }

    /// The same address with one more parameter, whose value is encoded here.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(name);
        self.query.push('=');
        self.query.push_str(&encode(value));
        self
    }

    /// The protocol.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `host[:port]`
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The whole address, for the wire alone.
    pub(super) fn secret_text(&self) -> String {
        if self.query.is_empty() { self.to_string() } else { format!("{self}?{}", self.query) }
    }

    /// Whether both are of one server: what may be told to one may be told to the other.
    pub(super) fn is_same_host(&self, other: &Self) -> bool {
        let plain = |url: &Self| {
            let authority = url.authority.to_ascii_lowercase();
            let port = if url.scheme == Scheme::Https { ":443" } else { ":80" };
            authority.strip_suffix(port).map_or_else(|| authority.clone(), str::to_owned)
        };
        plain(self) == plain(other)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Percent-encodes the value of a parameter, of a query or a form.
pub(super) fn encode(value: &str) -> String {
    use fmt::Write as _;
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(base: &str, location: &str) -> String {
        Url::parse(base).unwrap().join(location).map_or("none".to_owned(), |url| url.secret_text())
    }

    #[test]
    fn joins_what_servers_send() {
        let base = "https://a.io/v2/x/blobs/uploads/?from=y";
        for (location, expected) in [
            ("/v2/x/blobs/uploads/1?state=2", "https://a.io/v2/x/blobs/uploads/1?state=2"),
            ("1", "https://a.io/v2/x/blobs/uploads/1"),
            ("//b.io/z", "https://b.io/z"),
            ("https://b.io?q=1", "https://b.io/?q=1"),
            ("http://b.io/z", "http://b.io/z"),
            ("http://a.io/z", "https://a.io/z"),
            ("ftp://a.io/z", "none"),
            ("https://user:pw@a.io/z", "none"),
        ] {
            assert_eq!(join(base, location), expected, "{location}");
        }
    }

    #[test]
    fn its_text_has_no_query() {
        let url = Url::parse("https://a.io/x?sig=secret").unwrap().with("digest", "sha256:ab");
        assert_eq!(format!("{url} {url:?}"), "https://a.io/x https://a.io/x");
        assert_eq!(url.secret_text(), "https://a.io/x?sig=secret&digest=sha256%3Aab");
    }

    #[test]
    fn knows_the_same_host_by_its_usual_port() {
        let url = |text| Url::parse(text).unwrap();
        assert!(url("https://a.io:443/x").is_same_host(&url("https://A.io/y")));
        assert!(!url("https://a.io:5000/x").is_same_host(&url("https://a.io/y")));
        assert!(!url("https://a.io.evil/x").is_same_host(&url("https://a.io/y")));
    }
}
