//! The world of a test: the folders of a builder image and a build, and the only way to run a phase.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use serde_json::Value;
use tempfile::TempDir;

use super::Outcome;
use super::image::Image;

/// The image that tests write.
pub(crate) const APP_IMAGE: &str = "example.com/test/app";
/// The image that they write it on.
pub(crate) const RUN_IMAGE: &str = "example.com/test/run";

/// The user of builds when the tests run as root, who may not build: "nobody", who is in every /etc/passwd, where the
/// creator looks.
const USER: (u32, u32) = (65_534, 65_534);

/// Folders of one build, gone when it is dropped.
pub(crate) struct World {
    dir: TempDir,
    api: &'static str,
}

impl World {
    /// Makes the folders, an empty run image, and a link to the program under each of its names; the launcher that
    /// runs is `launch`, for the one that is exported is a text.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("lifecycle-test-").tempdir().unwrap();
        let world = Self { dir, api: "0.15" };
        for folder in
            ["layers", "workspace", "platform/env", "buildpacks", "extensions", "cache", "images", "bin", "tmp"]
        {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        link(Path::new(env!("CARGO_BIN_EXE_lifecycle")), &world.path("bin/lifecycle"));
        for name in ["analyzer", "detector", "restorer", "extender", "builder", "exporter", "creator", "rebaser"] {
            symlink("lifecycle", world.path("bin").join(name)).unwrap();
        }
        fs::write(world.path("bin/launcher"), "launcherbin\n").unwrap();
        link(Path::new(env!("CARGO_BIN_EXE_launcher")), &world.path("bin/launch"));
        world.write("run.toml", &format!("[[images]]\nimage = \"{RUN_IMAGE}\"\n"));
        world.write("order.toml", "");
        Image::default().write(&world.layout(RUN_IMAGE));
        world
    }

    /// Asks for another Platform API than 0.15.
    pub(crate) fn at(mut self, api: &'static str) -> Self {
        self.api = api;
        self
    }

    /// A path in the world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The layout of an image's tag `latest`.
    pub(crate) fn layout(&self, image: &str) -> PathBuf {
        self.path("images").join(image).join("latest")
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _alone = nothing_starts();
        fs::write(path, text).unwrap();
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Adds a buildpack: what its descriptor has below `[buildpack]` with id and version, and its two programs, as
    /// shell scripts without the first line. An empty script is no program.
    pub(crate) fn buildpack(&self, id: &str, api: &str, more: &str, detect: &str, build: &str) {
        let root = format!("buildpacks/{}/1.0", id.replace('/', "_"));
        let descriptor = format!("api = \"{api}\"\n[buildpack]\nid = \"{id}\"\nversion = \"1.0\"\n{more}");
        self.write(&format!("{root}/buildpack.toml"), &descriptor);
        for (name, script) in [("detect", detect), ("build", build)] {
            if !script.is_empty() {
                let path = format!("{root}/bin/{name}");
                self.write(&path, &format!("#!/bin/sh\n{script}\n"));
                fs::set_permissions(self.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    /// Writes order.toml: groups of ids, `?` behind those that are optional.
    pub(crate) fn order(&self, groups: &[&[&str]]) {
        let group = |ids: &[&str]| {
            let members = ids.iter().map(|id| {
                let (id, optional) = (id.trim_end_matches('?'), id.ends_with('?'));
                format!("[[order.group]]\nid = \"{id}\"\nversion = \"1.0\"\noptional = {optional}\n")
            });
            format!("[[order]]\n{}", members.collect::<String>())
        };
        self.write("order.toml", &groups.iter().map(|ids| group(ids)).collect::<String>());
    }

    /// Runs a phase with the world's folders and an app image as OCI layout, as the right user.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Outcome {
        self.run_with(program, args, &[])
    }

    /// The same with more variables; one without a value is removed.
    pub(crate) fn run_with(&self, program: &str, args: &[&str], more: &[(&str, Option<&str>)]) -> Outcome {
        self.start(program, args, more).outcome()
    }

    /// Starts a phase and does not wait for its end.
    pub(crate) fn start(&self, program: &str, args: &[&str], more: &[(&str, Option<&str>)]) -> Started {
        // Who runs the tests in the background ignores SIGINT, and so would the program.
        let mut command = Command::new("/usr/bin/env");
        command.arg("--default-signal=INT").arg(self.path("bin").join(program));
        command.args(args).env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        let path = |name: &str| self.path(name).into_os_string();
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", path("tmp"))
            .env("CNB_PLATFORM_API", self.api)
            .env("CNB_NO_COLOR", "true")
            .env("CNB_EXPERIMENTAL_MODE", "quiet")
            .env("CNB_LAYERS_DIR", path("layers"))
            .env("CNB_APP_DIR", path("workspace"))
            .env("CNB_PLATFORM_DIR", path("platform"))
            .env("CNB_BUILDPACKS_DIR", path("buildpacks"))
            .env("CNB_EXTENSIONS_DIR", path("extensions"))
            .env("CNB_BUILD_CONFIG_DIR", path("build-config"))
            .env("CNB_ORDER_PATH", path("order.toml"))
            .env("CNB_RUN_PATH", path("run.toml"))
            .env("CNB_USE_LAYOUT", "true")
            .env("CNB_LAYOUT_DIR", path("images"));
        for (name, value) in more {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if is_root() {
            // The programs stay cargo's: they are links to its own files.
            own_all(self.dir.path(), &self.path("bin"));
            command.uid(USER.0).gid(USER.1);
        }
        let (uid, gid) = if is_root() { USER } else { own_ids() };
        command.env("CNB_USER_ID", uid.to_string()).env("CNB_GROUP_ID", gid.to_string());
        let shown = format!("{program} {}", args.join(" "));
        let child = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
        Started { command: shown, child, layers: self.path("layers"), said: Vec::new() }
    }

    /// Runs all five phases; each must succeed.
    pub(crate) fn build(&self) {
        self.run("analyzer", &[APP_IMAGE]).exits(0).done();
        self.run("detector", &[]).exits(0).done();
        self.run("restorer", &["-cache-dir", "cache"]).exits(0).done();
        self.run("builder", &[]).exits(0).done();
        self.run("exporter", &["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE]).exits(0).done();
    }

    /// Empties the layers folder, as a platform does between builds.
    pub(crate) fn fresh_layers(&self) {
        fs::remove_dir_all(self.path("layers")).unwrap();
        fs::create_dir(self.path("layers")).unwrap();
    }

    /// The digest of the manifest of an image's layout.
    pub(crate) fn digest(&self, image: &str) -> String {
        let index = fs::read(self.layout(image).join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    }

    /// The manifest's digest, the manifest and the configuration of the app image.
    pub(crate) fn app_image(&self) -> (String, Value, Value) {
        let layout = self.layout(APP_IMAGE);
        let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let blob =
            |descriptor: &Value| layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"));
        let index = json(&layout.join("index.json"));
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        (self.digest(APP_IMAGE), manifest, config)
    }
}

/// A phase that runs.
pub(crate) struct Started {
    command: String,
    child: Child,
    layers: PathBuf,
    /// What was read of its output so far.
    said: Vec<u8>,
}

impl Started {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads until it has printed a text.
    #[track_caller]
    pub(crate) fn wait_to_say(&mut self, text: &str) {
        let out = self.child.stdout.as_mut().unwrap();
        while !String::from_utf8_lossy(&self.said).contains(text) {
            let mut piece = [0; 4096];
            let count = out.read(&mut piece).unwrap();
            assert!(count > 0, "it never said {text:?}: {}", String::from_utf8_lossy(&self.said));
            self.said.extend_from_slice(&piece[..count]);
        }
    }

    /// Reads no more of what it prints.
    pub(crate) fn stop_reading(&mut self) {
        self.child.stdout.take();
    }

    /// Its exit code, when it has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for its end.
    pub(crate) fn outcome(self) -> Outcome {
        let Self { command, child, layers, mut said } = self;
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{command}: {error}"));
        said.extend_from_slice(&output.stdout);
        Outcome {
            command,
            exit: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&said).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            layers,
        }
    }
}

/// Brings a program into the world: the user of the build may not get to the folder where cargo put it.
fn link(program: &Path, name: &Path) {
    fs::hard_link(program, name).or_else(|_| fs::copy(program, name).map(drop)).unwrap();
}

/// Says whether the tests run as root; phases then run as another user.
pub(crate) fn is_root() -> bool {
    own_ids().0 == 0
}

fn own_ids() -> (u32, u32) {
    let metadata = fs::metadata("/proc/self").unwrap();
    (metadata.uid(), metadata.gid())
}

/// Gives the world, but for one folder, to the user of the build.
fn own_all(path: &Path, except: &Path) {
    if path == except {
        return;
    }
    // What is theirs already stays untouched: that a file changed its owner is a change that phases notice.
    let found = fs::symlink_metadata(path).unwrap();
    if (found.uid(), found.gid()) != USER {
        std::os::unix::fs::lchown(path, Some(USER.0), Some(USER.1)).unwrap();
    }
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            own_all(&entry.unwrap().path(), except);
        }
    }
}

/// A program that is being started has all files that other threads have open until it has begun. Who runs one of them
/// that is open for writing is told that it is busy.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts nothing while a file is written that may be run.
pub(crate) fn nothing_starts() -> RwLockWriteGuard<'static, ()> {
    STARTING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program while no file is written that may be run.
pub(crate) fn start(command: &mut Command) -> io::Result<Child> {
    let _shared = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// The same, and waits for its end and what it prints.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output()
}
