//! Whole builds of an OCI layout, phase by phase and by the creator.

use crate::support::World;

/// A world with one buildpack that makes a launch layer, a cached layer and a process.
fn world() -> World {
    let world = World::new();
    let build = r#"
layer=$CNB_LAYERS_DIR/app
if [ -f "$layer.toml" ]; then echo "metadata of app is back"; fi
if [ -f "$CNB_LAYERS_DIR/kept/data" ]; then echo "data of kept is back"; fi
mkdir -p "$layer/bin" "$CNB_LAYERS_DIR/kept"
echo binary > "$layer/bin/app"
echo data > "$CNB_LAYERS_DIR/kept/data"
printf '[types]\nlaunch = true\n[metadata]\nn = 3\n' > "$layer.toml"
printf '[types]\ncache = true\n' > "$CNB_LAYERS_DIR/kept.toml"
printf '[[processes]]\ntype = "web"\ncommand = ["app"]\ndefault = true\n' > "$CNB_LAYERS_DIR/launch.toml"
"#;
    world.buildpack("test/one", "0.12", "", "exit 0", build);
    world.order(&[&["test/one"]]);
    world.write("workspace/file", "content\n");
    world
}

#[test]
fn a_build_phase_by_phase_writes_an_image_that_remembers_its_layers() {
    let world = world();
    world.build();
    let (_, manifest, config) = world.app_image();
    let labels = &config["config"]["Labels"];
    let metadata: serde_json::Value =
        serde_json::from_str(labels["io.buildpacks.lifecycle.metadata"].as_str().unwrap()).unwrap();
    assert_eq!(metadata["buildpacks"][0]["layers"]["app"]["data"]["n"], 3);
    assert_eq!(config["config"]["Entrypoint"][0], "/cnb/process/web");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), config["rootfs"]["diff_ids"].as_array().unwrap().len());
    assert!(world.read("layers/report.toml").contains("tags = ["));
}

#[test]
fn the_next_build_restores_and_reuses_and_writes_the_same_image() {
    let world = world();
    world.build();
    let first = world.app_image().0;
    world.fresh_layers();
    let out = world.run("creator", &["-cache-dir", "cache", "-launcher", "bin/launcher", crate::support::APP_IMAGE]);
    out.exits(0)
        .says("===> ANALYZING")
        .says("Restoring data for \"test/one:kept\" from cache")
        .says("metadata of app is back")
        .says("data of kept is back")
        .says("Reusing layer 'test/one:app'")
        .done();
    assert_eq!(world.app_image().0, first);
}
