//! The registry of the Debian package `docker-registry`: plain, with a password, with a certificate.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::running::Running;
use super::{free_port, scratch, tool};

/// The user of a registry with a password, as `user:password`.
pub(crate) const LOGIN: &str = "somebody:a-secret";

/// A registry of its own, with its own storage.
pub(crate) struct Registry {
    /// Ended before its folder goes.
    running: Running,
    dir: TempDir,
    port: u16,
    login: Option<&'static str>,
}

impl Registry {
    /// Starts a registry that everybody may read and write, without TLS.
    pub(crate) fn plain() -> Self {
        Self::start(scratch(), "", None)
    }

    /// Starts one that answers 401 to whoever is not [`LOGIN`].
    pub(crate) fn with_password() -> Self {
        let dir = scratch();
        let (name, password) = LOGIN.split_once(':').unwrap();
        let line = tool(Command::new("htpasswd").args(["-Bbn", name, password]));
        let file = dir.path().join("htpasswd");
        fs::write(&file, line).unwrap();
        let auth = format!("auth:\n  htpasswd:\n    realm: acceptance\n    path: {}\n", file.display());
        Self::start(dir, &auth, Some(LOGIN))
    }

    /// Starts one that speaks TLS with a certificate that signs itself, as the guides for registries of one's own make it.
    pub(crate) fn with_its_own_certificate() -> Self {
        let dir = scratch();
        openssl(
            dir.path(),
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=registry",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                "key.pem",
                "-out",
                "certificate.pem",
            ],
        );
        fs::copy(dir.path().join("certificate.pem"), dir.path().join("authority.pem")).unwrap();
        Self::start_with_tls(dir)
    }

    /// Starts one that speaks TLS with a certificate of an authority, as companies have them.
    pub(crate) fn with_an_authority() -> Self {
        let dir = scratch();
        openssl(
            dir.path(),
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=authority",
                "-keyout",
                "authority-key.pem",
                "-out",
                "authority.pem",
            ],
        );
        openssl(
            dir.path(),
            &[
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=registry",
                "-keyout",
                "key.pem",
                "-out",
                "request.pem",
            ],
        );
        fs::write(dir.path().join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        openssl(
            dir.path(),
            &[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                "request.pem",
                "-extfile",
                "names",
                "-CA",
                "authority.pem",
                "-CAkey",
                "authority-key.pem",
                "-CAcreateserial",
                "-out",
                "certificate.pem",
            ],
        );
        Self::start_with_tls(dir)
    }

    fn start_with_tls(dir: TempDir) -> Self {
        let path = |name: &str| dir.path().join(name).display().to_string();
        let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", path("certificate.pem"), path("key.pem"));
        Self::start(dir, &tls, None)
    }

    /// `more` follows the section `http` of the configuration.
    fn start(dir: TempDir, more: &str, login: Option<&'static str>) -> Self {
        let port = free_port();
        let storage = dir.path().join("storage");
        fs::create_dir(&storage).unwrap();
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:{port}\n{more}",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).env_clear().env("OTEL_TRACES_EXPORTER", "none");
        let mut running = Running::start("docker-registry", &mut command, &dir.path().join("log"));
        running.until_listening(port);
        Self { running, dir, port, login }
    }

    /// The host and port, as it stands before a repository.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The reference of a repository here.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host())
    }

    /// Who vouches for its certificate, in PEM, when it has one.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// Pushes an OCI layout.
    pub(crate) fn push(&self, layout: &Path, repository: &str) {
        let mut skopeo = self.skopeo(&["copy", "--dest-tls-verify=false"]);
        if let Some(login) = self.login {
            skopeo.args(["--dest-creds", login]);
        }
        tool(skopeo.arg(format!("oci:{}", layout.display())).arg(format!("docker://{}", self.image(repository))));
    }

    /// A call of skopeo with its own configuration, which trusts every image.
    pub(crate) fn skopeo(&self, args: &[&str]) -> Command {
        let policy = self.dir.path().join("policy.json");
        if !policy.exists() {
            fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        }
        let mut command = Command::new("skopeo");
        command.env_remove("REGISTRY_AUTH_FILE").arg("--policy").arg(policy).args(args);
        command
    }

    /// The credentials that whoever reads needs, as options of skopeo.
    pub(crate) fn reader(&self) -> Vec<&str> {
        self.login.map_or_else(Vec::new, |login| vec!["--src-creds", login])
    }

    /// The requests so far, a line each.
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }
}

fn openssl(dir: &Path, args: &[&str]) {
    tool(Command::new("openssl").args(args).current_dir(dir));
}
