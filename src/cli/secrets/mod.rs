//! Secrets that this process knows of, which must not be in what it sends, nor, where that is asked for, in what it shows.
//!
//! Telemetry R35. Registry credentials, service bindings, variables of the platform with telling names, logins in
//! addresses, headers and keys for collectors.

mod files;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::credentials;
use super::inputs::Key;
use super::resolve::Values;
use crate::image::registry::{DockerConfig, Keychain};
use crate::model::env::Environment;
use crate::net::{decoded, proxy};
use crate::telemetry::otlp::settings::{header_secrets, path_tokens};
use files::{Files, entries};

/// How names of variables end whose values are secrets.
const TELLING: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIALS", "APIKEY"];

/// The same, behind an underscore.
const TELLING_WORDS: &[&str] = &["_KEY", "_PASS", "_PWD", "_AUTH"];

/// How many bytes docker's configuration may have: it has credentials only as a whole.
const LONGEST_CONFIG: u64 = 1 << 20;

/// How many bytes files of the platform may have together: more than are looked for.
const MOST_OF_PLATFORM: u64 = 1 << 20;

/// Secrets, and what of them is not known.
pub(super) struct Found {
    /// The secrets.
    pub secrets: Vec<Vec<u8>>,
    /// What was not read, a part of a sentence each.
    pub gaps: Vec<String>,
}

/// Finds the secrets in variables and files.
pub(super) fn find(values: &Values, env: &Environment) -> Found {
    let mut found = Found { secrets: Vec::new(), gaps: Vec::new() };
    if let Some(path) = credentials::config_file(env) {
        let mut files = Files::up_to(LONGEST_CONFIG);
        if let Some(config) = files.read(&path).filter(|_| !files.is_full()) {
            found.secrets.extend(of_docker(&String::from_utf8_lossy(&config)).into_iter().map(String::into_bytes));
        }
        if files.is_full() {
            found.gaps.push(format!("'{}' has more than 1 MiB and is not read", path.display()));
        }
    }
    let platform = values.path(Key::Platform);
    let mut files = Files::up_to(MOST_OF_PLATFORM);
    let (mut bindings, mut keys) = (vec![platform.join("bindings")], Vec::new());
    let mut variable = |kind: Kind, value: &[u8]| match kind {
        Kind::Bindings => bindings.push(PathBuf::from(OsStr::from_bytes(value.trim_ascii()))),
        Kind::KeyFile => keys.push(PathBuf::from(OsStr::from_bytes(value.trim_ascii()))),
        kind => found.secrets.extend(kind.secrets(value)),
    };
    for (name, value) in env.iter() {
        variable(Kind::of(name), value.as_bytes());
    }
    for file in entries(&platform.join("env")) {
        if let (Some(name), Some(value)) = (file.file_name(), files.read(&file)) {
            variable(Kind::of(name), &value);
        }
    }
    for key in keys.iter().filter_map(|key| files.read(key)) {
        found.secrets.extend(Kind::Telling.secrets(&key));
    }
    // The same folder may have two names.
    let mut roots: Vec<PathBuf> = Vec::new();
    for root in bindings.iter().filter_map(|root| root.canonicalize().ok()) {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    for binding in roots.iter().flat_map(|root| entries(root)) {
        found.secrets.extend(of_binding(&binding, &mut files));
        if files.is_full() {
            break;
        }
    }
    if let Some(path) = files.beyond() {
        let path = path.display();
        found.gaps.push(format!("files of the platform have more than 1 MiB, and '{path}' and others are not read"));
    }
    found
}

/// What is in the files of a binding: `<binding>/<key>`, and `<binding>/secret/<key>`, as the buildpacks' own bindings
/// had it before the Service Binding Specification. What kind of binding it is, is no secret.
fn of_binding(binding: &Path, files: &mut Files) -> Vec<Vec<u8>> {
    let is_kind = |path: &Path| [binding.join("type"), binding.join("provider")].iter().any(|kind| path == kind);
    let paths = [binding.to_owned(), binding.join("secret")].into_iter().flat_map(|dir| entries(&dir));
    let mut secrets = Vec::new();
    for path in paths.filter(|path| !is_kind(path)) {
        let value = files.read(&path).map(|value| without_certificates(&value));
        secrets.extend(value.into_iter().flat_map(|value| Kind::Telling.secrets(&value)));
        if files.is_full() {
            break;
        }
    }
    secrets
}

/// What is not certificates in PEM form: everybody may know those, and a bundle of them would leave no room for secrets.
fn without_certificates(value: &[u8]) -> Vec<u8> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let Ok(text) = std::str::from_utf8(value) else { return value.to_vec() };
    let mut blocks = text.split(BEGIN);
    let before = blocks.next().unwrap_or_default();
    let behind = blocks.map(|block| block.split_once(END).map_or(block, |(_, behind)| behind.trim_start()));
    [before].into_iter().chain(behind).collect::<String>().into_bytes()
}

/// What docker's configuration has in it that is secret: credentials, headers for its daemon, logins of proxies.
fn of_docker(config: &str) -> Vec<String> {
    let mut secrets = DockerConfig::parse(config).keychain().secrets();
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let texts = |object: &Value| -> Vec<String> {
        let values = object.as_object().into_iter().flat_map(|object| object.values());
        values.filter_map(|value| Some(value.as_str()?.to_owned())).collect()
    };
    secrets.extend(texts(&config["HttpHeaders"]).iter().flat_map(|value| header_secrets(value)));
    let proxies = config["proxies"].as_object().into_iter().flat_map(|hosts| hosts.values()).flat_map(texts);
    secrets.extend(proxies.flat_map(|address| proxy::secrets(&address)));
    secrets
}

/// What a variable has in it that is secret: one of this process, or a file of its name in `<platform>/env`.
enum Kind {
    /// `CNB_REGISTRY_AUTH`.
    RegistryAuth,
    /// Where bindings are.
    Bindings,
    /// The address of a proxy.
    Proxy,
    /// Headers for collectors.
    Headers,
    /// The address of a collector.
    Collector,
    /// The file with the key that is shown to collectors.
    KeyFile,
    /// Its name says that it is secret.
    Telling,
    /// Nothing, but for logins in addresses.
    Other,
}

impl Kind {
    fn of(name: &OsStr) -> Self {
        let name = name.to_string_lossy().to_ascii_uppercase();
        let tells = |name: &str| {
            let word = format!("_{name}");
            TELLING.iter().any(|end| name.ends_with(end)) || TELLING_WORDS.iter().any(|end| word.ends_with(end))
        };
        match name.as_str() {
            "CNB_REGISTRY_AUTH" => Self::RegistryAuth,
            "SERVICE_BINDING_ROOT" => Self::Bindings,
            // The working directory.
            "PWD" => Self::Other,
            _ if name.ends_with("_PROXY") => Self::Proxy,
            _ if name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("HEADERS") => Self::Headers,
            _ if name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("ENDPOINT") => Self::Collector,
            _ if name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("CLIENT_KEY") => Self::KeyFile,
            name if tells(name) => Self::Telling,
            _ => Self::Other,
        }
    }

    fn secrets(self, value: &[u8]) -> Vec<Vec<u8>> {
        let text = String::from_utf8_lossy(value);
        let (found, whole) = match self {
            Self::Bindings | Self::KeyFile => (Vec::new(), None),
            Self::RegistryAuth => match Keychain::from_registry_auth(&text) {
                Ok(keychain) => (keychain.secrets(), None),
                // What is of no known form is no less secret.
                Err(_) => ([lines(&text), header_secrets(text.trim())].concat(), None),
            },
            Self::Proxy => (proxy::secrets(&text), None),
            Self::Headers => (of_headers(&text), None),
            Self::Collector => ([of_query(&text), logins(&text)].concat(), None),
            Self::Other => (logins(&text), None),
            Self::Telling => ([lines(&text), logins(&text)].concat(), Some(value.to_vec())),
        };
        found.into_iter().map(String::into_bytes).chain(whole).filter(|secret| !secret.is_empty()).collect()
    }
}

/// The lines of a text that has several, and what stands between the first and the last of a key in PEM form: they are
/// printed with other line ends and indented, too. In JSON, and in variables, a line of a key may end in `\n` written as
/// two signs, or in a blank.
fn lines(text: &str) -> Vec<String> {
    let is_own = |line: &&str| !line.is_empty() && !line.starts_with("-----") && *line != text.trim();
    let several = text.lines().map(str::trim).filter(is_own).map(str::to_owned);
    let keys = text.replace("\\r", "").replace("\\n", "\n");
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let keys = keys.split("-----BEGIN").skip(1).filter_map(|block| block.split_once("-----"));
    let keys = keys.flat_map(|(_, block)| block.split("-----END").next().unwrap_or_default().split_whitespace());
    let keys = keys.filter(|line| line.bytes().all(is_digit)).map(str::to_owned);
    keys.chain(several).collect()
}

/// User and password of the addresses in a text. A user alone is none, unless it looks like a token.
fn logins(text: &str) -> Vec<String> {
    let ends = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    let authorities = text.split("://").skip(1).map(|rest| rest.split(ends).next().unwrap_or_default());
    let logins = authorities.map(proxy::secrets);
    let is_secret = |login: &String| login.contains(':') || path_tokens(login).next().is_some();
    logins.filter(|login| login.first().is_some_and(is_secret)).flatten().collect()
}

/// The query of an address, its values alone too, and tokens in its path; as they are written, and decoded.
fn of_query(address: &str) -> Vec<String> {
    let (path, query) = address.trim().split_once('?').unwrap_or((address.trim(), ""));
    let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let parts = [query].into_iter().chain(values).chain(path_tokens(path)).filter(|part| !part.is_empty());
    parts.flat_map(|part| [part.to_owned(), decoded(part.as_bytes())]).collect()
}

/// What the values of headers have in them that is secret, percent-encoded or not.
fn of_headers(list: &str) -> Vec<String> {
    let values = list.split(',').filter_map(|entry| Some(entry.split_once('=')?.1.trim()));
    let values = values.flat_map(|value| [value.to_owned(), decoded(value.as_bytes())]);
    values.flat_map(|value| header_secrets(&value)).collect()
}

#[cfg(test)]
mod tests;
