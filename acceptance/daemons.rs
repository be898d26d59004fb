//! Builds to a daemon, phase by phase and by the creator: Docker's, which then runs the app, and podman's service. And
//! layers as we compress them, read by every program that may have to.
//!
//! Clause: platform.md#exporter; policy P29, P41.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::daemon::Daemon;
use crate::support::image::Image;
use crate::support::platform::Platform;
use crate::support::podman::Podman;
use crate::support::registry::Registry;
use crate::support::tool;

/// The names of the app image in a daemon: it never saw a registry.
const APP: &str = "example.com/apps/hello:1";
const TAG: &str = "example.com/other/hello:2";

/// A platform that builds into the daemon at an address, on the run image that the daemon has.
fn platform(registry: &Registry, address: &str) -> Platform {
    let mut platform = Platform::new().run_image_in(registry);
    platform.env("DOCKER_HOST", address);
    platform.env("CNB_USE_DAEMON", "true");
    platform
}

/// The image id in report.toml.
fn reported(platform: &Platform) -> String {
    let report = platform.read("layers/report.toml");
    let id = report.lines().find_map(|line| line.trim().strip_prefix("image-id = "));
    id.unwrap_or_else(|| panic!("{report}")).trim_matches('"').to_owned()
}

/// The names of the layers in a launch cache.
fn cached(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("committed")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("sha256:")).collect();
    names.sort();
    names
}

#[test]
fn the_creator_builds_into_a_daemon_again_and_again_and_the_app_runs() {
    let (registry, daemon) = (Registry::plain(), Daemon::start());
    let platform = platform(&registry, &daemon.host());
    daemon.pull(&registry.image("run"));
    let launch_cache = platform.path("launch-cache");
    fs::create_dir(&launch_cache).unwrap();
    let args = ["-launch-cache", launch_cache.to_str().unwrap(), "-tag", TAG];
    let shell = ["--entrypoint", "/cnb/process/shell"];

    platform.create(APP, &args).exits(0).says("Adding layer 'samples/greeting:greeting'").says(TAG).done();
    let first = reported(&platform);
    assert_eq!((daemon.id(APP), daemon.id(TAG)), (first.clone(), first.clone()), "both names are of this image");
    daemon.run(APP, &shell, &[]).exits(0).says("Good day, from a shell").done();
    let kept = cached(&launch_cache);
    assert!(kept.len() >= 5, "{kept:?}");

    // Nothing changed: the same image, the same launch cache.
    platform.create(APP, &args).exits(0).says("Reusing layer 'samples/greeting:greeting'").done();
    assert_eq!((reported(&platform), daemon.id(APP), cached(&launch_cache)), (first.clone(), first.clone(), kept));

    // Something changed: layers that did not come from the launch cache, or without it from the daemon.
    for (greeting, args) in [("Hello", &args[..]), ("Good evening", &[])] {
        platform.write("workspace/greeting.txt", &format!("{greeting}\n"));
        platform.create(APP, args).exits(0).says("Reusing layer 'buildpacksio/lifecycle:launcher'").done();
        assert_ne!(reported(&platform), first);
        assert_eq!(daemon.id(APP), reported(&platform));
        daemon.run(APP, &shell, &[]).exits(0).says(&format!("{greeting}, from a shell")).done();
    }
    // The daemon may have lost all, and the launch cache some of it.
    daemon.remove(&[APP, TAG]);
    fs::remove_file(launch_cache.join("committed").join(&cached(&launch_cache)[0])).unwrap();
    platform.create(APP, &args).exits(0).says("Adding layer 'samples/greeting:greeting'").done();
    daemon.run(APP, &shell, &[]).exits(0).says("Good evening, from a shell").done();
    assert_eq!(fs::read_dir(platform.path("tmp")).unwrap().count(), 0, "nothing stays in the temporary folder");
}

#[test]
fn single_phases_build_into_a_daemon() {
    let (registry, daemon) = (Registry::plain(), Daemon::start());
    let mut platform = platform(&registry, &daemon.host());
    daemon.pull(&registry.image("run"));
    let shell = ["--entrypoint", "/cnb/process/shell"];
    platform.build(APP, &[TAG]).says("Adding layer 'samples/greeting:greeting'").done();
    let first = reported(&platform);
    assert_eq!((daemon.id(APP), daemon.id(TAG)), (first.clone(), first));
    daemon.run(TAG, &shell, &[]).exits(0).says("Good day, from a shell").done();

    let launch_cache = platform.path("launch-cache");
    fs::create_dir(&launch_cache).unwrap();
    platform.env("CNB_LAUNCH_CACHE_DIR", launch_cache.to_str().unwrap());
    platform.build(APP, &[]).says("Reusing layer 'samples/greeting:greeting'").done();
    assert_eq!(daemon.id(APP), reported(&platform));

    // What the daemon does not have is an error that names it, and the image stays as it is.
    platform.run_image("example.com/nobody/has:this");
    let before = daemon.id(APP);
    platform.create(APP, &[]).exits(1).fails_with(&["run image 'example.com/nobody/has:this' not found"]).done();
    assert_eq!(daemon.id(APP), before);
}

#[test]
fn podman_takes_what_is_built_for_a_daemon() {
    let (registry, podman) = (Registry::plain(), Podman::start());
    let platform = platform(&registry, &podman.host());
    podman.pull(&registry.image("run"));
    let launch_cache = platform.path("launch-cache");
    fs::create_dir(&launch_cache).unwrap();
    let args = ["-launch-cache", launch_cache.to_str().unwrap()];
    for (greeting, says) in [("Good day", "Adding"), ("Good day", "Reusing"), ("Hello", "Reusing")] {
        platform.write("workspace/greeting.txt", &format!("{greeting}\n"));
        platform.create(APP, &args).exits(0).says(&format!("{says} layer 'buildpacksio/lifecycle:launcher'")).done();
        assert_eq!(podman.inspect(APP, "{{.Id}}"), reported(&platform));
        let labels = podman.inspect(APP, "{{json .Labels}}");
        assert!(labels.contains("io.buildpacks.lifecycle.metadata"), "{labels}");
        let file = platform.path("workspace/greeting.txt");
        assert_eq!(podman.read(APP, &file), format!("{greeting}\n").as_bytes());
    }
    platform.build(APP, &[]).says("Reusing layer 'samples/greeting:greeting'").done();
    assert_eq!(podman.inspect(APP, "{{.Id}}"), reported(&platform));
}

/// A file that compresses to several gzip members, the same each time.
fn large() -> Vec<u8> {
    let mut state = 1_u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    let noise = (0..800_000).flat_map(|_| random());
    noise.chain(b"text that compresses well, ".iter().copied().cycle().take(3_000_000)).collect()
}

#[test]
fn layers_of_several_gzip_members_are_read_by_every_program() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let (app, file) = (registry.image("large:1"), platform.path("workspace/large"));
    let large = large();
    fs::write(&file, &large).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    platform.create(&app, &[]).exits(0).done();

    // skopeo and umoci; gzip reads every layer and its digest is compared.
    let image = Image::fetch(&registry, &app, &platform.path("fetched"));
    let layer = image.layers().into_iter().find(|layer| layer.created_by == "Application Layer").unwrap();
    let blob = platform.path("fetched/blobs").join(layer.digest.replace(':', "/"));
    let bytes = fs::read(&blob).unwrap();
    let members = bytes.windows(4).filter(|window| window == b"\x1f\x8b\x08\x00").count();
    assert!(members > 3, "the test needs several members: {members}");
    let root = image.unpack(&platform.path("bundle"));
    assert!(fs::read(root.join(file.strip_prefix("/").unwrap())).unwrap() == large);

    // The faster programs that daemons look for.
    let plain = tool(Command::new("gzip").arg("-dc").arg(&blob));
    for program in ["unpigz", "igzip"] {
        let mut read = Command::new(program);
        assert!(tool(read.arg("-dc").stdin(Stdio::from(fs::File::open(&blob).unwrap()))) == plain, "{program}");
    }

    let path = file.display().to_string();
    for daemon in [Daemon::start(), Daemon::without_unpigz()] {
        daemon.pull(&app);
        let read = daemon.run(&app, &[], &["--", "/usr/bin/cat", &path]).exits(0);
        assert!(read.stdout == String::from_utf8_lossy(&large), "docker reads other bytes");
        assert!(daemon.read_by_containerd(&app, &file) == large, "containerd reads other bytes");
    }
    let podman = Podman::start();
    podman.pull(&app);
    assert!(podman.read(&app, &file) == large, "podman reads other bytes");
}
