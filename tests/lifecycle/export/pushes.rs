//! Requests of an export to a registry: catalogue 2, section 4.1, and items 31 and 46-50 of its list.

use crate::support::{Outcome, RUN_IMAGE, Registry, World};

/// A registry with the run image, and a world that builds on it.
fn ready() -> (Registry, World) {
    let registry = Registry::start();
    let world = World::new();
    let build = "mkdir -p $CNB_LAYERS_DIR/app\ncp file $CNB_LAYERS_DIR/app\n\
                 printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/app.toml\n";
    world.buildpack("test/one", "0.12", "", "exit 0", build);
    world.order(&[&["test/one"]]);
    world.write("workspace/file", "content\n");
    registry.push(&world.layout(RUN_IMAGE), "run");
    world.write("run.toml", &format!("[[images]]\nimage = \"{}\"\n", registry.image("run")));
    (registry, world)
}

fn create(world: &World, registry: &Registry, more: &[&str]) -> Outcome {
    world.fresh_layers();
    let app = registry.image("app");
    let args = [&["-launcher", "bin/launcher"], more, &[app.as_str()]].concat();
    world.run_with("creator", &args, &[("CNB_USE_LAYOUT", None)])
}

/// How many requests begin so.
fn count(seen: &[String], start: &str) -> usize {
    seen.iter().filter(|request| request.starts_with(start)).count()
}

#[test]
fn only_what_changed_is_sent_and_nothing_when_nothing_did() {
    let (registry, world) = ready();
    create(&world, &registry, &[]).exits(0).done();
    let first = registry.manifest("app").unwrap();
    registry.seen();
    create(&world, &registry, &[]).exits(0).says("Reusing layer 'test/one:app'").done();
    let seen = registry.seen();
    assert_eq!(count(&seen, "PUT"), 0, "{seen:#?}");
    assert!(count(&seen, "HEAD /v2/app/manifests/latest") >= 1, "{seen:#?}");

    world.write("workspace/other", "new\n");
    create(&world, &registry, &[]).exits(0).says("Reusing layer 'test/one:app'").done();
    let seen = registry.seen();
    // The app's layer and the configuration.
    let blobs = count(&seen, "PUT /v2/app/blobs/uploads/");
    assert_eq!((blobs, count(&seen, "PUT /v2/app/manifests/")), (2, 1), "{seen:#?}");
    let second = registry.manifest("app").unwrap();
    assert_ne!(first, second);
    assert_eq!(first["layers"][1], second["layers"][1], "the descriptor of what did not change is the previous one");
}

/// Bytes that nothing can compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x5eed_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_registry_that_wants_to_know_lengths_gets_the_image() {
    for status in [400, 411] {
        let (registry, world) = ready();
        registry.refuse_chunks(status);
        // Enough to be sent while it is compressed.
        std::fs::write(world.path("workspace/large"), noise(3 << 20)).unwrap();
        create(&world, &registry, &[]).exits(0).done();
        let manifest = registry.manifest("app").unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert!(layers.iter().any(|layer| layer["size"].as_u64().unwrap() > 3 << 20), "{manifest:#}");
        assert!(layers.iter().all(|layer| registry.has_blob("app", layer["digest"].as_str().unwrap())));
    }
}

#[test]
fn a_layout_without_a_folder_is_none() {
    let (registry, world) = ready();
    world.fresh_layers();
    let variables = [("CNB_USE_LAYOUT", Some("true")), ("CNB_LAYOUT_DIR", None)];
    world.run_with("creator", &["-launcher", "bin/launcher", &registry.image("app")], &variables).exits(0).done();
    assert!(registry.manifest("app").is_some());
}

#[test]
fn a_layer_that_the_registry_lost_is_sent_again() {
    let (registry, world) = ready();
    create(&world, &registry, &[]).exits(0).done();
    for (parallel, content) in [(&[][..], "new\n"), (&["-parallel", "-cache-dir", "cache"], "newer\n")] {
        registry.spoil("app", 1, None);
        world.write("workspace/other", content);
        let lost = format!("{}@{}", registry.image("app"), registry.digest("app"));
        let text = format!("Warning: Image '{lost}' has lost layer 'test/one:app'; it is added again");
        create(&world, &registry, parallel).exits(0).says("Reusing layer 'test/one:app'").says(&text).done();
        let layer = registry.manifest("app").unwrap()["layers"][1]["digest"].as_str().unwrap().to_owned();
        assert!(registry.has_blob("app", &layer));
    }
}

#[test]
fn a_temporary_folder_that_is_missing_is_named_where_a_layer_needs_it() {
    let missing = ("TMPDIR", Some("/nowhere"));
    super::built("0.15").run_with("exporter", &super::EXPORT, &[missing]).exits(0).done();

    let (registry, world) = ready();
    create(&world, &registry, &[]).exits(0).done();
    let other = registry.image("other");
    let args = ["-launcher", "bin/launcher", &other];
    let text = "failed to export: saving image: write a temporary file in /nowhere: no such file or directory";
    world.run_with("exporter", &args, &[("CNB_USE_LAYOUT", None), missing]).exits(62).says(text).done();
    assert!(registry.manifest("other").is_none());
}

#[test]
fn base_layers_are_mounted_and_never_read() {
    let (registry, world) = ready();
    let config = registry.manifest("run").unwrap()["config"]["digest"].as_str().unwrap().to_owned();
    create(&world, &registry, &[]).exits(0).done();
    let base = registry.manifest("run").unwrap()["layers"][0]["digest"].as_str().unwrap().to_owned();
    let seen = registry.seen();
    assert!(seen.contains(&format!("GET /v2/run/blobs/{config}")), "{seen:#?}");
    assert!(!seen.contains(&format!("GET /v2/run/blobs/{base}")), "{seen:#?}");
    assert!(registry.has_blob("app", &base));
}

#[test]
fn an_upload_is_tried_again_when_that_may_help_and_only_then() {
    let (registry, world) = ready();
    registry.refuse_times("PUT", "/v2/app/blobs/uploads/", 503, 2);
    create(&world, &registry, &[]).exits(0).done();
    assert!(registry.manifest("app").is_some());

    let (registry, world) = ready();
    registry.refuse("PUT", "/v2/app/blobs/uploads/", 403);
    create(&world, &registry, &[]).exits(62).says("failed to write image to the following tags: [").done();
    assert!(registry.manifest("app").is_none(), "no name shows an image that is not whole");
    let seen = registry.seen();
    let layers = 6;
    assert!(count(&seen, "PUT") <= layers, "each blob is tried once: {seen:#?}");
    assert!(!world.path("layers/report.toml").exists());
}

#[test]
fn a_name_that_is_denied_is_told_below_those_that_are_written() {
    let (registry, world) = ready();
    registry.refuse("PUT", "/v2/denied/manifests/", 403);
    let denied = registry.image("denied");
    let outcome = create(&world, &registry, &["-tag", &denied]).exits(62);
    let line = format!("      {denied} - ");
    assert!(outcome.stdout.lines().any(|told| told.starts_with(&line)), "{}", outcome.stdout);
    outcome.says(&format!("failed to write image to the following tags: [{denied}: ")).done();
    assert!(registry.manifest("app").is_some() && registry.manifest("denied").is_none());
    let report = world.read("layers/report.toml");
    assert!(report.contains(&registry.image("app")) && !report.contains(&denied), "{report}");
}

#[test]
fn a_report_that_cannot_be_written_comes_after_the_image() {
    let (registry, world) = ready();
    std::fs::create_dir(world.path("a-folder")).unwrap();
    create(&world, &registry, &["-report", "a-folder", "-cache-dir", "cache"]).exits(62).done();
    assert!(registry.manifest("app").is_some());
    assert!(!world.path("cache/committed").exists(), "the cache is not committed");
}

#[test]
fn a_run_image_that_is_missing_or_denied_is_told_at_once() {
    for (status, text) in [(404, "not found"), (403, "403")] {
        let (registry, world) = ready();
        create(&world, &registry, &["-skip-restore"]).exits(0).done();
        let run = registry.image("run");
        let digest = registry.digest("run");
        let analyzed = format!("[run-image]\nreference = \"{run}@{digest}\"\nimage = \"{run}\"\n");
        world.write("layers/analyzed.toml", &analyzed);
        registry.refuse("GET", "/v2/run/manifests/", status);
        registry.refuse("HEAD", "/v2/run/manifests/", status);
        registry.seen();
        let app = registry.image("new");
        let outcome =
            world.run_with("exporter", &["-launcher", "bin/launcher", &app], &[("CNB_USE_LAYOUT", None)]).exits(1);
        outcome.says("failed to create new app image: ").says(text).done();
        let seen = registry.seen();
        assert_eq!(count(&seen, "GET /v2/run/manifests/"), 1, "asked once: {seen:#?}");
        assert!(registry.manifest("new").is_none());
    }
}

#[test]
fn a_push_that_takes_long_is_told_with_layer_bytes_and_rate() {
    let (registry, world) = ready();
    registry.slow_down(std::time::Duration::from_millis(2100));
    let told = create(&world, &registry, &[]).exits(0).says("Sent layer 'test/one:app': 0.0 MB in 2.");
    told.says(" MB/s\n").does_not_say("\r").done();
    world.write("workspace/other", "new\n");
    create(&world, &registry, &["-log-level", "warn"]).exits(0).does_not_say("Sent layer").done();
    registry.slow_down(std::time::Duration::ZERO);
    world.write("workspace/other", "newer\n");
    create(&world, &registry, &[]).exits(0).does_not_say("Sent layer").done();
}
