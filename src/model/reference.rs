//! Names of images.
//!
//! The grammar is the one of the reference's registry library: weak, so a missing registry is `index.docker.io`, a
//! missing namespace there is `library`, a missing tag is `latest`. Catalogue 1, section 1.9.

use std::fmt;

use super::digest::Digest;

/// The registry of names that have none.
pub const DEFAULT_REGISTRY: &str = "index.docker.io";

/// A parsed image name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    version: Version,
}

/// Which version of a repository a name means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A tag.
    Tag(String),
    /// A manifest's digest; a tag beside it was dropped.
    Digest(Digest),
}

/// The text is no image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not parse reference: {0}")]
pub struct ReferenceError(pub String);

impl Reference {
    /// Reads an image name.
    ///
    /// # Errors
    /// The repository is shorter than 2 or longer than 255 characters or has others than `a-z 0-9 _ . / -`, a tag has
    /// another form than 1 to 128 of `A-Z a-z 0-9 _ . -`, or a digest is no `sha256:<hex>`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Self::parse_inner(text).ok_or_else(|| ReferenceError(text.to_owned()))
    }

    fn parse_inner(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest).ok()?)),
            None => (text, None),
        };
        // A colon after the last slash separates a tag; one before it belongs to a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag {
            let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if !(1..=128).contains(&tag.len()) || !tag.bytes().all(valid) {
                return None;
            }
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => (first, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if registry == "docker.io" { DEFAULT_REGISTRY } else { registry };
        let valid_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-' | b'_' | b'[' | b']');
        // `..` would be a registry by its dots, and lead out of a layout folder.
        if !registry.bytes().all(valid_host) || !registry.bytes().any(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        // A port is a number; the colons of an address in brackets separate none.
        let port = registry.rsplit_once(':').filter(|_| !registry.ends_with(']')).map_or("", |(_, port)| port);
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'/' | b'-');
        if !(2..=255).contains(&repository.len()) || !repository.bytes().all(valid) {
            return None;
        }
        // What lies in a layout folder or a URL under this name must not lead elsewhere.
        if repository.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return None;
        }
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let version = match digest {
            Some(digest) => Version::Digest(digest),
            None => Version::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Some(Self { registry: registry.to_owned(), repository, version })
    }

    /// The registry's `host[:port]`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry, such as `library/ubuntu`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag or digest.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The tag or digest as text, as a registry's URL has it.
    pub fn identifier(&self) -> &str {
        match &self.version {
            Version::Tag(tag) => tag,
            Version::Digest(digest) => digest.as_str(),
        }
    }

    /// `<registry>/<repository>`, without a version.
    pub fn context(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository at another version.
    pub fn at(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }
}

impl fmt::Display for Reference {
    /// Prints the full name: `<registry>/<repository>:<tag>` or `...@<digest>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}/{}:{tag}", self.registry, self.repository),
            Version::Digest(digest) => write!(f, "{}/{}@{digest}", self.registry, self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        Reference::parse(text).map_or_else(|error| error.to_string(), |reference| reference.to_string())
    }

    #[test]
    fn fills_in_what_is_missing() {
        for (text, expected) in [
            ("busybox", "index.docker.io/library/busybox:latest"),
            ("my/app:1", "index.docker.io/my/app:1"),
            ("docker.io/my/app", "index.docker.io/my/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:v", "localhost:5000/app:v"),
            ("127.0.0.1:5055/run", "127.0.0.1:5055/run:latest"),
            ("a.io/xy", "a.io/xy:latest"),
            ("[::1]/xy", "[::1]/xy:latest"),
            ("[::1]:5000/xy:v", "[::1]:5000/xy:v"),
        ] {
            assert_eq!(full(text), expected, "{text}");
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(full(&format!("a.io/xy:tag@{digest}")), format!("a.io/xy@{digest}"));
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in [
            "",
            "x",
            "a.io/x",
            "UPPER/case",
            "a b",
            "a.io/xy:",
            "a.io/xy@sha256:12",
            "a@b@c",
            "a.io/../xy",
            "../xy",
            "./xy",
            "/ab",
            "ab/",
            "a.io//xy",
            "a.io/xy:t/",
            "a.io:x/xy",
            "a.io:5000x/xy",
        ] {
            assert_eq!(full(text), format!("could not parse reference: {text}"));
        }
    }

    #[cfg(feature = "images")]
    mod fuzz {
        use super::*;
        use crate::model::id::{LayerName, ModuleId};

        /// A full name means what the short one meant; ids and layers are folders in the folder that they belong to.
        #[test]
        fn names_of_images_and_modules() {
            crate::fuzz::parser("reference", 2_000, &[], |bytes| {
                let text = String::from_utf8_lossy(bytes);
                let text = text.trim_end_matches('\n');
                if let Ok(reference) = Reference::parse(text) {
                    assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
                }
                let is_inside = |name: &str| !name.contains('/') && !["", ".", ".."].contains(&name);
                assert!(ModuleId::parse(text).map_or(true, |id| is_inside(&id.escaped())));
                assert!(LayerName::parse(text).map_or(true, |name| is_inside(name.as_str())));
            });
        }
    }
}
