//! No text of a server or a platform makes anything panic, nor leads where it must not.

use proptest::prelude::*;

use super::*;
use crate::fuzz::{parser, property};

const CASES: u32 = 400;

fn text(target: &str, read: impl Fn(&str)) {
    parser(target, CASES, &[], |bytes| read(&String::from_utf8_lossy(bytes)));
}

#[test]
fn challenges_of_registries() {
    text("challenge", |text| drop(challenge::Challenge::parse(&text.lines().collect::<Vec<_>>())));
}

#[test]
fn errors_of_registries() {
    parser("registry-error", CASES, &[], |bytes| drop(error::reasons(bytes)));
}

/// `Location` and `Link` lead elsewhere only by naming another host.
#[test]
fn addresses_of_registries() {
    text("location", |text| {
        let base = url::Url::parse("https://a.io/v2/app/blobs/uploads/").unwrap();
        if let Some(url) = base.join(text) {
            assert!(text.contains("//") || url.is_same_host(&base), "{text:?} leads to {}", url.secret_text());
            let _ = (url.to_string(), url.with("digest", text).secret_text());
        }
        let _ = (insecure::is_local(text), insecure::is_inner_address(text));
    });
}

#[test]
fn docker_configurations_and_credentials() {
    text("docker-config", |text| {
        let config = DockerConfig::parse(text);
        let _ = (config.keychain().find("a.io", "x"), config.helper("a.io").map(str::len));
        let _ = Keychain::from_registry_auth(text).map(|keychain| keychain.find("a.io", "x").cloned());
        let _ = auth::from_helper(text.as_bytes());
    });
}

#[test]
fn insecure_registries() {
    property(CASES, &("[a-z.:/@\\[\\]\u{e9} -]{0,30}", "[a-z.:/-]{0,20}"), |(entry, name)| {
        if let Some(insecure) = Insecure::parse(&entry) {
            let evil = format!("{entry}.evil");
            prop_assert!(!insecure.matches(&evil, &name) || entry.contains('/'), "{} matches {}", entry, evil);
            let _ = insecure.matches(&name, &name);
        }
        Ok(())
    });
}
