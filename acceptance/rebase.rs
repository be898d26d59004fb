//! Apps on newer run images: in a registry and in a Docker daemon, judged by other programs.
//!
//! Clause: platform.md#rebaser.

use std::fs;

use crate::support::daemon::Daemon;
use crate::support::image::Image;
use crate::support::platform::Platform;
use crate::support::registry::Registry;

/// A program that only the newer run image has.
const NEWER: &str = "/usr/bin/date";

#[test]
fn an_app_in_a_registry_is_put_on_a_newer_run_image() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let (app, other) = (registry.image("apps/rebased"), registry.image("elsewhere/rebased:too"));
    platform.create(&app, &[]).exits(0).done();
    let before = Image::fetch(&registry, &app, &platform.path("before"));

    // The same run image again: nothing is to be written.
    platform.run("rebaser", &[&app]).exits(0).done();
    assert_eq!(Image::fetch(&registry, &app, &platform.path("same")).digest, before.digest);

    let newer = platform.newer_run_image(NEWER);
    registry.push(&newer, "run");
    platform.run("rebaser", &[&app, &other]).exits(0).says(&format!("Saving {app}...")).says(&other).done();
    let after = Image::fetch(&registry, &app, &platform.path("after"));
    assert_ne!(after.digest, before.digest);
    assert_eq!(Image::fetch(&registry, &other, &platform.path("other")).digest, after.digest);
    assert!(fs::read_to_string(platform.path("layers/report.toml")).unwrap().contains(&after.digest));
    let mounted = "?from=run&mount=";
    assert!(registry.log().contains(mounted), "layers of the run image are mounted, not sent");

    assert_eq!(after.layers()[..1], Image::read(&newer).layers()[..], "the newer run image is the lowest");
    assert_eq!(after.layers()[1..], before.layers()[1..], "the app's own layers are as they were");
    let [was, is] = [&before, &after].map(|image| image.label("io.buildpacks.lifecycle.metadata"));
    assert_eq!(is["runImage"]["topLayer"], after.layers()[0].diff_id.as_str());
    assert_ne!(is["runImage"]["reference"], was["runImage"]["reference"]);
    assert_eq!(is["buildpacks"], was["buildpacks"]);

    // A build goes on from it, and an unfit run image changes nothing.
    platform.create(&app, &[]).exits(0).says("Reusing layer 'samples/greeting:greeting'").done();
    let nowhere = registry.image("nowhere");
    platform
        .run("rebaser", &["-run-image", &nowhere, &app])
        .exits(1)
        .fails_with(&["failed to access run image"])
        .done();
    assert_eq!(Image::fetch(&registry, &app, &platform.path("last")).layers(), after.layers());
}

#[test]
fn an_app_in_a_daemon_is_put_on_a_newer_run_image_and_runs() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    let (app, run) = (registry.image("apps/in-daemon"), registry.image("run"));
    platform.create(&app, &[]).exits(0).done();
    let daemon = Daemon::start();
    daemon.pull(&app);
    daemon.run(&app, &[], &["--", NEWER]).exits(82).done();

    registry.push(&platform.newer_run_image(NEWER), "run");
    daemon.pull(&run);
    platform.env("DOCKER_HOST", &daemon.host());
    platform.run("rebaser", &["-daemon", &app]).exits(0).says("*** Images (").done();
    assert!(platform.read("layers/report.toml").contains("image-id = "));
    daemon.run(&app, &[], &["--", NEWER]).exits(0).done();
    let shell = ["--entrypoint", "/cnb/process/shell"];
    daemon.run(&app, &shell, &[]).exits(0).says("Good day, from a shell").done();
}
