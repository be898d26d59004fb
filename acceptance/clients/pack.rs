//! pack: the creator, or five containers on two images.
//!
//! Catalogue 3, section C5, item 54; pack-contract, section 2.

use std::fs;

use super::{Client, is_reported};

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
