//! Where secrets are found, and where not.

use super::*;
use crate::cli::parse::RawFlags;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// What is found in a folder, sorted, and what is said of the rest.
fn found_in(dir: &Path, env: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let mut env: Environment = env.iter().copied().collect();
    env.set("CNB_PLATFORM_DIR", dir.join("platform"));
    env.set("HOME", dir);
    let values = Values::resolve(&RawFlags::default(), &env, Path::new("/"), |_| false);
    let Found { secrets, gaps } = find(&values, &env);
    let mut secrets: Vec<String> = secrets.into_iter().map(|secret| String::from_utf8(secret).unwrap()).collect();
    secrets.sort();
    (secrets, gaps)
}

fn found(files: &[(&str, &str)], env: &[(&str, &str)]) -> Vec<String> {
    let (secrets, gaps) = found_in(folder(files).path(), env);
    assert_eq!(gaps, [""; 0]);
    secrets
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
            // As a line of a key, and as a line of a text.
            lines.dedup();
            // Other lines of a text in lines are secrets, too.
            lines.retain(|line| *line != "Proc-Type: 4,ENCRYPTED");
            assert_eq!(lines, ["MIIEvQIBADANBg", "QQQQQIBADANBgABCD", text], "{text}");
        }
    }
}

#[test]
fn r35_what_a_header_says_in_base64_is_a_secret_in_both_halves() {
    for value in ["Basic%20dXNlcm5hbWU6b3RscC1wYXNz", "ApiKey dXNlcm5hbWU6b3RscC1wYXNz", "dXNlcm5hbWU6b3RscC1wYXNz"] {
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
fn r35_the_lines_of_a_text_that_has_several_are_secrets_too() {
    let text = "machine r.io\n  login me password netrc-pass\r\n\n}\n";
    let expected = ["login me password netrc-pass", "machine r.io", text, "}"];
    assert_eq!(found(&[("platform/bindings/netrc/.netrc", text)], &[]), expected);
    assert_eq!(found(&[("platform/bindings/one/key", "one line\n")], &[]), ["one line\n"]);
}

#[test]
fn r35_the_login_in_an_address_is_a_secret_wherever_the_address_stands() {
    let files = [
        ("platform/env/DATABASE_URL", "postgres://me:db%2Fpass@db:5432/x?y=z"),
        ("platform/env/PIP_EXTRA_INDEX_URL", "https://a:index-1@one/ https://b:index-2@two/\n"),
        ("platform/env/GIT_REMOTE", "https://ghp_0123456789abcdef@github.com/x/y"),
        ("platform/env/REPO", "ssh://deploy@github.com/x/y https://r.io/x@1:2"),
        ("platform/bindings/db/uri", "amqp://u:queue-pass@q"),
    ];
    let found = found(&files, &[("GOPROXY", "https://g:go-pass@one,https://g:go-pass2@two,direct")]);
    for secret in [
        "db%2Fpass",
        "db/pass",
        "me:db/pass",
        "index-1",
        "index-2",
        "ghp_0123456789abcdef",
        "queue-pass",
        "go-pass",
        "go-pass2",
    ] {
        assert!(found.iter().any(|found| found == secret), "{secret}: {found:?}");
    }
    for other in ["deploy", "x@1:2", "x@1"] {
        assert!(!found.iter().any(|found| found == other), "{other}: {found:?}");
    }
}

#[test]
fn r35_the_key_that_is_shown_to_collectors_is_a_secret_and_not_where_it_is() {
    let dir = folder(&[("key.pem", "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n")]);
    let path = dir.path().join("key.pem");
    for name in ["OTEL_EXPORTER_OTLP_CLIENT_KEY", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY"] {
        let (secrets, _) = found_in(dir.path(), &[(name, path.to_str().unwrap())]);
        assert!(secrets.contains(&"MIIEvQIBADANBg".to_owned()), "{secrets:?}");
        assert!(!secrets.contains(&path.to_str().unwrap().to_owned()), "{secrets:?}");
    }
}

#[test]
fn r35_names_tell_what_is_secret() {
    let tells = |name: &str| matches!(Kind::of(OsStr::new(name)), Kind::Telling);
    for name in ["PGPASSWORD", "MYSQL_PWD", "npm_config__auth", "KEY", "APIKEY", "API_KEY", "DB_PASS", "GITHUBTOKEN"] {
        assert!(tells(name), "{name}");
    }
    for name in ["PWD", "OLDPWD", "MONKEY", "COMPASS", "KEYS", "TOKEN_URL", "PATH"] {
        assert!(!tells(name), "{name}");
    }
}

#[test]
fn r35_files_are_read_as_long_as_they_are_and_what_there_are_too_many_bytes_of_is_told() {
    let long = "0123456789abcdef".repeat(20_000);
    assert_eq!(found(&[("platform/env/BIG_TOKEN", &long)], &[]), [long.as_str()]);
    assert_eq!(found(&[("platform/bindings/a/key", &long)], &[]), [long.as_str()]);
    let most = usize::try_from(MOST_OF_PLATFORM).unwrap();
    let dir = folder(&[("platform/bindings/a/key", &"x".repeat(most + 1)), ("platform/bindings/a/other", "other-key")]);
    let (secrets, gaps) = found_in(dir.path(), &[]);
    assert!(secrets.iter().all(|secret| secret.len() <= most), "as much as there is room for");
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].starts_with("files of the platform have more than 1 MiB, and '/"), "{gaps:?}");
}

#[test]
fn r35_certificates_in_bindings_are_no_secrets_and_keys_beside_them_are() {
    let certificate = |line: &str| format!("-----BEGIN CERTIFICATE-----\n{line}\nAAAA\n-----END CERTIFICATE-----\n");
    let bundle = [certificate("MIIDpublic1"), certificate("MIIDpublic2")].concat();
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n";
    let mixed = [&certificate("MIIDpublic3"), key, &certificate("MIIDpublic4")].concat();
    let files = [("platform/bindings/ca/bundle.pem", bundle.as_str()), ("platform/bindings/tls/mixed", &mixed)];
    assert_eq!(found(&files, &[]), [key, "MIIEvQIBADANBg", "MIIEvQIBADANBg"]);
    // What only begins like one is kept for one that says more.
    let begun = [("platform/bindings/a/b", "-----BEGIN CERTIFICATE-----\nhunter22")];
    assert!(found(&begun, &[]).iter().any(|secret| secret.trim() == "hunter22"));
}

#[test]
fn r35_thousands_of_bindings_are_read_and_those_within_a_folder_of_secrets_too() {
    let dir = tempfile::tempdir().unwrap();
    for binding in 0..30 {
        for (kind, of) in [("key", "new"), ("secret/key", "old")] {
            for number in 0..100 {
                let path = dir.path().join(format!("platform/bindings/b{binding}/{kind}{number}"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, format!("{of}-secret-{binding}-{number}")).unwrap();
            }
        }
    }
    let no_secrets = [("metadata/kind", "a-kind"), ("type", "a-type"), ("secret/deep/key", "too-deep")];
    for (path, text) in no_secrets {
        let path = dir.path().join("platform/bindings/b0").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let (secrets, gaps) = found_in(dir.path(), &[]);
    assert_eq!((secrets.len(), gaps.len()), (6000, 0));
    for secret in ["new-secret-0-0", "new-secret-29-99", "old-secret-29-99"] {
        assert!(secrets.binary_search(&secret.to_owned()).is_ok(), "{secret}");
    }
}

#[test]
fn r35_bindings_are_read_as_kubernetes_mounts_them_each_once_and_nothing_is_waited_for() {
    use std::os::unix::fs::symlink;
    let dir = folder(&[("platform/bindings/db/..2026/password", "mounted-secret"), ("outside", "linked-secret")]);
    let binding = dir.path().join("platform/bindings/db");
    symlink("..2026", binding.join("..data")).unwrap();
    symlink("..data/password", binding.join("password")).unwrap();
    symlink(dir.path().join("outside"), binding.join("linked")).unwrap();
    symlink("/dev/zero", binding.join("device")).unwrap();
    symlink("nowhere", binding.join("broken")).unwrap();
    symlink("loop", binding.join("loop")).unwrap();
    symlink("..", binding.join("secret")).unwrap();
    nix::unistd::mkfifo(&binding.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("pipe", binding.join("linked-pipe")).unwrap();
    // The same folder under two names.
    symlink(dir.path().join("platform/bindings"), dir.path().join("root")).unwrap();
    let root = dir.path().join("root").to_str().unwrap().to_owned();
    let (secrets, gaps) = found_in(dir.path(), &[("SERVICE_BINDING_ROOT", &root)]);
    assert_eq!((secrets, gaps), (vec!["linked-secret".to_owned(), "mounted-secret".to_owned()], vec![]));
}

#[test]
fn r35_a_long_configuration_of_docker_is_read_and_a_longer_one_told() {
    let config = |count: usize| {
        let others: Vec<String> = (0..count).map(|number| format!(r#""host-{number:06}.test":{{}}"#)).collect();
        format!(r#"{{"auths":{{{},"r.io":{{"auth":"dXNlcjpkb2NrZXItcGFzcw=="}}}}}}"#, others.join(","))
    };
    let long = config(20_000);
    assert!(long.len() > 400_000);
    assert!(found(&[(".docker/config.json", &long)], &[]).contains(&"docker-pass".to_owned()));
    let dir = folder(&[(".docker/config.json", &config(200_000))]);
    let (secrets, gaps) = found_in(dir.path(), &[]);
    let path = dir.path().join(".docker/config.json");
    assert_eq!((secrets.len(), gaps), (0, vec![format!("'{}' has more than 1 MiB and is not read", path.display())]));
}

#[test]
fn r35_of_docker_also_headers_and_logins_of_proxies_are_secrets() {
    let config = r#"{"HttpHeaders":{"X-Meta":"meta-secret","Authorization":"Bearer bearer-secret","N":1},
        "proxies":{"default":{"httpProxy":"http://me:proxy%2Dsecret@p:1","noProxy":"r.io,1.2.3.4"},"x":1},
        "auths":{"r.io":{"auth":"dXNlcjpkb2NrZXItcGFzcw=="}}}"#;
    let found = found(&[(".docker/config.json", config)], &[]);
    for secret in ["meta-secret", "bearer-secret", "proxy%2Dsecret", "proxy-secret", "docker-pass"] {
        assert!(found.iter().any(|found| found == secret), "{secret}: {found:?}");
    }
    assert!(!found.iter().any(|found| found.contains("1.2.3.4")), "{found:?}");
}

#[test]
fn r35_what_is_meant_as_credentials_is_secret_also_where_it_is_malformed() {
    let malformed = |text| found(&[], &[("CNB_REGISTRY_AUTH", text)]);
    assert_eq!(malformed("Bearer registry-secret"), ["registry-secret"]);
    assert_eq!(malformed(r#"["registry-secret"]"#), [r#"["registry-secret"]"#]);
}

#[test]
fn r35_the_query_and_the_tokens_of_a_collectors_address_are_secrets() {
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] {
        let address = "https://c.test:4318/path-token-of-user-1/v1?api-key=query%2Dsecret&flag";
        let found = found(&[], &[(name, address)]);
        for secret in ["path-token-of-user-1", "api-key=query%2Dsecret&flag", "query%2Dsecret", "query-secret"] {
            assert!(found.iter().any(|found| found == secret), "{secret}: {found:?}");
        }
        assert!(!found.iter().any(|found| found.contains("c.test")), "{found:?}");
    }
}

#[test]
fn what_is_not_there_or_malformed_is_no_secret() {
    assert_eq!(
        found(&[(".docker/config.json", "{")], &[("CNB_REGISTRY_AUTH", "{}"), ("HTTP_PROXY", "http://p:1")]),
        [""; 0]
    );
}
