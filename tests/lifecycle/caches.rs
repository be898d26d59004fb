//! Cache images: images in a registry that builds keep their layers in, wherever the app image goes.
//!
//! Clause: platform.md#exporter, platform.md#restorer; catalogue 2, section 3.2.

use std::fs;

use base64::Engine as _;

use crate::support::{APP_IMAGE, Outcome, RUN_IMAGE, Registry, World};

/// The layer that tests look for.
const KEPT: &str = "test/one:kept";

/// A world whose buildpack makes a layer for the cache, one for launch and cache, and SBOM files for both, and says
/// what it finds of them.
fn world() -> World {
    let build = r#"
app=$PWD
cd "$CNB_LAYERS_DIR"
for layer in kept both; do
  if [ -f $layer/data ]; then echo "data of $layer is back: $(cat $layer/data)"; fi
  if [ -f $layer.sbom.cdx.json ]; then echo "SBOM of $layer is back"; fi
  mkdir -p $layer
  printf '%s of ' $layer > $layer/data
  cat "$app/file" >> $layer/data
  echo '{}' > $layer.sbom.cdx.json
done
printf '[types]\ncache = true\nbuild = true\n[metadata]\nn = 3\n' > kept.toml
printf '[types]\ncache = true\nlaunch = true\n' > both.toml
"#;
    let world = World::new();
    let sbom = "sbom-formats = [\"application/vnd.cyclonedx+json\"]";
    world.buildpack("test/one", "0.12", sbom, "exit 0", build);
    world.order(&[&["test/one"]]);
    world.write("workspace/file", "content\n");
    world
}

/// Runs the creator with a fresh layers folder.
fn create(world: &World, registry: &Registry, more: &[&str]) -> Outcome {
    world.fresh_layers();
    let cache = registry.image("cache");
    let args = ["-launcher", "bin/launcher", "-cache-image", &cache, "-run-image", RUN_IMAGE];
    world.run("creator", &[&args, more, &[APP_IMAGE]].concat())
}

/// Runs phase after phase with a fresh layers folder, and gives what the restorer said.
fn phases(world: &World, cache: &str) -> Outcome {
    world.fresh_layers();
    let run = |program: &str, args: &[&str]| {
        world.run_with(program, args, &[("CNB_CACHE_IMAGE", Some(cache)), ("CNB_PARALLEL_EXPORT", Some("true"))])
    };
    run("analyzer", &[APP_IMAGE]).exits(0).done();
    run("detector", &[]).exits(0).done();
    let restored = run("restorer", &["-cache-dir", "cache"]).exits(0);
    run("builder", &[]).exits(0).done();
    run("exporter", &["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE]).exits(0).done();
    restored
}

/// What was sent to a registry, but for trying whether that is allowed.
fn sent(registry: &Registry) -> Vec<String> {
    let mut seen = registry.seen();
    seen.retain(|request| request.starts_with("PATCH") || request.starts_with("PUT"));
    seen
}

#[test]
fn layers_and_their_sboms_come_back_from_a_cache_image_and_unchanged_ones_are_not_sent() {
    let world = world();
    let registry = Registry::start();
    create(&world, &registry, &[])
        .exits(0)
        .says("Layer cache not found")
        .says("Adding cache layer 'test/one:both'")
        .says("Adding cache layer 'test/one:kept'")
        .says("Adding cache layer 'buildpacksio/lifecycle:cache.sbom'")
        .does_not_say("Warning: No cached data")
        .done();
    let manifest = registry.manifest("cache").unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    let config = registry.config("cache");
    assert_eq!((&config["os"], &config["architecture"]), (&"linux".into(), &"".into()));
    let label = config["config"]["Labels"]["io.buildpacks.lifecycle.cache.metadata"].as_str().unwrap();
    let label: serde_json::Value = serde_json::from_str(label).unwrap();
    assert_eq!(label["buildpacks"][0]["layers"]["kept"]["sha"], config["rootfs"]["diff_ids"][1]);
    assert_eq!(label["sbom"]["sha"], config["rootfs"]["diff_ids"][2]);
    registry.seen();

    let digest = registry.digest("cache");
    create(&world, &registry, &[])
        .exits(0)
        .says("Restoring metadata for \"test/one:kept\" from cache")
        .says("Restoring data for \"test/one:kept\" from cache")
        .says("data of kept is back: kept of content")
        .says("data of both is back: both of content")
        .says("SBOM of kept is back")
        .says("SBOM of both is back")
        .says("Reusing cache layer 'test/one:kept'")
        .does_not_say("Adding cache layer")
        .does_not_say("Skipping")
        .done();
    assert_eq!((sent(&registry), registry.digest("cache")), (Vec::new(), digest));
}

#[test]
fn a_changed_layer_is_sent_and_the_cache_has_what_the_build_has() {
    let world = world();
    let registry = Registry::start();
    for parallel in [&[][..], &["-parallel"]] {
        world.write("workspace/file", "content\n");
        create(&world, &registry, parallel).exits(0).done();
        world.write("workspace/file", "other\n");
        registry.seen();
        create(&world, &registry, parallel).exits(0).says("Adding cache layer 'test/one:kept'").done();
        assert!(sent(&registry).iter().any(|request| request == "PUT /v2/cache/manifests/latest"));
        assert_eq!(registry.manifest("cache").unwrap()["layers"].as_array().unwrap().len(), 3);
        create(&world, &registry, parallel).exits(0).says("data of kept is back: kept of other").done();
    }
}

#[test]
fn phases_share_a_cache_image_that_the_variable_names_and_it_wins_over_a_folder() {
    let world = world();
    let registry = Registry::start();
    let cache = registry.image("cache");
    phases(&world, &cache).says("Layer cache not found").done();
    phases(&world, &cache).says("Restoring data for \"test/one:kept\" from cache").done();
    assert_eq!(fs::read_dir(world.path("cache")).unwrap().count(), 0, "the folder is left alone");
}

#[test]
fn a_build_without_cached_layers_leaves_one_empty_layer() {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", "exit 0", "exit 0");
    world.order(&[&["test/one"]]);
    let registry = Registry::start();
    create(&world, &registry, &[]).exits(0).done();
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(registry.config("cache")["rootfs"]["diff_ids"], serde_json::json!([empty]));
    registry.seen();
    create(&world, &registry, &[]).exits(0).does_not_say("corrupt").done();
    assert_eq!(sent(&registry), [""; 0]);
}

#[test]
fn the_analyzer_makes_sure_that_the_cache_image_can_be_written() {
    let world = world();
    let registry = Registry::start();
    let cache = registry.image("cache");
    registry.refuse("POST", "/v2/cache/blobs/uploads/", 403);
    world
        .run("analyzer", &["-cache-image", &cache, APP_IMAGE])
        .exits(32)
        .says(&format!("validating registry write access: failed to ensure registry read/write access to {cache}"))
        .done();
    registry.relent();
    world.run("analyzer", &["-cache-image", &cache, APP_IMAGE]).exits(0).done();
    assert_eq!(registry.manifest("cache"), None, "nothing stays of the attempt");
}

#[test]
fn a_name_that_is_none_is_refused() {
    let world = world();
    let args = ["-cache-image", "a.io/Upper"];
    let resolve = "failed to resolve inputs: could not parse reference: a.io/Upper";
    world.run("analyzer", &[&args[..], &[APP_IMAGE]].concat()).exits(3).says(resolve).done();
    world.run("creator", &[&args[..], &[APP_IMAGE]].concat()).exits(3).says(resolve).done();
    world.build();
    world.run("exporter", &[&args[..], &[APP_IMAGE]].concat()).exits(3).says(resolve).done();
    world
        .run("restorer", &args)
        .exits(1)
        .says("failed to create image cache: accessing cache image \"a.io/Upper\": could not parse reference")
        .done();
}

#[test]
fn a_cache_image_that_cannot_be_read_costs_time_only() {
    let world = world();
    let registry = Registry::start();
    create(&world, &registry, &[]).exits(0).done();
    registry.refuse("GET", "/v2/cache/manifests/", 403);
    let warning = format!("Warning: Not using cache image \"{}\":", registry.image("cache"));
    create(&world, &registry, &[])
        .exits(0)
        .says(&warning)
        .does_not_say("is back")
        .says("Adding cache layer 'test/one:kept'")
        .done();
    registry.relent();
    create(&world, &registry, &[]).exits(0).says("data of kept is back").done();

    world.run("restorer", &["-cache-image", "127.0.0.1:1/no/registry"]).exits(0).says("Not using cache image").done();
}

#[test]
fn a_cache_image_with_a_lost_layer_is_ignored_and_mended() {
    let world = world();
    let registry = Registry::start();
    create(&world, &registry, &[]).exits(0).done();
    registry.spoil("cache", 1, None);
    let cache = registry.image("cache");
    create(&world, &registry, &[])
        .exits(0)
        .says(&format!("Ignoring cache image \"{cache}\" because it was corrupt"))
        .does_not_say("Restoring data for \"test/one")
        .says("Adding cache layer 'test/one:kept'")
        .done();
    create(&world, &registry, &[]).exits(0).says("data of kept is back").does_not_say("corrupt").done();
}

#[test]
fn a_layer_of_other_bytes_is_told_and_made_anew() {
    let world = world();
    let registry = Registry::start();
    create(&world, &registry, &[]).exits(0).done();
    registry.spoil("cache", 1, Some(&[0; 300]));
    create(&world, &registry, &[])
        .exits(0)
        .says(&format!("Warning: Skipping restore for layer {KEPT}: failed to get cache layer"))
        .says(" has 300 bytes instead of ")
        .says("data of both is back")
        .does_not_say("data of kept is back")
        .done();
    create(&world, &registry, &[]).exits(0).says("data of kept is back").done();
}

#[test]
fn a_layer_that_could_not_be_restored_is_sent_again() {
    let world = world();
    let registry = Registry::start();
    let cache = registry.image("cache");
    let by_phases = || phases(&world, &cache);
    let by_creator = || create(&world, &registry, &[]).exits(0);
    let builds: [&dyn Fn() -> Outcome; 2] = [&by_creator, &by_phases];
    for build in builds {
        build().done();
        let sound = registry.digest("cache");
        for (layer, name) in [(1, "layer test/one:kept"), (2, "SBOM from cache")] {
            registry.replace("cache", layer, b"no layer");
            build().says(&format!("Warning: Skipping restore for {name}")).done();
            assert_eq!(registry.digest("cache"), sound);
            build().does_not_say("Skipping restore").done();
        }
    }
}

#[test]
fn what_one_restore_could_not_read_is_forgotten_when_the_next_can() {
    let world = world();
    let registry = Registry::start();
    let cache = format!("-cache-image={}", registry.image("cache"));
    create(&world, &registry, &[]).exits(0).done();
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    let analyzed = world.read("layers/analyzed.toml");
    let unsound = format!("unsound-cache-layers = [\"sha256:{}\"]\n{analyzed}", "1".repeat(64));
    world.write("layers/analyzed.toml", &unsound);
    world.run("restorer", &[&cache]).exits(0).done();
    assert!(!world.read("layers/analyzed.toml").contains("unsound"));
}

#[test]
fn a_cache_that_cannot_be_written_is_a_warning_that_names_what_is_lost() {
    let world = world();
    let registry = Registry::start();
    for (method, target, says) in [
        ("PUT", "/v2/cache/blobs/uploads/", format!("Warning: Failed to cache layer '{KEPT}': ")),
        ("PUT", "/v2/cache/manifests/latest", "Warning: Failed to export cache: committing cache: ".to_owned()),
    ] {
        registry.refuse(method, target, 403);
        create(&world, &registry, &[]).exits(0).says(&says).says("*** Images (").done();
        assert_eq!(registry.manifest("cache"), None);
        registry.relent();
    }
    create(&world, &registry, &[]).exits(0).done();
    let kept = registry.digest("cache");
    world.write("workspace/file", "other\n");
    registry.refuse("PUT", "/v2/cache/manifests/latest", 500);
    create(&world, &registry, &["-parallel"]).exits(0).says("Warning: Failed to export cache: ").done();
    assert_eq!(registry.digest("cache"), kept, "the old cache stays");
}

#[test]
fn a_failed_export_leaves_the_old_cache_image() {
    let world = world();
    let registry = Registry::start();
    create(&world, &registry, &[]).exits(0).done();
    let before = registry.digest("cache");
    world.write("workspace/file", "other\n");
    for parallel in [&[][..], &["-parallel"]] {
        create(&world, &registry, &[parallel, &["-process-type", "none"]].concat()).exits(62).done();
        assert_eq!(registry.digest("cache"), before);
    }
}

fn replaced(api: &'static str) -> (Registry, String) {
    let world = world().at(api);
    let registry = Registry::start();
    create(&world, &registry, &[]).exits(0).does_not_say("Unable to delete cache image").done();
    let old = registry.digest("cache");
    create(&world, &registry, &[]).exits(0).done();
    assert_eq!(registry.digest("cache"), old, "an image that was not replaced stays");
    world.write("workspace/file", "other\n");
    create(&world, &registry, &[]).exits(0).done();
    assert_ne!(registry.digest("cache"), old);
    (registry, old)
}

#[test]
fn the_cache_image_that_is_replaced_is_deleted_before_0_13() {
    let (registry, old) = replaced("0.12");
    assert!(!registry.has_manifest("cache", &old));

    let world = world().at("0.12");
    registry.refuse("DELETE", "/manifests/", 405);
    create(&world, &registry, &[]).exits(0).says("Warning: Unable to delete cache image: ").done();
}

#[test]
fn the_cache_image_that_is_replaced_is_kept_since_0_13() {
    let (registry, old) = replaced("0.13");
    assert!(registry.has_manifest("cache", &old));
}

#[test]
fn with_skip_restore_a_cache_image_is_written_and_not_read() {
    for api in ["0.9", "0.15"] {
        let world = world().at(api);
        let registry = Registry::start();
        // Layouts come with 0.12; their variables count before.
        create(&world, &registry, &[]).exits(0).done();
        registry.seen();
        create(&world, &registry, &["-skip-restore"])
            .exits(0)
            .does_not_say("data of kept is back")
            .says("Reusing cache layer 'test/one:kept'")
            .done();
        assert_eq!(sent(&registry), [""; 0], "{api}");
    }
}

#[test]
fn credentials_are_those_of_the_cache_images_registry() {
    let world = world();
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("user:secret"));
    let registry = Registry::with_login(&basic);
    let cache = registry.image("cache");
    let args = ["-launcher", "bin/launcher", "-cache-image", &cache, APP_IMAGE];
    world.run("creator", &args).exits(32).says("401").does_not_say("secret").done();

    let auth = format!("{{\"{}\":\"{basic}\"}}", registry.host());
    world.run_with("creator", &args, &[("CNB_REGISTRY_AUTH", Some(&auth))]).exits(0).does_not_say(&basic).done();
    assert!(registry.manifest("cache").is_some());

    let login = base64::engine::general_purpose::STANDARD.encode("user:secret");
    world.write("docker/config.json", &format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{login}\"}}}}}}", registry.host()));
    world.fresh_layers();
    let docker = world.path("docker");
    world
        .run_with("creator", &args, &[("DOCKER_CONFIG", docker.to_str())])
        .exits(0)
        .says("data of kept is back")
        .done();
}
