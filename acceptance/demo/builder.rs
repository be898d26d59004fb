//! The part of a platform: it lays out what a builder image has, and calls the phases.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::user::User;
use crate::machine::{Trouble, copy_folder, install_buildpacks, run_image};
use crate::say;

/// The image that is built, and the one it is built on.
const APP_IMAGE: &str = "example.com/demo/hello";
const RUN_IMAGE: &str = "example.com/demo/run";
const PLATFORM_API: &str = "0.15";

/// Everything a build needs, below one folder.
pub(crate) struct Builder {
    dir: PathBuf,
    lifecycle: PathBuf,
    toolchain: PathBuf,
    /// Who detects and builds.
    pub(crate) user: User,
}

/// Who runs a phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// As the demo runs: root drops its privileges by itself.
    AsStarted,
    /// As the user of the build: the phase runs buildpacks.
    AsUser,
}

impl Builder {
    /// Makes the folders of a builder image, the run image, and a copy of the app's source.
    pub(crate) fn prepare(dir: &Path, lifecycle: &Path, user: User) -> Result<Self, Trouble> {
        remove(dir)?;
        let make = |folder: &str| {
            let path = dir.join(folder);
            fs::create_dir_all(&path).map_err(|error| Trouble::with("make", &path, &error))?;
            Ok::<_, Trouble>(path)
        };
        // Where make and cargo run the demo.
        let checkout = Path::new(".");
        let sources = checkout.join("acceptance");
        install_buildpacks(checkout, &dir.join("cnb/buildpacks"))?;
        let write =
            |path: PathBuf, text: &str| fs::write(&path, text).map_err(|error| Trouble::with("write", &path, &error));
        copy_file(&sources.join("buildpacks/order.toml"), &dir.join("cnb/order.toml"))?;
        write(dir.join("cnb/run.toml"), &format!("[[images]]\nimage = \"{RUN_IMAGE}\"\n"))?;
        copy_folder(&sources.join("apps/hello"), &make("workspace")?)?;
        make("platform/env")?;
        for folder in ["layers", "cache", "images"] {
            make(folder)?;
        }
        // The phases are run by another user than root: they, too, must be where he may go.
        copy_folder(lifecycle, &make("lifecycle")?)?;
        let toolchain = user.toolchain(&dir.join("toolchain"))?;
        run_image::make(&dir.join("images").join(RUN_IMAGE).join("latest"), dir, &user, &["/bin/bash"])?;
        let builder = Self { dir: dir.to_owned(), lifecycle: dir.join("lifecycle"), toolchain, user };
        for folder in ["workspace", "layers", "cache", "images"] {
            builder.give(&dir.join(folder))?;
        }
        Ok(builder)
    }

    /// A path below the demo's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The layout of the app image.
    pub(crate) fn image_layout(&self) -> PathBuf {
        self.dir.join("images").join(APP_IMAGE).join("latest")
    }

    /// Empties the layers folder, as every build of a platform starts with an empty one.
    pub(crate) fn fresh_layers(&self) -> Result<(), Trouble> {
        let layers = self.path("layers");
        remove(&layers)?;
        fs::create_dir_all(&layers).map_err(|error| Trouble::with("make", &layers, &error))?;
        self.give(&layers)
    }

    /// Builds with a process for each phase.
    pub(crate) fn phase_by_phase(&self) -> Result<(), Trouble> {
        let run = format!("-run={}", self.path("cnb/run.toml").display());
        self.phase("analyzer", Runs::AsStarted, &["-layout", &run, APP_IMAGE])?;
        let order = format!("-order={}", self.path("cnb/order.toml").display());
        self.phase("detector", Runs::AsUser, &[&order])?;
        self.phase("restorer", Runs::AsStarted, &["-layout", &run])?;
        self.phase("builder", Runs::AsUser, &[])?;
        self.phase("exporter", Runs::AsStarted, &["-layout", &run, &self.launcher(), APP_IMAGE])
    }

    /// Builds with the creator.
    pub(crate) fn create(&self) -> Result<(), Trouble> {
        let run = format!("-run={}", self.path("cnb/run.toml").display());
        let order = format!("-order={}", self.path("cnb/order.toml").display());
        self.phase("creator", Runs::AsStarted, &["-layout", &run, &order, &self.launcher(), APP_IMAGE])
    }

    fn launcher(&self) -> String {
        format!("-launcher={}", self.lifecycle.join("launcher").display())
    }

    /// Draws the waterfall of the last build.
    pub(crate) fn show_trace(&self) -> Result<(), Trouble> {
        let mut command = Command::new(self.lifecycle.join("lifecycle"));
        command.arg("trace").arg(self.path("layers/tracing"));
        Self::call("lifecycle trace", &mut command)
    }

    fn phase(&self, name: &str, runs: Runs, args: &[&str]) -> Result<(), Trouble> {
        let mut command = Command::new(self.lifecycle.join(name));
        command.args(args).env_clear().current_dir(&self.dir);
        if runs == Runs::AsUser {
            self.user.apply(&mut command);
        }
        let path =
            std::env::join_paths([self.toolchain.clone(), "/usr/local/bin".into(), "/usr/bin".into(), "/bin".into()]);
        let path = path.map_err(|error| Trouble::new(format!("PATH cannot hold the toolchain: {error}")))?;
        command
            .env("PATH", path)
            .env("HOME", &self.dir)
            .env("CNB_PLATFORM_API", PLATFORM_API)
            .env("CNB_EXPERIMENTAL_MODE", "quiet") // images as OCI layouts are experimental
            .env("CNB_TELEMETRY", "true")
            .env("CNB_LAYERS_DIR", self.path("layers"))
            .env("CNB_APP_DIR", self.path("workspace"))
            .env("CNB_PLATFORM_DIR", self.path("platform"))
            .env("CNB_BUILDPACKS_DIR", self.path("cnb/buildpacks"))
            .env("CNB_CACHE_DIR", self.path("cache"))
            .env("CNB_LAYOUT_DIR", self.path("images"))
            .env("CNB_USER_ID", self.user.uid.to_string())
            .env("CNB_GROUP_ID", self.user.gid.to_string());
        let shown: Vec<&str> =
            args.iter().copied().filter(|arg| !arg.starts_with("-run=") && !arg.contains("er=")).collect();
        say(format!("\n\x1b[36m$ {name} {}\x1b[0m", shown.join(" ")));
        Self::call(name, &mut command)
    }

    fn call(name: &str, command: &mut Command) -> Result<(), Trouble> {
        let status = command.status().map_err(|error| Trouble::new(format!("{name} does not start: {error}")))?;
        if status.success() { Ok(()) } else { Err(Trouble::new(format!("{name} ended with {status}"))) }
    }

    /// Gives a folder to the user of the build.
    fn give(&self, folder: &Path) -> Result<(), Trouble> {
        if !self.user.we_are_root {
            return Ok(());
        }
        let owner = format!("{}:{}", self.user.uid, self.user.gid);
        Self::call("chown", Command::new("chown").arg("-R").arg(owner).arg(folder))
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Trouble> {
    fs::copy(from, to).map(drop).map_err(|error| Trouble::with("copy", from, &error))
}

fn remove(folder: &Path) -> Result<(), Trouble> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Trouble::with("remove", folder, &error)),
        _ => Ok(()),
    }
}
