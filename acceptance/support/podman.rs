//! Podman's service, from the Debian package `podman`: another program that speaks Docker's API, with storage of its own.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::running::Running;
use super::{scratch, tool};

/// The service with its own socket and storage.
pub(crate) struct Podman {
    /// Ended before its folder goes.
    _running: Running,
    dir: TempDir,
}

impl Podman {
    /// Starts the service and waits until it answers.
    pub(crate) fn start() -> Self {
        let dir = scratch();
        let socket = format!("unix://{}", dir.path().join("socket").display());
        let mut service = podman(&dir);
        service.args(["system", "service", "--time=0", &socket]);
        let mut running = Running::start("podman", &mut service, &dir.path().join("log"));
        running.until("answering", || {
            let mut ping = Command::new("curl");
            ping.args(["--silent", "--fail", "--output", "/dev/null", "--unix-socket"]).arg(dir.path().join("socket"));
            ping.arg("http://podman/_ping").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        });
        Self { _running: running, dir }
    }

    /// Its address, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    /// Pulls an image.
    #[track_caller]
    pub(crate) fn pull(&self, image: &str) {
        tool(podman(&self.dir).args(["pull", "--quiet", "--tls-verify=false", image]));
    }

    /// A field of what podman says of an image, by a template.
    #[track_caller]
    pub(crate) fn inspect(&self, image: &str, field: &str) -> String {
        let said = tool(podman(&self.dir).args(["image", "inspect", "--format", field, image]));
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    /// Reads a file of an image, from the root file system that its layers make.
    #[track_caller]
    pub(crate) fn read(&self, image: &str, file: &std::path::Path) -> Vec<u8> {
        let root = tool(podman(&self.dir).args(["image", "mount", image]));
        let root = std::path::PathBuf::from(String::from_utf8_lossy(&root).trim());
        let bytes = std::fs::read(root.join(file.strip_prefix("/").unwrap()));
        tool(podman(&self.dir).args(["image", "unmount", image]));
        bytes.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }
}

/// A call with the storage in a folder. `vfs` needs nothing of the system, wherever the folder is.
fn podman(dir: &TempDir) -> Command {
    let path = |name: &str| dir.path().join(name);
    let mut command = Command::new("podman");
    command
        .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none", "--root"])
        .arg(path("root"))
        .arg("--runroot")
        .arg(path("runroot"))
        .arg("--tmpdir")
        .arg(path("tmp"))
        .env("HOME", dir.path())
        .env("XDG_RUNTIME_DIR", dir.path())
        .env_remove("DOCKER_HOST");
    command
}
