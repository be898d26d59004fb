//! Phases in containers, started as clients start them: the very arguments, variables, users, capabilities, mounts and
//! working directories.
//!
//! Catalogue 3, sections C5 and C6, items 52 to 54; pack-contract, section 2. The clients themselves cannot be had on an
//! empty machine, so what they do was noted from their source and from real builds.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::run_image;
use crate::support::daemon::Daemon;
use crate::support::image::Image;
use crate::support::outcome::Outcome;
use crate::support::platform::Platform;
use crate::support::registry::Registry;
use crate::support::{builder, checkout, lifecycle_dir, tool};

/// What the builder image has besides the lifecycle: what the sample buildpack calls.
const PROGRAMS: [&str; 5] = ["/bin/bash", "/usr/bin/cat", "/usr/bin/env", "/usr/bin/install", "/usr/bin/mkdir"];
/// What clients call the images' folders.
const FOLDERS: [(&str, &str); 3] = [("layers", "/layers"), ("workspace", "/workspace"), ("cache", "/cache")];

/// A client with a registry, a daemon, a builder image and a lifecycle image.
struct Client {
    daemon: Daemon,
    registry: Registry,
    platform: Platform,
    lifecycle_image: String,
    builder_image: String,
}

impl Client {
    fn new() -> Self {
        let registry = Registry::plain();
        let platform = Platform::new().run_image_in(&registry);
        let (layout, scratch) = (platform.path("builder-image"), platform.path("builder-root"));
        fs::create_dir(&scratch).unwrap();
        run_image::make(&layout, &scratch, &builder(), &PROGRAMS).unwrap();
        registry.push(&layout, "builder");
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
        Self { daemon, registry, platform, lifecycle_image, builder_image }
    }

    /// Runs a phase on the builder image, which is the one that has buildpacks, order and lifecycle.
    fn on_builder(&self, options: &[&str], command: &[&str]) -> Outcome {
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
        let (user, group) = self.owner();
        all.extend([format!("--env=CNB_USER_ID={user}"), format!("--env=CNB_GROUP_ID={group}")]);
        // The image's own folder for temporary files belongs to root, and docker gives a tmpfs the mode of what it covers.
        all.push(format!("--volume={}:/tmp", self.platform.path("tmp").display()));
        self.run(&self.builder_image, all, options, command)
    }

    /// Runs a phase on the lifecycle image, which has nothing else.
    fn on_lifecycle(&self, options: &[&str], command: &[&str]) -> Outcome {
        let (user, group) = self.owner();
        let ids = vec![format!("--env=CNB_USER_ID={user}"), format!("--env=CNB_GROUP_ID={group}")];
        // Nothing else: the image has a folder for temporary files.
        self.run(&self.lifecycle_image, ids, options, command)
    }

    fn run(&self, image: &str, mut all: Vec<String>, options: &[&str], command: &[&str]) -> Outcome {
        for (name, place) in FOLDERS {
            all.push(format!("--volume={}:{place}", self.platform.path(name).display()));
        }
        all.extend(["--workdir=/layers".to_owned(), "--entrypoint=".to_owned()]);
        let all: Vec<&str> = all.iter().map(String::as_str).chain(options.iter().copied()).collect();
        self.daemon.run(image, &all, command)
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

#[test]
fn kpack_builds_with_one_user_and_no_capability() {
    let client = Client::new();
    let (app, run) = (client.registry.image("kpack/app"), client.registry.image("run"));
    for folder in ["layers", "workspace", "cache", "home", "report"] {
        client.platform.give(folder);
    }
    let (user, home, report) = (
        format!("--user={}", client.platform.owner()),
        format!("--volume={}:/builder/home", client.platform.path("home").display()),
        format!("--volume={}:/var/report", client.platform.path("report").display()),
    );
    let run_image = format!("--env=CNB_RUN_IMAGE={run}");
    let base = [
        user.as_str(),
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--env=CNB_PLATFORM_API=0.9",
        "--env=CNB_STACK_ID=com.example.demo",
    ];
    let phase = |more: &[&str], command: &[&str]| client.on_builder(&[&base[..], more].concat(), command).exits(0);
    let with_home = [home.as_str(), "--env=HOME=/builder/home"];
    for build in ["first", "second"] {
        let run_flag = format!("-run-image={run}");
        let analyze =
            ["/cnb/lifecycle/analyzer", "-layers=/layers", "-analyzed=/layers/analyzed.toml", &run_flag, &app];
        phase(&with_home, &analyze).done();
        let detect = ["-app=/workspace", "-group=/layers/group.toml", "-plan=/layers/plan.toml"];
        phase(&[], &[&["/cnb/lifecycle/detector"], &detect[..]].concat()).says("samples/greeting").done();
        let restore = [
            "/cnb/lifecycle/restorer",
            "-group=/layers/group.toml",
            "-layers=/layers",
            "-cache-dir=/cache",
            "-analyzed=/layers/analyzed.toml",
        ];
        phase(&with_home, &restore).done();
        let build_args = ["-layers=/layers", "-app=/workspace", "-group=/layers/group.toml", "-plan=/layers/plan.toml"];
        let bindings = ["--env=SERVICE_BINDING_ROOT=/platform/bindings"];
        phase(&bindings, &[&["/cnb/lifecycle/builder"], &build_args[..]].concat()).says("Greeting: Good day").done();
        let export = [
            "/cnb/lifecycle/exporter",
            "-layers=/layers",
            "-app=/workspace",
            "-group=/layers/group.toml",
            "-analyzed=/layers/analyzed.toml",
            "-project-metadata=/layers/project-metadata.toml",
            "-cache-dir=/cache",
            "-report=/var/report/report.toml",
            &app,
        ];
        let more = [&with_home[..], &[&report, &run_image, "--env=SOURCE_DATE_EPOCH=1700000000"]].concat();
        let exported = phase(&more, &export);
        if build == "second" {
            exported.says("Reusing layer 'samples/greeting:greeting'").done();
        }
        let image = client.fetch(&app, build);
        is_reported(&client.platform.path("report/report.toml"), &app, &image);
        assert_eq!(image.config["created"], "2023-11-14T22:13:20Z");
        let metadata = image.label("io.buildpacks.lifecycle.metadata");
        assert_eq!(metadata["stack"]["runImage"]["image"], run.as_str(), "kpack parses it as a reference");
        assert!(metadata["runImage"]["reference"].as_str().unwrap().starts_with(&format!("{run}@sha256:")));
    }
}

#[test]
fn pack_builds_for_a_registry_in_five_containers() {
    let client = Client::new();
    let (app, more, run) =
        (client.registry.image("pack/app"), client.registry.image("pack/app:more"), client.registry.image("run"));
    // The app is the user's; the volume of layers is root's.
    client.platform.give("workspace");
    let env = ["--env=CNB_PLATFORM_API=0.15", "--env=CNB_EXEC_ENV=production", "--security-opt=no-new-privileges"];
    let auth = "--env=CNB_REGISTRY_AUTH={}";
    let root = [&env[..], &[auth, "--user=0:0"]].concat();
    let owner = format!("--user={}", client.platform.owner());
    let user = [&env[..], &[&owner, "--cap-drop=ALL"]].concat();
    let analyze = ["-log-level", "debug", "-run", "/layers/run.toml", "-run-image", &run, "-tag", &more, &app];
    client.on_lifecycle(&root, &[&["/cnb/lifecycle/analyzer"], &analyze[..]].concat()).exits(0).done();
    client.on_builder(&user, &["/cnb/lifecycle/detector", "-app", "/workspace"]).exits(0).done();
    client.on_lifecycle(&root, &["/cnb/lifecycle/restorer", "-cache-dir", "/cache"]).exits(0).done();
    client.on_builder(&user, &["/cnb/lifecycle/builder", "-app", "/workspace"]).exits(0).done();
    let export = ["-app", "/workspace", "-cache-dir", "/cache", "-run", "/layers/run.toml", &app, &more];
    let exported = client.on_lifecycle(&root, &[&["/cnb/lifecycle/exporter"], &export[..]].concat()).exits(0);
    exported.says("Adding layer 'samples/greeting:greeting'").hides("Did not find SBOM").done();

    let image = client.fetch(&app, "app");
    assert_eq!(client.fetch(&more, "more").digest, image.digest);
    assert_eq!(image.config["config"]["WorkingDir"], "/workspace");
    is_reported(&client.platform.path("layers/report.toml"), &app, &image);
    for name in ["sbom.cdx.json", "sbom.spdx.json", "sbom.syft.json"] {
        let place = client.platform.path("layers/sbom/launch/buildpacksio_lifecycle/launcher").join(name);
        assert!(place.exists(), "the SBOM of the launcher goes into the app image: {}", place.display());
    }
}

#[test]
fn pack_builds_into_the_daemon_with_the_creator() {
    let client = Client::new();
    client.platform.give("workspace");
    fs::create_dir(client.platform.path("launch-cache")).unwrap();
    let run = client.registry.image("run");
    client.daemon.pull(&run);
    let (socket, launch_cache) = (
        format!("--volume={}:/var/run/docker.sock", client.daemon.socket().display()),
        format!("--volume={}:/launch-cache", client.platform.path("launch-cache").display()),
    );
    let options = [
        socket.as_str(),
        &launch_cache,
        "--security-opt=label=disable",
        "--user=0:0",
        "--env=CNB_PLATFORM_API=0.15",
        "--env=CNB_EXEC_ENV=production",
    ];
    let create = [
        "/cnb/lifecycle/creator",
        "-daemon",
        "-launch-cache",
        "/launch-cache",
        "-app",
        "/workspace",
        "-cache-dir",
        "/cache",
        "-run-image",
        &run,
        "-tag",
        "pack/app:more",
        "pack/app",
    ];
    client.on_builder(&options, &create).exits(0).says("Adding layer 'samples/greeting:greeting'").done();
    client.platform.fresh_layers();
    client.on_builder(&options, &create).exits(0).says("Reusing layer 'samples/greeting:greeting'").done();
    for name in ["pack/app", "pack/app:more"] {
        let shell = ["--entrypoint", "/cnb/process/shell"];
        client.daemon.run(name, &shell, &[]).exits(0).says("Good day, from a shell").done();
    }
}

#[test]
fn the_example_for_kubernetes_builds_unprivileged_on_two_images() {
    let client = Client::new();
    let (app, run) = (client.registry.image("kubernetes/app"), client.registry.image("run"));
    client.platform.give("workspace");
    let (user, group) = client.owner();
    // As the kubelet makes an emptyDir for an fsGroup: root's, and the group may write.
    for folder in ["layers", "cache"] {
        tool(Command::new("chown").arg(format!("0:{group}")).arg(client.platform.path(folder)));
        tool(Command::new("chmod").arg("2775").arg(client.platform.path(folder)));
    }
    let owner = format!("--user={user}:{group}");
    let options = [
        owner.as_str(),
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--env=CNB_PLATFORM_API=0.15",
        "--env=CNB_NO_COLOR=true",
        "--env=CNB_TELEMETRY=true",
    ];
    // What the example has, with the images of this test in it.
    let example = fs::read_to_string(checkout().join("docs/examples/kubernetes-job.yaml")).unwrap();
    let example = example.replace("registry.example.com/run:latest", &run);
    let example = example.replace("registry.example.com/apps/hello:latest", &app);
    let args = |program: &str| -> Vec<String> {
        let program = format!("command: [/cnb/lifecycle/{program}]\n");
        let (_, behind) = example.split_once(&program).unwrap_or_else(|| panic!("the example has no {program}"));
        let args = behind.lines().next().unwrap().trim().strip_prefix("args: [");
        let args = args.map(|args| args.trim_end_matches(']').split(", ").map(str::to_owned).collect());
        args.unwrap_or_default()
    };
    for program in ["analyzer", "detector", "restorer", "builder", "exporter"] {
        let path = format!("/cnb/lifecycle/{program}");
        let args = args(program);
        let command: Vec<&str> = std::iter::once(path.as_str()).chain(args.iter().map(String::as_str)).collect();
        let ended = if matches!(program, "detector" | "builder") {
            client.on_builder(&options, &command)
        } else {
            client.on_lifecycle(&options, &command)
        };
        ended.exits(0).hides("Warning").done();
    }
    is_reported(&client.platform.path("layers/report.toml"), &app, &client.fetch(&app, "app"));
    // The collector is another program: the files are where the example looks for them.
    assert!(example.contains("include: [/layers/tracing/**/*.jsonl]"));
    for phase in ["analyze", "detect", "restore", "build", "export"] {
        let spans = client.platform.read(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
        assert!(spans.contains("resourceSpans"), "{phase}");
    }
}
