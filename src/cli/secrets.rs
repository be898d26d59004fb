//! Secrets that this process knows of, which must not be in what it sends, nor, where that is asked for, in what it shows.
//!
//! Telemetry R35. Registry credentials, service bindings, variables of the platform with telling names, passwords of
//! proxies and headers of collectors. What cannot be read is left out: it cannot be in the build by our doing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::credentials;
use super::inputs::Key;
use super::resolve::Values;
use crate::image::registry::{DockerConfig, Keychain};
use crate::model::env::Environment;

/// The last words of names of variables whose values are secrets.
const TELLING: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "KEY", "CREDENTIALS"];

/// Longer files are no secrets that anybody prints, and a platform may bind anything.
const LONGEST_FILE: u64 = 64 * 1024;

/// How many files of bindings are read at most.
const MOST_FILES: usize = 1000;

/// Finds the secrets in variables and files.
pub(super) fn find(values: &Values, env: &Environment) -> Vec<Vec<u8>> {
    let text = |name: &str| env.get(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    let mut add = |found: Vec<String>| secrets.extend(found.into_iter().map(String::into_bytes));
    add(Keychain::from_registry_auth(&text("CNB_REGISTRY_AUTH"))
        .map(|keychain| keychain.secrets())
        .unwrap_or_default());
    if let Some(config) = credentials::config_file(env).and_then(|path| read(&path)) {
        add(DockerConfig::parse(&String::from_utf8_lossy(&config)).keychain().secrets());
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        add(of_proxy(&text(name)));
    }
    for signal in ["", "LOGS_", "TRACES_"] {
        add(of_headers(&text(&format!("OTEL_EXPORTER_OTLP_{signal}HEADERS"))));
    }
    let telling = env.iter().filter(|(name, _)| is_telling(name));
    secrets.extend(telling.map(|(_, value)| value.as_bytes().to_vec()));
    let platform = values.path(Key::Platform);
    let mut bindings = vec![platform.join("bindings")];
    bindings.extend(env.get("SERVICE_BINDING_ROOT").map(PathBuf::from));
    for file in files(&platform.join("env")) {
        match (file.file_name(), read(&file)) {
            (Some(name), Some(value)) if is_telling(name) => secrets.push(value),
            (Some(name), Some(value)) if name == "SERVICE_BINDING_ROOT" => {
                bindings.push(PathBuf::from(OsStr::from_bytes(value.trim_ascii())));
            }
            (Some(name), Some(value)) if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") => {
                secrets.extend(of_proxy(&String::from_utf8_lossy(&value)).into_iter().map(String::into_bytes));
            }
            _ => {}
        }
    }
    // What a binding is, is no secret: <root>/<name>/<key>, besides `type` and `provider`.
    let of_binding = bindings.iter().flat_map(|root| folders(root)).flat_map(|binding| files(&binding));
    let of_binding =
        of_binding.filter(|file| file.file_name().is_some_and(|name| name != "type" && name != "provider"));
    for value in of_binding.take(MOST_FILES).filter_map(|file| read(&file)) {
        if value.windows(5).any(|window| window == b"-----") {
            // Keys are printed with other line ends and indented, too.
            let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            secrets.extend(lines.filter(|line| !line.starts_with(b"-----")).map(<[u8]>::to_vec));
        }
        secrets.push(value);
    }
    secrets
}

fn is_telling(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    TELLING.iter().any(|word| name.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_')))
}

/// User and password in front of a host: together, and the password alone; as it is written, and decoded.
fn of_proxy(url: &str) -> Vec<String> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return Vec::new() };
    let password = user.split_once(':').map_or("", |(_, password)| password);
    [user, password].into_iter().flat_map(|text| [text.to_owned(), decoded(text)]).collect()
}

/// The values of headers, and what stands behind a scheme such as `Bearer`.
fn of_headers(list: &str) -> Vec<String> {
    let values = list.split(',').filter_map(|entry| Some(entry.split_once('=')?.1.trim()));
    values
        .flat_map(|value| [value.to_owned(), decoded(value)])
        .flat_map(|value| {
            let behind = value.split_once(' ').map(|(_, rest)| rest.trim().to_owned());
            behind.into_iter().chain([value])
        })
        .collect()
}

/// Takes percent-encoding out of a text, where it is any.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if *byte == b'%' => {
                bytes.push(code);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A regular file that is not too long; a fifo would be waited for.
fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_file() && metadata.len() <= LONGEST_FILE { std::fs::read(path).ok() } else { None }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    // Kubernetes keeps what it mounts in `..data` and links to it.
    entries.filter(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".."))).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_file()).collect()
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::RawFlags;

    fn found(files: &[(&str, &str)], env: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut env: Environment = env.iter().copied().collect();
        env.set("CNB_PLATFORM_DIR", dir.path().join("platform"));
        env.set("HOME", dir.path());
        let values = Values::resolve(&RawFlags::default(), &env, Path::new("/"), |_| false);
        find(&values, &env).into_iter().map(|secret| String::from_utf8(secret).unwrap()).collect()
    }

    #[test]
    fn r35_secrets_come_from_every_source() {
        let files = [
            (
                ".docker/config.json",
                r#"{"auths":{"r.io":{"auth":"dXNlcjpkb2NrZXItcGFzcw=="},"t.io":{"identitytoken":"docker-identity"}}}"#,
            ),
            ("platform/env/NPM_TOKEN", "npm-token-value\n"),
            ("platform/env/DB_PASSWORD", "db-password"),
            ("platform/env/BP_JVM_VERSION", "seventeen"),
            ("platform/env/https_proxy", "http://u:proxy-in-env@p:1"),
            ("platform/bindings/db/type", "postgresql"),
            ("platform/bindings/db/provider", "somebody"),
            ("platform/bindings/db/uri", "postgres://u:p@db"),
            ("platform/bindings/tls/key", "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n"),
        ];
        let env = [
            ("CNB_REGISTRY_AUTH", r#"{"r.io":"Basic dTpyZWdpc3RyeS1wYXNz","b.io":"Bearer registry-bearer"}"#),
            ("HTTPS_PROXY", "http://me:proxy%40pass@proxy:3128"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20otlp-token,x-key=otlp-key"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=logs-key"),
            ("MY_API_KEY", "api-key-value"),
            ("MONKEY", "banana-bread"),
        ];
        let found = found(&files, &env);
        for secret in [
            "docker-pass",
            "docker-identity",
            "npm-token-value\n",
            "db-password",
            "proxy-in-env",
            "postgres://u:p@db",
            "MIIEvQIBADANBg",
            "dTpyZWdpc3RyeS1wYXNz",
            "registry-pass",
            "registry-bearer",
            "proxy@pass",
            "proxy%40pass",
            "otlp-token",
            "otlp-key",
            "logs-key",
            "api-key-value",
        ] {
            assert!(found.iter().any(|found| found == secret), "{secret}: {found:?}");
        }
        for other in ["seventeen", "postgresql", "somebody", "banana-bread", "-----BEGIN KEY-----"] {
            assert!(!found.iter().any(|found| found == other), "{other}");
        }
    }

    #[test]
    fn what_is_not_there_or_malformed_is_no_secret() {
        assert_eq!(
            found(&[(".docker/config.json", "{")], &[("CNB_REGISTRY_AUTH", "{"), ("HTTP_PROXY", "http://p:1")]),
            [""; 0]
        );
    }
}
