//! Credentials for registries.
//!
//! Catalogue 1, section 1.9, "Keychain"; policy P27. A [`Keychain`] is a value: the program builds it from text and
//! files before it drops privileges, and nothing here reads the environment. Where credentials came from may be told;
//! what they are never is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::model::reference::DEFAULT_REGISTRY;

/// A text that nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the wire alone.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What proves to a registry who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, as base64 of `<user>:<password>`.
    Basic(Secret),
    /// A token that is sent to the registry as it is.
    RegistryToken(Secret),
    /// A token for which a token server gives others.
    IdentityToken(Secret),
    /// Something of no known form: using it is an error.
    Unknown,
}

impl Credential {
    /// Of a user and a password.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic(Secret(STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Reads the value of a header: `Basic <base64>`, `Bearer <token>` or `X-Identity <token>`.
    fn from_header(header: &str) -> Self {
        let (kind, value) = header.trim().split_once(' ').unwrap_or((header, ""));
        let value = Secret(value.trim().to_owned());
        match kind.to_ascii_lowercase().as_str() {
            "basic" => Self::Basic(value),
            "bearer" => Self::RegistryToken(value),
            "x-identity" => Self::IdentityToken(value),
            _ => Self::Unknown,
        }
    }
}

/// Why `CNB_REGISTRY_AUTH` cannot be read. The place is told, not the text, which is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading auth env var: failed to parse CNB_REGISTRY_AUTH value: {0}")]
pub struct RegistryAuthError(String);

/// Credentials of several registries; the first that fits wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keychain {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    registry: String,
    /// A repository, or the start of one; empty for all of the registry.
    repository: String,
    credential: Credential,
    source: &'static str,
}

impl Keychain {
    /// Without credentials.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads `CNB_REGISTRY_AUTH`: a JSON object from hosts or URLs to header values. An empty text is an empty object.
    ///
    /// # Errors
    /// It is anything else.
    pub fn from_registry_auth(json: &str) -> Result<Self, RegistryAuthError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let value: Value = serde_json::from_str(json).map_err(|error| {
            RegistryAuthError(format!("invalid JSON at line {} column {}", error.line(), error.column()))
        })?;
        let wrong = || RegistryAuthError("it is no JSON object from registries to texts".to_owned());
        let mut entries = Vec::new();
        for (key, header) in value.as_object().ok_or_else(wrong)? {
            let credential = Credential::from_header(header.as_str().ok_or_else(wrong)?);
            let (registry, _) = split(key);
            entries.push(Entry { registry, repository: String::new(), credential, source: "CNB_REGISTRY_AUTH" });
        }
        Ok(Self { entries })
    }

    /// Adds credentials of a registry, behind those that are there.
    pub fn push(&mut self, registry: &str, credential: Credential, source: &'static str) {
        let (registry, _) = split(registry);
        self.entries.push(Entry { registry, repository: String::new(), credential, source });
    }

    /// Adds all credentials of another keychain, behind those that are there.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }

    /// Every text that must not be seen: for who takes them out of what is printed. Those of users and passwords are
    /// there as they are sent, decoded, and the password alone.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for entry in &self.entries {
            match &entry.credential {
                Credential::RegistryToken(secret) | Credential::IdentityToken(secret) => secrets.push(secret.0.clone()),
                Credential::Basic(secret) => {
                    secrets.push(secret.0.clone());
                    let decoded = STANDARD.decode(&secret.0).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    let decoded = decoded.unwrap_or_default();
                    secrets.extend(decoded.split_once(':').map(|(_, password)| password.to_owned()));
                    secrets.push(decoded);
                }
                Credential::Unknown => {}
            }
        }
        secrets
    }

    /// The credentials for a repository of a registry: of the first source that has any, those that are meant for most
    /// of its name.
    pub(super) fn find(&self, registry: &str, repository: &str) -> Option<&Credential> {
        self.entry(registry, repository).map(|entry| &entry.credential)
    }

    /// Where the credentials of a registry came from: for a debug line.
    pub fn source(&self, registry: &str) -> Option<&'static str> {
        self.entry(registry, "").map(|entry| entry.source)
    }

    fn entry(&self, registry: &str, repository: &str) -> Option<&Entry> {
        let registry = if registry == "docker.io" { DEFAULT_REGISTRY } else { registry };
        let fits = |entry: &&Entry| {
            let rest = repository.strip_prefix(&entry.repository);
            entry.registry == registry
                && (entry.repository.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        let first = self.entries.iter().find(fits)?;
        let same_source = self.entries.iter().filter(fits).filter(|entry| entry.source == first.source);
        // Of several as long, the first: `max_by_key` would take the last.
        same_source.rev().max_by_key(|entry| entry.repository.len())
    }
}

/// What docker's configuration says of credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    keychain: Keychain,
    helpers: Vec<(String, String)>,
    store: Option<String>,
}

impl DockerConfig {
    /// Reads the JSON of docker's `config.json` or podman's `auth.json`. What cannot be read is left out: a broken
    /// configuration means to be anonymous.
    pub fn parse(json: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(json) else { return Self::default() };
        let entries = |key: &str| value[key].as_object().into_iter().flatten();
        let keychain = Keychain {
            entries: entries("auths")
                .filter_map(|(key, auth)| {
                    let (registry, repository) = split(key);
                    Some(Entry { registry, repository, credential: inline(auth)?, source: "docker config" })
                })
                .collect(),
        };
        let helpers =
            entries("credHelpers").filter_map(|(key, name)| Some((split(key).0, name.as_str()?.to_owned()))).collect();
        let store = value["credsStore"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        Self { keychain, helpers, store }
    }

    /// The credentials that are in the configuration itself.
    pub fn keychain(&self) -> &Keychain {
        &self.keychain
    }

    /// The name of the helper that is to be asked for a registry, if one is: the one named for it, else the one for all.
    pub fn helper(&self, registry: &str) -> Option<&str> {
        let named = self.helpers.iter().find(|(host, _)| host == registry).map(|(_, name)| name);
        named.or(self.store.as_ref()).map(String::as_str)
    }
}

/// The credential of an entry of `auths`.
fn inline(auth: &Value) -> Option<Credential> {
    let text = |key: &str| auth[key].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("registrytoken") {
        return Some(Credential::RegistryToken(Secret::new(token)));
    }
    if let Some(token) = text("identitytoken") {
        return Some(Credential::IdentityToken(Secret::new(token)));
    }
    if let Some(encoded) = text("auth") {
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        let (user, password) = decoded.split_once(':')?;
        return Some(Credential::basic(user, password.trim_end_matches('\0')));
    }
    Some(Credential::basic(text("username")?, text("password")?))
}

/// Reads what a credential helper printed: a JSON object with `Username` and `Secret`.
pub(super) fn from_helper(json: &[u8]) -> Option<Credential> {
    let value: Value = serde_json::from_slice(json).ok()?;
    let secret = value["Secret"].as_str().filter(|secret| !secret.is_empty())?;
    match value["Username"].as_str()? {
        "<token>" => Some(Credential::IdentityToken(Secret::new(secret))),
        user => Some(Credential::basic(user, secret)),
    }
}

/// A registry's host, and the repository that a key may name besides. The path of a URL, as in
/// `https://index.docker.io/v1/`, names none.
fn split(key: &str) -> (String, String) {
    let key = key.trim();
    let (is_url, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key),
    };
    let (registry, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let path = if is_url || path == "v1" || path == "v2" { "" } else { path };
    let registry = if registry == "docker.io" { DEFAULT_REGISTRY } else { registry };
    (registry.to_owned(), path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Credential {
        Credential::RegistryToken(Secret::new(text))
    }

    #[test]
    fn reads_every_form_of_registry_auth() {
        let keychain = Keychain::from_registry_auth(
            r#"{"a.io":"Basic dTpw","https://b.io/v2/":"bearer tok","http://c.io:5000":"X-Identity id","d.io":"What x",
               "docker.io":"Bearer hub"}"#,
        )
        .unwrap();
        for (registry, expected) in [
            ("a.io", Credential::basic("u", "p")),
            ("b.io", token("tok")),
            ("c.io:5000", Credential::IdentityToken(Secret::new("id"))),
            ("d.io", Credential::Unknown),
            ("index.docker.io", token("hub")),
        ] {
            assert_eq!(keychain.find(registry, "x/y"), Some(&expected), "{registry}");
        }
        assert_eq!(keychain.find("c.io", "x"), None);
        assert_eq!(keychain.source("a.io"), Some("CNB_REGISTRY_AUTH"));
    }

    #[test]
    fn tells_where_registry_auth_is_wrong_but_not_what_it_is() {
        for text in [r#"{"a.io": "Basic s3cret"#, "s3cret", r#"["s3cret"]"#, r#"{"a.io":{"s3cret":1}}"#] {
            let error = Keychain::from_registry_auth(text).unwrap_err().to_string();
            assert!(error.starts_with("reading auth env var: failed to parse CNB_REGISTRY_AUTH value: "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert_eq!(Keychain::from_registry_auth("{}"), Ok(Keychain::anonymous()));
        assert_eq!(Keychain::from_registry_auth(""), Ok(Keychain::anonymous()));
    }

    #[test]
    fn prints_no_secret() {
        let mut keychain = Keychain::from_registry_auth(r#"{"a.io":"Basic czNjcmV0"}"#).unwrap();
        keychain.push("b.io", Credential::basic("me", "s3cret"), "test");
        let text = format!("{keychain:?}");
        assert!(!text.contains("czNjcmV0") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn reads_every_form_of_docker_config() {
        let config = DockerConfig::parse(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"b.io":{"username":"u","password":"p"},
                "c.io":{"identitytoken":"id","auth":"dTpw"},"d.io":{"registrytoken":"tok"},"e.io":{},
                "q.io/org":{"registrytoken":"org"},"q.io":{"registrytoken":"all"},"f.io":{"auth":"!!"}},
                "credHelpers":{"g.io":"gcr"},"credsStore":"desktop"}"#,
        );
        let find = |registry: &str, repository: &str| config.keychain().find(registry, repository).cloned();
        assert_eq!(find("index.docker.io", "x"), Some(Credential::basic("u", "p")));
        assert_eq!(find("b.io", "x"), Some(Credential::basic("u", "p")));
        assert_eq!(find("c.io", "x"), Some(Credential::IdentityToken(Secret::new("id"))));
        assert_eq!(find("d.io", "x"), Some(token("tok")));
        assert_eq!(find("e.io", "x"), None);
        assert_eq!(find("f.io", "x"), None);
        assert_eq!(find("q.io", "org/app"), Some(token("org")));
        assert_eq!(find("q.io", "organ/app"), Some(token("all")));
        assert_eq!(config.helper("g.io"), Some("gcr"));
        assert_eq!(config.helper("a.io"), Some("desktop"));
        assert_eq!(DockerConfig::parse("garbage"), DockerConfig::default());
    }

    #[test]
    fn the_first_source_wins() {
        let mut keychain = Keychain::from_registry_auth(r#"{"a.io":"Bearer one"}"#).unwrap();
        keychain.extend(DockerConfig::parse(r#"{"auths":{"a.io/x":{"registrytoken":"two"}}}"#).keychain().clone());
        assert_eq!(keychain.find("a.io", "x"), Some(&token("one")));
    }

    #[test]
    fn reads_what_helpers_print() {
        assert_eq!(from_helper(br#"{"Username":"u","Secret":"p"}"#), Some(Credential::basic("u", "p")));
        assert_eq!(
            from_helper(br#"{"Username":"<token>","Secret":"id"}"#),
            Some(Credential::IdentityToken(Secret::new("id")))
        );
        assert_eq!(from_helper(b"credentials not found"), None);
    }
}
