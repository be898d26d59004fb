//! Secrets that this process knows of, which must not be in what it sends, nor, where that is asked for, in what it shows.
//!
//! Telemetry R35. Registry credentials, service bindings, variables of the platform with telling names, passwords of
//! proxies and headers of collectors. What cannot be read is left out: it cannot be in the build by our doing.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::credentials;
use super::inputs::Key;
use super::resolve::Values;
use crate::image::registry::{DockerConfig, Keychain};
use crate::model::env::Environment;
use crate::net::{decoded, proxy};
use crate::os::open_regular;
use crate::telemetry::otlp::settings::header_secrets;

/// The last words of names of variables whose values are secrets.
const TELLING: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "KEY", "CREDENTIALS"];

/// How much of a file is read: no variable of Linux is longer.
const LONGEST_FILE: u64 = 128 * 1024;

/// How many files of bindings are read at most.
const MOST_FILES: usize = 1000;

/// Finds the secrets in variables and files.
pub(super) fn find(values: &Values, env: &Environment) -> Vec<Vec<u8>> {
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    if let Some(config) = credentials::config_file(env).and_then(|path| read(&path)) {
        let config = DockerConfig::parse(&String::from_utf8_lossy(&config));
        secrets.extend(config.keychain().secrets().into_iter().map(String::into_bytes));
    }
    let platform = values.path(Key::Platform);
    let mut bindings = vec![platform.join("bindings")];
    let mut variable = |kind: Kind, value: Vec<u8>| match kind {
        Kind::Bindings => bindings.push(PathBuf::from(OsStr::from_bytes(value.trim_ascii()))),
        kind => secrets.extend(kind.secrets(value)),
    };
    for (name, value) in env.iter() {
        if let Some(kind) = Kind::of(name) {
            variable(kind, value.as_bytes().to_vec());
        }
    }
    for file in files(&platform.join("env")) {
        if let Some(kind) = file.file_name().and_then(Kind::of)
            && let Some(value) = read(&file)
        {
            variable(kind, value);
        }
    }
    // What a binding is, is no secret: <root>/<name>/<key>, besides `type` and `provider`.
    let of_binding = bindings.iter().flat_map(|root| folders(root)).flat_map(|binding| files(&binding));
    let of_binding =
        of_binding.filter(|file| file.file_name().is_some_and(|name| name != "type" && name != "provider"));
    let of_binding = of_binding.take(MOST_FILES).filter_map(|file| read(&file));
    secrets.extend(of_binding.flat_map(|value| Kind::Telling.secrets(value)));
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
    /// Its name says that it is secret.
    Telling,
}

impl Kind {
    fn of(name: &OsStr) -> Option<Self> {
        let name = name.to_string_lossy().to_ascii_uppercase();
        let is_last = |word: &&str| name.strip_suffix(*word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
        Some(match name.as_str() {
            "CNB_REGISTRY_AUTH" => Self::RegistryAuth,
            "SERVICE_BINDING_ROOT" => Self::Bindings,
            _ if name.ends_with("_PROXY") => Self::Proxy,
            _ if name.starts_with("OTEL_EXPORTER_OTLP_") && name.ends_with("HEADERS") => Self::Headers,
            _ if TELLING.iter().any(is_last) => Self::Telling,
            _ => return None,
        })
    }

    fn secrets(self, value: Vec<u8>) -> Vec<Vec<u8>> {
        let text = String::from_utf8_lossy(&value);
        let found = match self {
            Self::Bindings => Vec::new(),
            Self::RegistryAuth => {
                Keychain::from_registry_auth(&text).map(|keychain| keychain.secrets()).unwrap_or_default()
            }
            Self::Proxy => proxy::secrets(&text),
            Self::Headers => of_headers(&text),
            Self::Telling => return pem_lines(&text).into_iter().map(String::into_bytes).chain([value]).collect(),
        };
        found.into_iter().map(String::into_bytes).collect()
    }
}

/// What stands between the lines of a key in PEM form: it is printed with other line ends and indented, too. In JSON, and in
/// variables, a line may end in `\n` written as two signs.
fn pem_lines(text: &str) -> Vec<String> {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let blocks = text.split("-----BEGIN").skip(1).filter_map(|block| block.split_once("-----"));
    let lines = blocks.flat_map(|(_, block)| block.split("-----END").next().unwrap_or_default().split_whitespace());
    lines.filter(|line| line.bytes().all(is_digit)).map(str::to_owned).collect()
}

/// What the values of headers have in them that is secret, percent-encoded or not.
fn of_headers(list: &str) -> Vec<String> {
    let values = list.split(',').filter_map(|entry| Some(entry.split_once('=')?.1.trim()));
    let values = values.flat_map(|value| [value.to_owned(), decoded(value.as_bytes())]);
    values.flat_map(|value| header_secrets(&value)).collect()
}

/// The first bytes of a regular file; a fifo would be waited for.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path).ok()?.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
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
            ("platform/env/OTEL_EXPORTER_OTLP_HEADERS", "k=otlp-in-env"),
            ("platform/env/SERVICE_BINDING_ROOT", "/nowhere\n"),
            ("platform/bindings/db/type", "postgresql"),
            ("platform/bindings/db/provider", "somebody"),
            ("platform/bindings/db/uri", "postgres://u:p@db"),
            ("platform/bindings/tls/key", "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n"),
        ];
        let env = [
            ("CNB_REGISTRY_AUTH", r#"{"r.io":"Basic dTpyZWdpc3RyeS1wYXNz","b.io":"Bearer registry-bearer"}"#),
            ("HTTPS_PROXY", "http://me:proxy%40pass@proxy:3128"),
            ("all_proxy", "http://proxy-token:@proxy:3128"),
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
            "otlp-in-env",
            "proxy-token",
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
    fn r35_the_lines_of_keys_in_pem_form_are_secrets_wherever_they_come_from() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEvQIBADANBg\nQQQQQIBADANBgABCD\n-----END RSA PRIVATE KEY-----\n";
        let json = format!(r#"{{"type":"service_account","private_key":"{}","id":"x"}}"#, pem.replace('\n', "\\n"));
        let one_line = pem.replace("Proc-Type: 4,ENCRYPTED\n\n", "").replace('\n', " ");
        for text in [pem, &pem.replace('\n', "\r\n"), &pem.replace('\n', "\n    "), &json, &one_line] {
            for found in [
                found(&[("platform/env/TLS_KEY", text)], &[]),
                found(&[], &[("TLS_KEY", text)]),
                found(&[("platform/bindings/tls/key", text)], &[]),
            ] {
                let mut lines: Vec<&str> = found.iter().map(String::as_str).collect();
                lines.sort_unstable_by_key(|line| line.len());
                assert_eq!(lines, ["MIIEvQIBADANBg", "QQQQQIBADANBgABCD", text], "{text}");
            }
        }
    }

    #[test]
    fn r35_what_a_header_says_in_base64_is_a_secret_in_both_halves() {
        for value in ["Basic%20dXNlcm5hbWU6b3RscC1wYXNz", "ApiKey dXNlcm5hbWU6b3RscC1wYXNz", "dXNlcm5hbWU6b3RscC1wYXNz"]
        {
            for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"] {
                let found = found(&[], &[(name, &format!("Authorization={value}"))]);
                for secret in ["dXNlcm5hbWU6b3RscC1wYXNz", "username:otlp-pass", "username", "otlp-pass"] {
                    assert!(found.iter().any(|found| found == secret), "{secret}: {found:?}");
                }
            }
        }
        // Other tokens say nothing more.
        assert_eq!(found(&[], &[("OTEL_EXPORTER_OTLP_HEADERS", "k=Zm9vYmFyYmF6")]), ["Zm9vYmFyYmF6"; 2]);
    }

    #[test]
    fn r35_long_files_are_read_as_far_as_secrets_can_be_long() {
        let long = "0123456789abcdef".repeat(6000);
        assert_eq!(found(&[("platform/env/BIG_TOKEN", &long)], &[]), [long.as_str()]);
        assert_eq!(found(&[("platform/bindings/a/key", &long)], &[]), [long.as_str()]);
        let most = usize::try_from(LONGEST_FILE).unwrap();
        let longer = "x".repeat(most + 1);
        assert_eq!(found(&[("platform/env/BIG_TOKEN", &longer)], &[]), [&longer[..most]]);
    }

    #[test]
    fn what_is_not_there_or_malformed_is_no_secret() {
        assert_eq!(
            found(&[(".docker/config.json", "{")], &[("CNB_REGISTRY_AUTH", "{"), ("HTTP_PROXY", "http://p:1")]),
            [""; 0]
        );
    }
}
