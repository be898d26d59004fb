//! Builds to a registry, phase by phase and by the creator, judged by other programs.
//!
//! Clause: platform.md#exporter, platform.md#registry-authentication.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::image::Image;
use crate::support::platform::Platform;
use crate::support::registry::{LOGIN, Registry};
use crate::support::tool;

#[test]
fn the_sample_app_is_built_phase_by_phase_and_then_by_the_creator_which_reuses_its_layers() {
    let registry = Registry::plain();
    let platform = Platform::with_sample_app().run_image_in(&registry);
    let app = registry.image("apps/hello");
    platform.build(&app, &[]).says("Adding layer 'samples/rust:app'").done();
    let first = Image::fetch(&registry, &app, &platform.path("fetched-1"));

    let run = Image::read(&platform.path("run-image"));
    let layers = first.layers();
    assert_eq!(layers[..1], run.layers()[..], "the run image's layer is the lowest");
    let made: Vec<&str> = layers[1..].iter().map(|layer| layer.created_by.as_str()).collect();
    assert_eq!(
        made,
        [
            "Layer: 'app', Created by buildpack: samples/rust@1.0.0",
            "Layer: 'greeting', Created by buildpack: samples/greeting@0.2.0",
            "Layer: 'notes', Created by buildpack: samples/traced@0.1.0",
            "Software Bill-of-Materials",
            "Application Slice: 1",
            "Application Slice: 2",
            "Buildpacks Application Launcher",
            "Buildpacks Launcher Config",
            "Buildpacks Process Types",
        ]
    );
    assert_eq!(first.config["created"], "1980-01-01T00:00:01Z");
    assert_eq!(first.config["config"]["Entrypoint"][0], "/cnb/process/web");
    assert_eq!(first.config["config"]["Labels"]["com.example.samples.rust"], "static");
    let metadata = first.label("io.buildpacks.lifecycle.metadata");
    assert_eq!(metadata["runImage"]["topLayer"], layers[0].diff_id.as_str());
    assert_eq!(metadata["runImage"]["image"], registry.image("run").as_str());
    assert!(platform.read("layers/report.toml").contains(&first.digest), "report.toml has the digest");

    let second = platform.create(&app, &[]).exits(0).says("Reusing layer 'samples/rust:app'");
    let adding = second.stdout.lines().filter(|line| line.starts_with("Adding layer")).count();
    assert_eq!(adding, 0, "{}", second.stdout);
    let again = Image::fetch(&registry, &app, &platform.path("fetched-2"));
    assert_eq!(again.digest, first.digest, "the same source gives the same image");
}

#[test]
fn a_changed_file_changes_the_layers_it_is_in_and_no_other() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let app = registry.image("changed");
    platform.create(&app, &[]).exits(0).done();
    let before = Image::fetch(&registry, &app, &platform.path("before"));
    platform.write("workspace/another.txt", "new\n");
    platform.create(&app, &[]).exits(0).says("Reusing layer 'samples/greeting:greeting'").done();
    let after = Image::fetch(&registry, &app, &platform.path("after"));
    let changed: Vec<String> = before
        .layers()
        .into_iter()
        .zip(after.layers())
        .filter(|(before, after)| before != after)
        .map(|(before, _)| before.created_by)
        .collect();
    assert_eq!(changed, ["Application Layer"]);
}

#[test]
fn what_umoci_unpacks_has_the_owners_modes_and_links_of_the_specification() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let app = registry.image("unpacked");
    let script = platform.path("workspace/start.sh");
    platform.write("workspace/start.sh", "#!/bin/bash\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
    let (pipe, device) = (platform.path("workspace/pipe"), platform.path("workspace/device"));
    tool(Command::new("mknod").arg(&pipe).arg("p"));
    tool(Command::new("mknod").arg(&device).args(["c", "1", "3"]));
    platform.create(&app, &[]).exits(0).done();
    let root = Image::fetch(&registry, &app, &platform.path("fetched")).unpack(&platform.path("bundle"));

    let inside = |name: &str| root.join(platform.path(name).strip_prefix("/").unwrap());
    let script = fs::metadata(inside("workspace/start.sh")).unwrap();
    assert_eq!(format!("{}:{}", script.uid(), script.gid()), platform.owner());
    assert_eq!((script.mode() & 0o7777, script.mtime()), (0o750, 315_532_801));
    assert!(fs::metadata(inside("workspace/pipe")).unwrap().file_type().is_fifo());
    let device = fs::metadata(inside("workspace/device")).unwrap();
    assert!(device.file_type().is_char_device());
    assert_eq!(device.rdev(), fs::metadata("/dev/null").unwrap().rdev());
    let launcher = fs::metadata(root.join("cnb/lifecycle/launcher")).unwrap();
    assert_eq!((launcher.uid(), launcher.gid(), launcher.mode() & 0o7777), (0, 0, 0o755));
    assert_eq!(
        fs::read(root.join("cnb/lifecycle/launcher")).unwrap(),
        fs::read(platform.path("lifecycle/launcher")).unwrap()
    );
    let link = fs::read_link(root.join("cnb/process/shell")).unwrap();
    assert_eq!(link.to_str(), Some("/cnb/lifecycle/launcher"));
    assert!(inside("layers/samples_greeting/greeting/exec.d/started").exists());
    assert!(inside("layers/config/metadata.toml").exists());
    assert!(!inside("layers/tracing").exists());
}

#[test]
fn skopeo_reads_every_tag_and_all_are_one_image() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let app = registry.image("tags:one");
    let more = [registry.image("tags:two"), registry.image("elsewhere/tags:three")];
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let said = platform.build(&app, &more);
    let mut digests = Vec::new();
    for name in more.iter().copied().chain([app.as_str()]) {
        assert!(said.stdout.lines().any(|line| line == format!("      {name}")), "{}", said.stdout);
        let inspected = tool(registry.skopeo(&["inspect", "--tls-verify=false"]).arg(format!("docker://{name}")));
        let inspected: serde_json::Value = serde_json::from_slice(&inspected).unwrap();
        digests.push(inspected["Digest"].as_str().unwrap().to_owned());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "{digests:?}");
    let report = platform.read("layers/report.toml");
    assert!(report.contains(&digests[0]), "{report}");
    let manifest = tool(registry.skopeo(&["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{app}")));
    assert!(report.contains(&format!("manifest-size = {}\n", manifest.len())), "{report}");
    for name in [&app, more[0], more[1]] {
        assert!(report.contains(&format!("\"{name}\"")), "{report}");
    }
}

#[test]
fn credentials_come_from_the_variable() {
    let registry = Registry::with_password();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_REGISTRY_AUTH", &format!(r#"{{"{}":"Basic {}"}}"#, registry.host(), STANDARD.encode(LOGIN)));
    let app = registry.image("private");
    platform.build(&app, &[]).hides(&STANDARD.encode(LOGIN)).done();
    drop(Image::fetch(&registry, &app, &platform.path("fetched")));
}

#[test]
fn credentials_come_from_the_docker_configuration() {
    let registry = Registry::with_password();
    let platform = Platform::new().run_image_in(&registry);
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"{}"}}}}}}"#, registry.host(), STANDARD.encode(LOGIN));
    platform.write("home/.docker/config.json", &auths);
    // The user that the phases become may not read it: they read it before.
    fs::set_permissions(platform.path("home/.docker"), fs::Permissions::from_mode(0o700)).unwrap();
    let app = registry.image("private");
    platform.create(&app, &[]).exits(0).hides("a-secret").done();
    drop(Image::fetch(&registry, &app, &platform.path("fetched")));
}

#[test]
fn credentials_come_from_a_helper_that_is_asked_for_this_registry_only() {
    let registry = Registry::with_password();
    let mut platform = Platform::new().run_image_in(&registry);
    let config = format!(r#"{{"credHelpers":{{"{}":"here","registry.example.com":"there"}}}}"#, registry.host());
    platform.write("docker/config.json", &config);
    let (name, secret) = LOGIN.split_once(':').unwrap();
    let asked = platform.path("asked");
    let script = format!(
        "#!/bin/sh\nread -r host\necho \"$1 $host\" >>{}\necho '{{\"Username\":\"{name}\",\"Secret\":\"{secret}\"}}'\n",
        asked.display()
    );
    for helper in ["here", "there"] {
        let path = platform.path("helpers").join(format!("docker-credential-{helper}"));
        platform.write(&format!("helpers/docker-credential-{helper}"), &script);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    platform.env("DOCKER_CONFIG", platform.path("docker").to_str().unwrap());
    platform.env("PATH", &format!("{}:/usr/bin:/bin", platform.path("helpers").display()));
    platform.create(&registry.image("private"), &[]).exits(0).hides(secret).done();
    let asked = platform.read("asked");
    assert!(asked.lines().all(|line| line == format!("get {}", registry.host())), "{asked}");
}

#[test]
fn a_certificate_of_an_authority_is_good_when_the_authority_is_named_and_not_before() {
    is_good_when_it_is_named(&Registry::with_an_authority());
}

#[test]
fn a_certificate_that_signs_itself_is_good_when_it_is_named_and_not_before() {
    is_good_when_it_is_named(&Registry::with_its_own_certificate());
}

#[track_caller]
fn is_good_when_it_is_named(registry: &Registry) {
    let mut platform = Platform::new().run_image_in(registry);
    let app = registry.image("private");
    platform.create(&app, &[]).exits(3).fails_with(&["failed to find accessible run image"]).done();
    platform.env("SSL_CERT_FILE", registry.authority().to_str().unwrap());
    platform.create(&app, &[]).exits(0).done();
    drop(Image::fetch(registry, &app, &platform.path("fetched")));
}

#[test]
fn an_insecure_registry_is_spoken_to_with_any_certificate() {
    let registry = Registry::with_an_authority();
    let platform = Platform::new().run_image_in(&registry);
    let app = registry.image("private");
    let insecure = format!("-insecure-registry={}", registry.host());
    platform.create(&app, &[&insecure]).exits(0).done();
    drop(Image::fetch(&registry, &app, &platform.path("fetched")));
}

#[test]
fn layers_that_the_registry_has_are_not_sent_again() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    platform.create(&registry.image("first"), &[]).exits(0).done();
    let uploads = |log: &str| log.matches("http.request.method=PUT").count();
    let before = uploads(&registry.log());
    assert!(before > 0, "the registry's log has changed its form");
    platform.create(&registry.image("first"), &[]).exits(0).done();
    let after = uploads(&registry.log());
    assert!(after - before <= 2, "only a manifest, and a configuration at most: {}", after - before);
}

/// Adds a buildpack that makes a layer for the cache alone and tells when it finds it, and puts it first.
pub(crate) fn with_cached_layer(platform: &Platform) {
    let root = "buildpacks/cached/1.0.0";
    platform.write(
        &format!("{root}/buildpack.toml"),
        "api = \"0.12\"\n[buildpack]\nid = \"cached\"\nversion = \"1.0.0\"\n",
    );
    let build = "if [ -f \"$CNB_LAYERS_DIR/kept/data\" ]; then echo \"found $(cat \"$CNB_LAYERS_DIR/kept/data\")\"; fi\n\
                 mkdir -p \"$CNB_LAYERS_DIR/kept\"\ncp greeting.txt \"$CNB_LAYERS_DIR/kept/data\"\n\
                 printf '[types]\\ncache = true\\n' >\"$CNB_LAYERS_DIR/kept.toml\"\n";
    for (program, script) in [("detect", "exit 0\n"), ("build", build)] {
        let file = format!("{root}/bin/{program}");
        platform.write(&file, &format!("#!/bin/sh\n{script}"));
        fs::set_permissions(platform.path(&file), fs::Permissions::from_mode(0o755)).unwrap();
    }
    platform.order(&[("cached", "1.0.0"), ("samples/greeting", "0.2.0")]);
}

#[test]
fn a_cache_image_gives_layers_back_and_only_what_changed_is_sent() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    with_cached_layer(&platform);
    let (app, cache) = (registry.image("app"), registry.image("cache"));
    platform.create(&app, &["-cache-image", &cache]).exits(0).says("Adding cache layer 'cached:kept'").done();
    let first = Image::fetch(&registry, &cache, &platform.path("cache-1"));
    assert_eq!(first.config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);

    let sent = |registry: &Registry| {
        let is_sent = |line: &&str| line.contains("http.request.method=PUT ") && line.contains("/v2/cache/");
        registry.log().lines().filter(is_sent).count()
    };
    let before = sent(&registry);
    assert!(before > 0, "the registry's log has changed its form");
    // All phases, each a process, by the variable this time; CNB_CACHE_DIR counts for nothing beside it.
    platform.env("CNB_CACHE_IMAGE", &cache);
    platform.build(&app, &[]).says("Reusing cache layer 'cached:kept'").done();
    platform.create(&app, &["-parallel"]).exits(0).says("found Good day").done();
    assert_eq!(sent(&registry), before, "nothing changed");
    assert_eq!(Image::fetch(&registry, &cache, &platform.path("cache-2")).digest, first.digest);
    assert_eq!(fs::read_dir(platform.path("cache")).unwrap().count(), 0);

    platform.write("workspace/greeting.txt", "Good night\n");
    platform.create(&app, &[]).exits(0).says("Adding cache layer 'cached:kept'").done();
    assert!(sent(&registry) > before);
    platform.create(&app, &[]).exits(0).says("found Good night").done();
}

#[test]
fn a_cache_image_may_be_in_a_registry_of_its_own_with_a_password_or_any_certificate() {
    let registry = Registry::plain();
    let locked = Registry::with_password();
    let insecure = Registry::with_an_authority();
    let mut platform = Platform::new().run_image_in(&registry);
    with_cached_layer(&platform);
    let app = registry.image("app");
    platform.env("CNB_REGISTRY_AUTH", &format!(r#"{{"{}":"Basic {}"}}"#, locked.host(), STANDARD.encode(LOGIN)));
    let anything_goes = format!("-insecure-registry={}", insecure.host());
    for elsewhere in [&locked, &insecure] {
        let cache = elsewhere.image("cache");
        let args = ["-cache-image", &cache, &anything_goes];
        platform.create(&app, &args).exits(0).says("Layer cache not found").done();
        platform.create(&app, &args).exits(0).says("found Good day").hides("a-secret").done();
        drop(Image::fetch(elsewhere, &cache, &platform.path(&cache.replace([':', '/'], "-"))));
    }
}
