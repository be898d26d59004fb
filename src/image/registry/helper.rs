//! Docker's credential helpers: programs that are asked for one registry each.
//!
//! Policy P27: asked before the program drops privileges, only for registries that they serve, all at the same time
//! and within one budget. A helper that fails, or takes too long, has no credentials.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::auth::{Credential, DockerConfig, Keychain, from_helper};
use crate::model::reference::DEFAULT_REGISTRY;

/// How long all helpers together may take.
pub const HELPER_BUDGET: Duration = Duration::from_secs(2);

/// What docker's helpers call Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

impl DockerConfig {
    /// The credentials for some registries: from helpers for those that have one, and for all others, or where the
    /// helper has none, from the configuration itself.
    pub fn resolve(&self, registries: &[String], budget: Duration) -> Keychain {
        let mut keychain = Keychain::anonymous();
        let started: Vec<_> = registries
            .iter()
            .filter_map(|registry| Some((registry, Running::start(self.helper(registry)?, registry)?)))
            .collect();
        let end = Instant::now() + budget;
        for (registry, running) in started {
            if let Some(credential) = running.finish(end.saturating_duration_since(Instant::now())) {
                keychain.push(registry, credential, "docker credential helper");
            }
        }
        keychain.extend(self.keychain().clone());
        keychain
    }
}

/// A helper at work.
struct Running {
    child: Child,
    output: Receiver<Vec<u8>>,
}

impl Running {
    fn start(name: &str, registry: &str) -> Option<Self> {
        // A name is the end of a program's name, not a way to it.
        if name.contains('/') {
            return None;
        }
        let mut child = Command::new(format!("docker-credential-{name}"))
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = if registry == DEFAULT_REGISTRY { HUB } else { registry };
        // A helper that does not want to know fails, or not: what it prints decides.
        let _ = child.stdin.take()?.write_all(server.as_bytes());
        let mut stdout = child.stdout.take()?;
        let (send, output) = channel();
        // Nobody waits for this thread: a helper's own children may hold its output open.
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if stdout.by_ref().take(1 << 20).read_to_end(&mut bytes).is_ok() {
                let _ = send.send(bytes);
            }
        });
        Some(Self { child, output })
    }

    fn finish(mut self, budget: Duration) -> Option<Credential> {
        let output = self.output.recv_timeout(budget).ok();
        // It may be done already; then this fails, and does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        from_helper(&output?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_is_not_there_gives_what_the_configuration_has() {
        let config = DockerConfig::parse(
            r#"{"credsStore":"surely-not-installed","auths":{"a.io":{"username":"u","password":"p"}}}"#,
        );
        let keychain = config.resolve(&["a.io".to_owned()], HELPER_BUDGET);
        assert_eq!(keychain.find("a.io", "x"), Some(&Credential::basic("u", "p")));
        assert!(Running::start("../sh", "a.io").is_none());
    }
}
