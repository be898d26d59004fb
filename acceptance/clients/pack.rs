//! pack: the creator, or five containers on two images.
//!
//! Catalogue 3, section C5, item 54; pack-contract, section 2.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{Client, is_reported};
use crate::support::image::{Image, Layer};

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
    let (socket, launch_cache) = (client.socket(), client.volume("launch-cache", "/launch-cache"));
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

/// pack puts the run image into a layout first, with layers that root alone may read; the folder of the app image must be
/// one that the user of the build may write.
#[test]
fn pack_builds_a_layout_with_the_creator() {
    let client = Client::new();
    client.platform.give("workspace");
    let run = client.platform.path("run-image");
    let layer = Image::read(&run).layers().remove(0).digest.replace(':', "/");
    let layer = run.join("blobs").join(layer);
    fs::set_permissions(&layer, Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(client.platform.path("app")).unwrap();
    client.platform.give("app");
    let (run, app) = (
        client.volume("run-image", "/layout-repo/example.com/run/latest:ro"),
        client.volume("app", "/layout-repo/index.docker.io/library/app/latest"),
    );
    let options = [
        "--user=0:0",
        "--env=CNB_PLATFORM_API=0.15",
        "--env=CNB_EXEC_ENV=production",
        "--env=CNB_USE_LAYOUT=true",
        "--env=CNB_LAYOUT_DIR=/layout-repo",
        "--env=CNB_EXPERIMENTAL_MODE=warn",
        "--env=CNB_REGISTRY_AUTH={}",
        &run,
        &app,
    ];
    let create = ["/cnb/lifecycle/creator", "-app", "/workspace", "-cache-dir", "/cache"];
    let create = [&create[..], &["-run-image", "example.com/run:latest", "app"]].concat();
    let sparse = "Writing the image without 1 layer(s) of the run image, which may not be read: ";
    for says in ["Adding", "Reusing"] {
        let created = client.on_builder(&options, &create).exits(0).says(sparse);
        created.says(&format!("{says} layer 'samples/greeting:greeting'")).done();
        client.platform.fresh_layers();
    }
    let image = Image::read(&client.platform.path("app"));
    let there = |layer: &&Layer| client.platform.path("app/blobs").join(layer.digest.replace(':', "/")).exists();
    let layers = image.layers();
    assert_eq!((layers.len() - layers.iter().filter(there).count(), there(&&layers[0])), (1, false));
}

/// `--volume DIR:/layers/tracing`, where `DIR` is root's. pack gives it to the containers that run buildpacks: to the
/// creator, or to detector and builder, which are not root and can only write where they may.
#[test]
fn pack_mounts_a_folder_of_roots_for_traces() {
    let client = Client::new();
    let app = client.registry.image("traced/app");
    fs::create_dir(client.platform.path("tracing")).unwrap();
    let tracing = client.volume("tracing", "/layers/tracing:rw");
    let owner = format!("--user={}", client.platform.owner());
    let options = ["--env=CNB_PLATFORM_API=0.15", "--env=CNB_TELEMETRY=true", "--env=CNB_REGISTRY_AUTH={}", &tracing];
    let root = [&options[..], &["--user=0:0"]].concat();
    let user = [&options[..], &[owner.as_str(), "--cap-drop=ALL", "--security-opt=no-new-privileges"]].concat();
    let incomplete = "telemetry is incomplete";
    let run = client.registry.image("run");
    let create = ["/cnb/lifecycle/creator", "-app", "/workspace", "-cache-dir", "/cache", "-run-image", &run, &app];
    for build in 1..=2 {
        client.platform.fresh_layers();
        client.on_builder(&root, &create).exits(0).hides(incomplete).done();
        let spans = client.platform.read("tracing/lifecycle/create.jsonl");
        assert_eq!(spans.matches("\"name\":\"create\"").count(), build, "{spans}");
    }
    let owner_of = |name: &str| {
        let metadata = fs::metadata(client.platform.path(name)).unwrap();
        format!("{}:{}", metadata.uid(), metadata.gid())
    };
    assert_eq!(owner_of("tracing"), "0:0", "the platform's own folder stays as it is");
    assert_eq!(owner_of("tracing/lifecycle/create.jsonl"), client.platform.owner());

    fs::remove_dir_all(client.platform.path("tracing")).unwrap();
    fs::create_dir(client.platform.path("tracing")).unwrap();
    for (mode, complete) in [(0o755, false), (0o777, true), (0o777, true)] {
        fs::set_permissions(client.platform.path("tracing"), Permissions::from_mode(mode)).unwrap();
        client.platform.fresh_layers();
        for (phase, file) in [("detector", "detect"), ("builder", "build")] {
            let command = [&format!("/cnb/lifecycle/{phase}"), "-app", "/workspace"];
            let ended = client.on_builder(&user, &command).exits(0);
            let file = client.platform.path("tracing/lifecycle").join(format!("{file}.jsonl"));
            assert_eq!(file.exists(), complete, "{phase}");
            if complete { ended.hides(incomplete).done() } else { ended.says(incomplete).done() }
        }
    }
    let traces = |phase: &str| -> Vec<String> {
        let lines = client.platform.read(&format!("tracing/lifecycle/{phase}.jsonl"));
        let roots = lines.lines().filter(|line| line.contains(&format!("\"name\":\"{phase}\"")));
        roots.map(|line| line.split("\"traceId\":\"").nth(1).unwrap()[..32].to_owned()).collect()
    };
    assert_eq!(traces("detect"), traces("build"));
    assert_ne!(traces("detect")[0], traces("detect")[1], "two builds, two traces");
}
