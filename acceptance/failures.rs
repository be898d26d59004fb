//! Registries that refuse, break or talk nonsense, and disks that are full: one line that says so, the exit code of the
//! phase, nothing half-written.
//!
//! Clause: platform.md#exit-codes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::front::Front;
use crate::support::image::Image;
use crate::support::platform::Platform;
use crate::support::registry::Registry;
use crate::support::{free_port, tool};

/// A registry's own form of a refusal.
const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;

/// Fails when a phase that failed left its document.
#[track_caller]
fn nothing_is_left(platform: &Platform, names: &[&str]) {
    let left: Vec<_> =
        std::fs::read_dir(platform.path("layers")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for name in names {
        assert!(!left.iter().any(|found| found.to_string_lossy().contains(name)), "{name} is among {left:?}");
    }
}

#[test]
fn a_run_image_without_credentials_is_unauthorized() {
    let registry = Registry::with_password();
    let platform = Platform::new().run_image_in(&registry);
    let run = registry.image("run");
    platform
        .run("analyzer", &[&format!("-run-image={run}"), &registry.image("app")])
        .exits(32)
        .fails_with(&["failed to initialize analyzer", "registry read access", "401 Unauthorized"])
        .done();
    nothing_is_left(&platform, &["analyzed"]);
    // Chosen from run.toml, it is no candidate.
    platform
        .run("analyzer", &[&registry.image("app")])
        .exits(3)
        .fails_with(&["failed to find accessible run image"])
        .done();
}

#[test]
fn a_wrong_password_is_unauthorized_and_is_not_told() {
    let registry = Registry::with_password();
    let mut platform = Platform::new().run_image_in(&registry);
    // base64 of somebody:wrong-secret
    platform.env("CNB_REGISTRY_AUTH", &format!(r#"{{"{}":"Basic c29tZWJvZHk6d3Jvbmctc2VjcmV0"}}"#, registry.host()));
    let run = format!("-run-image={}", registry.image("run"));
    platform
        .run("analyzer", &["-log-level=debug", &run, &registry.image("app")])
        .exits(32)
        .hides("wrong-secret")
        .hides("c29tZWJvZHk6d3Jvbmctc2VjcmV0")
        .fails_with(&["401 Unauthorized"])
        .done();
}

#[test]
fn credentials_that_are_no_json_are_named_before_anything_else() {
    let mut platform = Platform::new();
    platform.env("CNB_REGISTRY_AUTH", "{not json");
    platform
        .run("analyzer", &["-run-image=127.0.0.1:1/run", "127.0.0.1:1/app"])
        .exits(1)
        .fails_with(&["failed to resolve keychain", "failed to parse CNB_REGISTRY_AUTH value"])
        .done();
}

#[test]
fn a_forbidden_image_fails_analysis() {
    let (registry, forbidden) = (Registry::plain(), Front::always(403, DENIED));
    let platform = Platform::new().run_image_in(&registry);
    platform
        .run("analyzer", &[&format!("-run-image={}", forbidden.image("run")), &registry.image("app")])
        .exits(32)
        .fails_with(&["registry read access", "403"])
        .done();
    nothing_is_left(&platform, &["analyzed"]);
}

#[test]
fn a_repository_that_may_be_read_but_not_written_fails_analysis_and_not_the_export() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let front = Front::of(&registry, |method, _| (method == "POST").then_some((403, DENIED)));
    platform.run_image(&front.image("run"));
    platform
        .run("analyzer", &[&front.image("app")])
        .exits(32)
        .fails_with(&["registry read/write access", "POST ", "DENIED: requested access"])
        .done();
    nothing_is_left(&platform, &["analyzed"]);
}

#[test]
fn a_run_image_that_is_not_there_is_said_to_be_not_there() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    platform
        .run("analyzer", &[&format!("-run-image={}", registry.image("no-such-image")), &registry.image("app")])
        .exits(32)
        .fails_with(&["no-such-image", "not found"])
        .done();
    nothing_is_left(&platform, &["analyzed"]);
    // A previous image that is not there is nothing bad.
    let app = registry.image("app");
    platform.run("analyzer", &[&app]).exits(0).says(&format!("Image with name \"{app}\" not found")).done();
}

#[test]
fn a_registry_that_fails_is_tried_again_and_then_named() {
    let (registry, broken) = (Registry::plain(), Front::always(500, "something broke"));
    let platform = Platform::new().run_image_in(&registry);
    let start = Instant::now();
    platform
        .run("analyzer", &[&format!("-run-image={}", broken.image("run")), &registry.image("app")])
        .exits(32)
        .fails_with(&["500"])
        .done();
    assert!(start.elapsed() < Duration::from_secs(60), "patience has an end");
    nothing_is_left(&platform, &["analyzed"]);
}

#[test]
fn a_server_that_is_no_registry_is_named() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    for nonsense in ["<html>Welcome</html>", "{}", r#"{"schemaVersion":2,"config":7}"#, ""] {
        let foreign = Front::always(200, nonsense);
        let run = foreign.image("run");
        platform
            .run("analyzer", &[&format!("-run-image={run}"), &registry.image("app")])
            .exits(32)
            .fails_with(&["getting run image", &foreign.host()])
            .done();
        nothing_is_left(&platform, &["analyzed"]);
    }
}

#[test]
fn a_registry_that_nobody_serves_is_named() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let run = format!("127.0.0.1:{}/run", free_port());
    platform
        .run("analyzer", &[&format!("-run-image={run}"), &registry.image("app")])
        .exits(32)
        .fails_with(&["registry read access", &run, "connection refused"])
        .done();
}

#[test]
fn a_tag_that_may_not_be_written_fails_the_export_and_the_report_says_what_was_written() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let front = Front::of(&registry, |method, path| {
        (method == "PUT" && path.starts_with("/v2/denied/manifests/")).then_some((403, DENIED))
    });
    let (good, bad) = (front.image("good"), front.image("denied"));
    let tag = format!("-tag={bad}");
    let created = platform.create(&good, &[&tag]).exits(62).says("failed to write image to the following tags: [");
    created.says(&format!("      {bad} - ")).fails_with(&["DENIED", &bad]).done();
    let report = platform.read("layers/report.toml");
    assert!(report.contains(&format!("\"{good}\"")) && !report.contains(&bad), "{report}");
    drop(Image::fetch(&registry, &registry.image("good"), &platform.path("fetched")));
}

#[test]
fn an_upload_that_fails_once_is_tried_again() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let failed = AtomicUsize::new(0);
    let front = Front::of(&registry, move |method, path| {
        let is_upload = matches!(method, "PATCH" | "PUT") && path.contains("/blobs/uploads/");
        let is_manifest = method == "PUT" && path.contains("/manifests/");
        ((is_upload || is_manifest) && failed.fetch_add(1, Ordering::SeqCst).is_multiple_of(4))
            .then_some((503, "not now"))
    });
    platform.run_image(&front.image("run"));
    platform.build(&front.image("app"), &[]).done();
    drop(Image::fetch(&registry, &registry.image("app"), &platform.path("fetched")));
}

#[test]
fn phases_that_run_buildpacks_refuse_to_be_root() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    platform.run_as_root("detector", &[]).exits(1).fails_with(&["failed to detect: refusing to run as root"]).done();
    nothing_is_left(&platform, &["group", "plan"]);
    platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
    platform.run("detector", &[]).exits(0).done();
    platform.run_as_root("builder", &[]).exits(1).fails_with(&["failed to build: refusing to run as root"]).done();
}

#[test]
fn a_user_who_may_become_nobody_else_is_told() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
    platform.run("detector", &[]).exits(0).done();
    platform.env("CNB_USER_ID", "54321");
    platform.run_as_builder("restorer", &[]).exits(1).fails_with(&["operation not permitted"]).done();
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_written_document() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform
        .write("workspace/large", &"incompressible? no matter: a tar is never compressed in the cache. ".repeat(5000));
    let app = registry.image("app");
    platform.build(&app, &[]).done();
    let before = Image::fetch(&registry, &app, &platform.path("before")).digest;

    // No place for the layers of the image.
    let full = Full::at(&platform.path("full"));
    platform.env("TMPDIR", full.0.to_str().unwrap());
    platform.write("workspace/another", "changed");
    platform.create(&app, &[]).exits(62).fails_with(&["no space left on device"]).done();
    assert!(!platform.path("layers/report.toml").exists());
    assert_eq!(Image::fetch(&registry, &app, &platform.path("after")).digest, before, "the image is as it was");

    // No place for documents.
    platform.env("CNB_LAYERS_DIR", full.0.to_str().unwrap());
    platform.run("analyzer", &[&app]).exits(1).fails_with(&["analyzed", "no space left on device"]).done();
    assert!(!full.0.join("analyzed.toml").exists());
}

/// A small file system without a free byte, gone when it is dropped.
struct Full(PathBuf);

impl Full {
    fn at(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        tool(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,mode=1777", "full"]).arg(path));
        let full = Self(path.to_owned());
        // Writes until it cannot.
        let written = std::fs::write(path.join("filler"), vec![0; 1 << 20]);
        assert!(written.is_err(), "the disk should be full");
        full
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
