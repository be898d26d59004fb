//! A Docker daemon of its own, from the Debian package `docker.io`: it pulls and runs images, and shares no code with this
//! project. Containers use the machine's network, because a network of their own would need more rights than tests should.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::outcome::Outcome;
use super::running::Running;
use super::{scratch, tool};

/// A daemon with its own socket and storage.
pub(crate) struct Daemon {
    running: Running,
    dir: TempDir,
}

impl Daemon {
    /// Starts the daemon and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one that decompresses layers itself, also where `unpigz` is installed.
    pub(crate) fn without_unpigz() -> Self {
        Self::start_with(&["MOBY_DISABLE_PIGZ", "CONTAINERD_DISABLE_PIGZ"])
    }

    /// `switches` are variables that are set to `true`.
    fn start_with(switches: &[&str]) -> Self {
        let dir = scratch();
        let path = |name: &str| dir.path().join(name);
        let mut command = Command::new("dockerd");
        command
            .arg(format!("--host=unix://{}", path("socket").display()))
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .env("HOME", dir.path())
            .envs(switches.iter().map(|name| (name, "true")));
        let mut running = Running::start("dockerd", &mut command, &path("log"));
        let socket = path("socket");
        running.until("answering", || {
            let mut info = docker(&socket);
            info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
            info.status().is_ok_and(|status| status.success())
        });
        Self { running, dir }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Its address, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Pulls an image.
    #[track_caller]
    pub(crate) fn pull(&self, image: &str) {
        tool(self.docker().args(["pull", "--quiet", image]));
    }

    /// The id of an image, in hex.
    #[track_caller]
    pub(crate) fn id(&self, image: &str) -> String {
        let id = tool(self.docker().args(["image", "inspect", "--format", "{{.Id}}", image]));
        String::from_utf8_lossy(&id).trim().trim_start_matches("sha256:").to_owned()
    }

    /// Removes names of images.
    #[track_caller]
    pub(crate) fn remove(&self, images: &[&str]) {
        tool(self.docker().args(["image", "rm", "--force"]).args(images));
    }

    /// Pulls an image into the daemon's containerd, by its own client, and reads a file of it.
    #[track_caller]
    pub(crate) fn read_by_containerd(&self, image: &str, file: &Path) -> Vec<u8> {
        let root = self.dir.path().join("mounted");
        fs::create_dir_all(&root).unwrap();
        let ctr = |args: &[&str]| {
            let mut command = Command::new("ctr");
            command.arg("--address").arg(self.dir.path().join("exec/containerd/containerd.sock"));
            command.args(["--namespace", "acceptance"]).args(args);
            command
        };
        tool(&mut ctr(&["images", "pull", "--plain-http", "--snapshotter", "native", image]));
        tool(ctr(&["images", "mount", "--snapshotter", "native", image]).arg(&root));
        let bytes = fs::read(root.join(file.strip_prefix("/").unwrap()));
        tool(ctr(&["images", "unmount"]).arg(&root));
        bytes.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Runs an image to its end; `options` stand before its name, `args` after.
    pub(crate) fn run(&self, image: &str, options: &[&str], args: &[&str]) -> Outcome {
        let mut command = self.docker();
        command.args(["run", "--rm", "--network=host"]).args(options).arg(image).args(args);
        let output = command.output().unwrap();
        Outcome::new(format!("docker run {} {image} {}", options.join(" "), args.join(" ")), &output)
    }

    /// Starts an image beside the test.
    pub(crate) fn serve(&self, image: &str, options: &[&str]) -> Container<'_> {
        self.beside("server", image, options, &[])
    }

    /// Starts a command in an image beside the test, as the container `name`.
    pub(crate) fn beside(&self, name: &str, image: &str, options: &[&str], args: &[&str]) -> Container<'_> {
        let log = self.dir.path().join(format!("{name}.log"));
        let mut command = self.docker();
        command.args(["run", "--rm", "--network=host", "--name", name]).args(options).arg(image).args(args);
        let file = fs::File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Container { daemon: self, name: name.to_owned(), log, child }
    }

    fn docker(&self) -> Command {
        docker(&self.dir.path().join("socket"))
    }
}

fn docker(socket: &std::path::Path) -> Command {
    let mut command = Command::new("docker");
    command.arg(format!("--host=unix://{}", socket.display())).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.running.end();
        // What it left mounted would keep its folder from being removed.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        for point in points.filter(|point| point.starts_with(self.dir.path())) {
            let _ = Command::new("umount").arg("--lazy").arg(point).status();
        }
    }
}

/// A running container, removed when this is dropped.
pub(crate) struct Container<'a> {
    daemon: &'a Daemon,
    name: String,
    log: PathBuf,
    child: Child,
}

impl Container<'_> {
    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.daemon.docker().args(["kill", &self.name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}
