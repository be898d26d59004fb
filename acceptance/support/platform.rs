//! The part of a platform: the folders of a builder image, and the phases called as a platform calls them, each by the
//! right user, with an environment of nothing but what is given.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::outcome::Outcome;
use super::registry::Registry;
use super::{builder, checkout, give, lifecycle_dir, scratch};
use crate::machine::user::User;
use crate::machine::{copy_folder, install_buildpacks, run_image};

/// The programs of the run image: a shell for profile scripts, and something to look around with.
const PROGRAMS: [&str; 4] = ["/bin/bash", "/usr/bin/cat", "/usr/bin/env", "/usr/bin/id"];

/// Everything a build needs, below one folder that is gone when this is dropped.
pub(crate) struct Platform {
    dir: TempDir,
    user: User,
    toolchain: Option<PathBuf>,
    env: BTreeMap<String, String>,
}

impl Platform {
    /// Makes the folders, the sample buildpacks and an empty app, and the run image's layout. The order is of `samples/greeting` alone,
    /// which takes no time.
    pub(crate) fn new() -> Self {
        let (dir, user) = (scratch(), builder());
        let path = |name: &str| dir.path().join(name);
        for folder in ["layers", "workspace", "cache", "platform/env", "home", "tmp", "report"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        copy_folder(&lifecycle_dir(), &path("lifecycle")).unwrap();
        install_buildpacks(&checkout(), &path("buildpacks")).unwrap();
        run_image::make(&path("run-image"), dir.path(), &user, &PROGRAMS).unwrap();
        let platform = Self { dir, user, toolchain: None, env: BTreeMap::new() };
        platform.order(&[("samples/greeting", "0.2.0")]);
        platform.write("workspace/greeting.txt", "Good day\n");
        platform
    }

    /// The same with the sample app, all sample buildpacks and a toolchain to compile it.
    pub(crate) fn with_sample_app() -> Self {
        let mut platform = Self::new();
        fs::copy(checkout().join("acceptance/buildpacks/order.toml"), platform.path("order.toml")).unwrap();
        copy_folder(&checkout().join("acceptance/apps/hello"), &platform.path("workspace")).unwrap();
        platform.toolchain = Some(platform.user.toolchain(&platform.path("toolchain")).unwrap());
        platform
    }

    /// Pushes the run image to a registry, and names it in run.toml.
    pub(crate) fn run_image_in(self, registry: &Registry) -> Self {
        registry.push(&self.path("run-image"), "run");
        self.run_image(&registry.image("run"));
        self
    }

    /// Makes another run image, which has one program more, and gives its layout.
    pub(crate) fn newer_run_image(&self, program: &str) -> PathBuf {
        let layout = self.path("newer-run-image");
        let programs = [&PROGRAMS[..], &[program]].concat();
        run_image::make(&layout, &self.path("newer"), &self.user, &programs).unwrap();
        layout
    }

    /// Names the run image in run.toml.
    pub(crate) fn run_image(&self, image: &str) {
        self.write("run.toml", &format!("[[images]]\nimage = \"{image}\"\n"));
    }

    /// Sets a variable for the phases that follow.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Writes order.toml with one group.
    pub(crate) fn order(&self, group: &[(&str, &str)]) {
        let members =
            group.iter().map(|(id, version)| format!("[[order.group]]\nid = \"{id}\"\nversion = \"{version}\"\n"));
        self.write("order.toml", &format!("[[order]]\n{}", members.collect::<String>()));
    }

    /// A path below the platform's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Gives a folder to the user of the build.
    pub(crate) fn give(&self, name: &str) {
        give(&self.path(name), &self.user);
    }

    /// The user and group of the build, as the configuration of an image has them.
    pub(crate) fn owner(&self) -> String {
        format!("{}:{}", self.user.uid, self.user.gid)
    }

    /// Runs a phase as root, except those that run buildpacks and refuse to be root.
    pub(crate) fn run(&self, phase: &str, args: &[&str]) -> Outcome {
        self.run_by(phase, args, !matches!(phase, "detector" | "builder"))
    }

    /// Runs any phase as root.
    pub(crate) fn run_as_root(&self, phase: &str, args: &[&str]) -> Outcome {
        self.run_by(phase, args, true)
    }

    /// Runs any phase as the user of the build.
    pub(crate) fn run_as_builder(&self, phase: &str, args: &[&str]) -> Outcome {
        self.run_by(phase, args, false)
    }

    fn run_by(&self, phase: &str, args: &[&str], as_root: bool) -> Outcome {
        let mut command = self.command(phase, args, as_root);
        let output = command.output().unwrap_or_else(|error| panic!("{phase} does not start: {error}"));
        Outcome::new(format!("{phase} {}", args.join(" ")), &output)
    }

    /// A phase that is yet to be started, as root or as the user of the build.
    pub(crate) fn command(&self, phase: &str, args: &[&str], as_root: bool) -> Command {
        let mut command = Command::new(self.path("lifecycle").join(phase));
        command.args(args).env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        if !as_root {
            for folder in ["layers", "workspace", "cache"] {
                give(&self.path(folder), &self.user);
            }
            self.user.apply(&mut command);
        }
        let folders = self.toolchain.iter().map(PathBuf::as_path);
        let folders = folders.chain(["/usr/local/bin", "/usr/bin", "/bin"].map(Path::new));
        let path = |name: &str| self.path(name).into_os_string();
        command
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("HOME", path("home"))
            .env("CNB_PLATFORM_API", "0.15")
            .env("CNB_NO_COLOR", "true")
            .env("CNB_LAYERS_DIR", path("layers"))
            .env("CNB_APP_DIR", path("workspace"))
            .env("CNB_PLATFORM_DIR", path("platform"))
            .env("CNB_BUILDPACKS_DIR", path("buildpacks"))
            .env("CNB_ORDER_PATH", path("order.toml"))
            .env("CNB_RUN_PATH", path("run.toml"))
            .env("CNB_CACHE_DIR", path("cache"))
            .env("CNB_USER_ID", self.user.uid.to_string())
            .env("CNB_GROUP_ID", self.user.gid.to_string())
            .envs(&self.env);
        command
    }

    /// The user of the build.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// Builds with a process for each phase, and returns what the exporter said.
    #[track_caller]
    pub(crate) fn build(&self, image: &str, more_tags: &[&str]) -> Outcome {
        self.fresh_layers();
        // The analyzer takes more names by a flag, the exporter as further arguments.
        let tags: Vec<String> = more_tags.iter().map(|name| format!("-tag={name}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        self.run("analyzer", &[&tags[..], &[image]].concat()).exits(0).done();
        self.run("detector", &[]).exits(0).done();
        self.run("restorer", &[]).exits(0).done();
        self.run("builder", &[]).exits(0).done();
        let launcher = self.launcher();
        self.run("exporter", &[&[launcher.as_str(), image], more_tags].concat()).exits(0)
    }

    /// Builds with the creator.
    pub(crate) fn create(&self, image: &str, more: &[&str]) -> Outcome {
        self.fresh_layers();
        self.run("creator", &[&[self.launcher().as_str()], more, &[image]].concat())
    }

    /// The flag that names the launcher.
    pub(crate) fn launcher(&self) -> String {
        format!("-launcher={}", self.path("lifecycle/launcher").display())
    }

    /// Empties the layers folder, as platforms do between builds; the app may have changed, too.
    pub(crate) fn fresh_layers(&self) {
        let layers = self.path("layers");
        fs::remove_dir_all(&layers).unwrap();
        fs::create_dir(&layers).unwrap();
        for folder in ["layers", "workspace"] {
            give(&self.path(folder), &self.user);
        }
    }
}
