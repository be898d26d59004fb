//! Tekton's catalogue: the tasks `buildpacks` 0.7 (the creator) and `buildpacks-phases` 0.3.
//!
//! Both give every flag, also those whose parameter nobody set. Volumes are emptyDirs, which everybody may write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::{Client, is_reported};
use crate::support::tool;

/// A client with the volumes of the tasks: workspaces below `/workspace`, the others where steps mount them.
fn client() -> Client {
    let mut client = Client::new();
    client.folders = vec![("layers", "/layers"), ("workspace", "/workspace/source"), ("cache", "/workspace/cache")];
    // The step `prepare` runs as root and gives these to the user of the builder image.
    for folder in ["layers", "workspace", "cache", "home"] {
        client.platform.give(folder);
    }
    fs::create_dir(client.platform.path("kaniko")).unwrap();
    for folder in ["layers", "kaniko", "home"] {
        fs::set_permissions(client.platform.path(folder), Permissions::from_mode(0o777)).unwrap();
    }
    client.platform.write("platform/env/SAMPLE_GREETING", "Greetings from Tekton");
    client
}

#[test]
fn tektons_task_builds_with_the_creator() {
    let client = client();
    let (app, cache) = (client.registry.image("tekton/app"), client.registry.image("tekton/cache"));
    let (uid, gid) = client.owner();
    let user = format!("--user={uid}:{gid}");
    let options = [user.as_str(), "--env=CNB_PLATFORM_API=0.9", "--env=DOCKER_CONFIG="];
    let create = |cache: [&str; 2], says: &str| {
        let more = [
            cache[0],
            cache[1],
            &format!("-uid={uid}"),
            &format!("-gid={gid}"),
            "-layers=/layers",
            "-platform=/platform",
            "-report=/layers/report.toml",
            "-process-type=shell",
            "-skip-restore=false",
            &format!("-previous-image={app}"),
            "-run-image=",
            &app,
        ];
        let create = [&["/cnb/lifecycle/creator", "-app=/workspace/source/"][..], &more].concat();
        let created = client.on_builder(&options, &create).exits(0).says("Greeting: Greetings from Tekton");
        created.says(&format!("{says} layer 'samples/greeting:greeting'")).done();
    };
    create(["-cache-dir=/workspace/cache", "-cache-image="], "Adding");
    client.platform.fresh_layers();
    // Its mode is in the layers of the image.
    fs::set_permissions(client.platform.path("layers"), Permissions::from_mode(0o777)).unwrap();
    let cache = format!("-cache-image={cache}");
    create(["-cache-dir=", &cache], "Reusing");
    let image = client.fetch(&app, "app");
    is_reported(&client.platform.path("layers/report.toml"), &app, &image);
    assert_eq!(image.config["config"]["Entrypoint"][0], "/cnb/process/shell");
    client.fetch(&client.registry.image("tekton/cache"), "cache-image");
}

#[test]
fn tektons_task_builds_phase_by_phase() {
    let client = client();
    let app = client.registry.image("tekton/phases");
    let run_image = format!("-run-image={}", client.registry.image("run"));
    let (uid, gid) = client.owner();
    let (user, home, kaniko) =
        (format!("--user={uid}:{gid}"), client.volume("home", "/tekton/home"), client.volume("kaniko", "/kaniko"));
    let gid_env = format!("--env=GID={gid}");
    let (uid, gid) = (format!("-uid={uid}"), format!("-gid={gid}"));
    let options = [
        user.as_str(),
        &home,
        "--env=CNB_PLATFORM_API=0.13",
        // The task's own word, which is none of the specification's.
        "--env=CNB_EXPERIMENTAL_MODE=silent",
        "--env=HOME=/tekton/home",
    ];
    let app_dir = "-app=/workspace/source/";
    for says in ["Adding", "Reusing"] {
        let analyze = [
            "/cnb/lifecycle/analyzer",
            "-log-level=info",
            "-layers=/layers",
            &run_image,
            "-cache-image=",
            &uid,
            &gid,
            "-insecure-registry=",
            "-tag=",
            "-skip-layers=false",
            &app,
        ];
        client.on_builder(&options, &analyze).exits(0).done();
        let plan = ["-group=/layers/group.toml", "-plan=/layers/plan.toml"];
        let detect = ["/cnb/lifecycle/detector", "-log-level=info", app_dir, plan[0], plan[1]];
        let detect = [&detect[..], &["-layers=/layers", "-platform=/platform"]].concat();
        client.on_builder(&options, &detect).exits(0).says("samples/greeting").done();

        // A script: what is not set is empty, and `UID` is bash's own.
        let builder_image = format!("--env=CNB_BUILDER_IMAGE={}", client.builder_image);
        let variables = ["--env=CNB_LOG_LEVEL=info", "--env=CNB_BUILD_IMAGE=", "--env=CNB_CACHE_IMAGE="];
        let more = ["--env=CNB_INSECURE_REGISTRIES=", "--env=CNB_SKIP_LAYERS=false", &builder_image, &kaniko, &gid_env];
        let script = "export BUILD_IMAGE=${CNB_BUILD_IMAGE:-${CNB_BUILDER_IMAGE}}
            /cnb/lifecycle/restorer -log-level=${CNB_LOG_LEVEL} -build-image=${BUILD_IMAGE} -group=/layers/group.toml \
            -layers=${CNB_LAYERS_DIR} -cache-dir=/workspace/cache -cache-image=${CNB_CACHE_IMAGE} -uid=${UID} \
            -gid=${GID} -insecure-registry=${CNB_INSECURE_REGISTRIES} -skip-layers=${CNB_SKIP_LAYERS}";
        let restore = client.on_builder(&[&options[..], &variables, &more].concat(), &["/bin/bash", "-c", script]);
        restore.exits(0).done();
        assert!(client.platform.path("kaniko/cache/base").is_dir(), "the build image's manifest and configuration");

        let build = ["/cnb/lifecycle/builder", "-log-level=info", app_dir, "-layers=/layers", plan[0], plan[1]];
        let build = [&build[..], &["-platform=/platform"]].concat();
        client.on_builder(&options, &build).exits(0).says("Greetings from Tekton").done();
        let export = [
            "/cnb/lifecycle/exporter",
            "-log-level=info",
            app_dir,
            "-layers=/layers",
            "-group=/layers/group.toml",
            "-cache-dir=/workspace/cache",
            "-cache-image=",
            "-report=/layers/report.toml",
            "-process-type=shell",
            &uid,
            &gid,
            "-insecure-registry=",
            &app,
        ];
        let exported = client.on_builder(&options, &export).exits(0);
        exported.says(&format!("{says} layer 'samples/greeting:greeting'")).done();
    }
    let image = client.fetch(&app, "app");
    is_reported(&client.platform.path("layers/report.toml"), &app, &image);
    // The task's last step reads the report so.
    let read = "import tomllib; print(tomllib.load(open('report.toml', 'rb'))['image']['digest'])";
    let mut python = std::process::Command::new("python3");
    let digest = tool(python.args(["-c", read]).current_dir(client.platform.path("layers")));
    assert_eq!(String::from_utf8_lossy(&digest).trim(), image.digest);
}
