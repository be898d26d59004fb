//! Phases in containers, started as clients start them: the very arguments, variables, users, capabilities, mounts and
//! working directories.
//!
//! Catalogue 3, sections C5 and C6, items 52 to 54; pack-contract, section 2. Of the clients themselves, those that need
//! a cluster or a network cannot be had on an empty machine: what they do was noted from their source and from real
//! builds.

/// Images that have a C library, busybox alone, or nothing.
mod bases;
/// The examples of `docs/examples`, with a sidecar.
mod examples;
/// kpack.
mod kpack;
/// pack.
mod pack;
/// Spring Boot's plugins.
mod spring_boot;
/// The tasks of Tekton's catalogue.
mod tekton;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::machine::run_image;
use crate::support::daemon::Daemon;
use crate::support::image::Image;
use crate::support::outcome::Outcome;
use crate::support::platform::Platform;
use crate::support::registry::Registry;
use crate::support::{lifecycle_dir, tool};

/// What the builder image has besides the lifecycle: what the sample buildpacks call.
const PROGRAMS: [&str; 13] = [
    "/bin/bash",
    "/usr/bin/cat",
    "/usr/bin/cp",
    "/usr/bin/date",
    "/usr/bin/env",
    "/usr/bin/find",
    "/usr/bin/install",
    "/usr/bin/mkdir",
    "/usr/bin/od",
    "/usr/bin/sed",
    "/usr/bin/sleep",
    "/usr/bin/tr",
    "/usr/bin/wc",
];
/// What clients call the images' folders.
const FOLDERS: [(&str, &str); 3] = [("layers", "/layers"), ("workspace", "/workspace"), ("cache", "/cache")];

/// What the builder image and the run image are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// Programs of this machine, with its C library.
    Glibc,
    /// One static program: no bash.
    Busybox,
    /// Nothing; a builder image must name the user of the build, so that one has `/etc/passwd`.
    Empty,
}

impl Base {
    /// Makes an image in the folder `name` of the platform's, with `programs` where there is room for them; `users` says
    /// whether it names the user of the build.
    fn make(self, platform: &Platform, name: &str, programs: &[&str], users: bool) {
        let (layout, root) = (platform.path(name), platform.path(&format!("{name}-root")));
        match self {
            Base::Glibc => run_image::lay_out(&root, platform.user(), programs).unwrap(),
            Base::Busybox => {
                let bin = root.join("bin");
                fs::create_dir_all(&bin).unwrap();
                fs::copy("/bin/busybox", bin.join("busybox")).unwrap_or_else(|error| {
                    panic!("/bin/busybox: {error}; acceptance/install-packages installs busybox-static")
                });
                for program in ["sh", "cat", "env"] {
                    symlink("busybox", bin.join(program)).unwrap();
                }
            }
            Base::Empty => fs::create_dir(&root).unwrap(),
        }
        if users {
            run_image::users(&root, platform.user()).unwrap();
        }
        run_image::of_folder(&layout, &root, platform.user()).unwrap();
    }
}

/// A client with a registry, a daemon, a builder image and a lifecycle image.
struct Client {
    daemon: Daemon,
    registry: Registry,
    platform: Platform,
    folders: Vec<(&'static str, &'static str)>,
    lifecycle_image: String,
    builder_image: String,
}

impl Client {
    fn new() -> Self {
        Self::on(Base::Glibc)
    }

    /// A client whose builder image and run image have this base.
    fn on(base: Base) -> Self {
        let registry = Registry::plain();
        let platform = Platform::new().run_image_in(&registry);
        base.make(&platform, "builder-image", &PROGRAMS, true);
        registry.push(&platform.path("builder-image"), "builder");
        if base != Base::Glibc {
            base.make(&platform, "bare-run-image", &[], false);
            registry.push(&platform.path("bare-run-image"), "run");
        }
        registry.push(&lifecycle_dir().with_file_name("image"), "lifecycle");
        let daemon = Daemon::start();
        let (lifecycle_image, builder_image) = (registry.image("lifecycle"), registry.image("builder"));
        daemon.pull(&lifecycle_image);
        daemon.pull(&builder_image);
        tool(Command::new("chmod").arg("1777").arg(platform.path("tmp")));
        platform.write("stack.toml", &format!("[run-image]\nimage = \"{}\"\n", registry.image("run")));
        platform.write(
            "layers/run.toml",
            &format!("[[images]]\nimage = \"{}\"\n[[images]]\nimage = \"\"\n", registry.image("run")),
        );
        platform.write("layers/project-metadata.toml", "");
        let folders = FOLDERS.to_vec();
        Self { daemon, registry, platform, folders, lifecycle_image, builder_image }
    }

    /// Runs a phase on the builder image, which is the one that has buildpacks, order and lifecycle.
    fn on_builder(&self, options: &[&str], command: &[&str]) -> Outcome {
        let all = self.builder_options(options);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.daemon.run(&self.builder_image, &all, command)
    }

    /// Options of `docker run` for the builder image.
    fn builder_options(&self, options: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        for (name, place) in [
            ("lifecycle", "/cnb/lifecycle"),
            ("buildpacks", "/cnb/buildpacks"),
            ("order.toml", "/cnb/order.toml"),
            ("run.toml", "/cnb/run.toml"),
            ("stack.toml", "/cnb/stack.toml"),
            ("platform", "/platform"),
        ] {
            all.push(format!("--volume={}:{place}:ro", self.platform.path(name).display()));
        }
        all.extend(self.ids());
        // The image's own folder for temporary files, if it has one, belongs to root, and docker gives a tmpfs the mode of
        // what it covers.
        all.push(self.volume("tmp", "/tmp"));
        self.all_options(all, options)
    }

    /// Runs a phase on the lifecycle image, which has nothing else but a folder for temporary files.
    fn on_lifecycle(&self, options: &[&str], command: &[&str]) -> Outcome {
        let all = self.all_options(self.ids(), options);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.daemon.run(&self.lifecycle_image, &all, command)
    }

    fn all_options(&self, mut all: Vec<String>, options: &[&str]) -> Vec<String> {
        all.extend(self.folders.iter().map(|(name, place)| self.volume(name, place)));
        all.extend(["--workdir=/layers".to_owned(), "--entrypoint=".to_owned()]);
        all.extend(options.iter().map(|&option| option.to_owned()));
        all
    }

    /// The option that mounts a folder of the platform's.
    fn volume(&self, name: &str, place: &str) -> String {
        format!("--volume={}:{place}", self.platform.path(name).display())
    }

    /// The option that mounts the daemon's socket.
    fn socket(&self) -> String {
        format!("--volume={}:/var/run/docker.sock", self.daemon.socket().display())
    }

    /// The variables that a builder image has.
    fn ids(&self) -> Vec<String> {
        let (user, group) = self.owner();
        vec![format!("--env=CNB_USER_ID={user}"), format!("--env=CNB_GROUP_ID={group}")]
    }

    fn owner(&self) -> (String, String) {
        let owner = self.platform.owner();
        let (user, group) = owner.split_once(':').unwrap();
        (user.to_owned(), group.to_owned())
    }

    /// Fetches what was built, and checks that it is whole.
    fn fetch(&self, app: &str, folder: &str) -> Image {
        Image::fetch(&self.registry, app, &self.platform.path(folder))
    }
}

/// Checks that report.toml names the image and its digest, as kpack reads it.
fn is_reported(report: &Path, app: &str, image: &Image) {
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains(&format!("tags = [\"{app}")), "{report}");
    assert!(report.contains(&format!("digest = \"{}\"", image.digest)), "{report}");
}
