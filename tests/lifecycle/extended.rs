//! A run image that extensions extended, in restorer and exporter: catalogue extend-launch-package, A2, A5 and A10.

use std::fs;

use serde_json::{Value, json};

use crate::support::{APP_IMAGE, Image, Outcome, RUN_IMAGE, World, empty_tar, sha256};

/// The tar of a layer that an extension made.
fn layer() -> Vec<u8> {
    vec![0; 2048]
}

/// A world in which the builder has run, and where `extend` is what analysis and generation left.
fn world(api: &'static str, extend: bool) -> World {
    let world = World::new().at(api);
    world.buildpack("test/one", "0.10", "", "exit 0", "exit 0");
    world.order(&[&["test/one"]]);
    world.write("workspace/file", "content\n");
    world.run("detector", &[]).exits(0).done();
    let reference = format!("{}@{}", world.layout(RUN_IMAGE).display(), world.digest(RUN_IMAGE));
    let target = "[run-image.target]\nos = \"linux\"\narch = \"amd64\"\n";
    let run_image = format!("[run-image]\nreference = \"{reference}\"\nimage = \"{RUN_IMAGE}\"\nextend = {extend}\n");
    world.write("layers/analyzed.toml", &format!("{run_image}{target}"));
    world.run("builder", &[]).exits(0).done();
    world
}

/// Lays down what the extender would have left: the image without the layer that it began with.
fn extend(world: &World, folder: &str) {
    let mut image = Image { layers: vec![empty_tar(), layer()], ..Image::default() };
    let config = &mut image.config["config"];
    config["User"] = json!("2000");
    config["Labels"] = json!({ "io.buildpacks.rebasable": "true" });
    let folder = world.path(folder).join("run/sha256:x");
    image.write(&folder);
    fs::remove_file(folder.join("blobs").join(sha256(&empty_tar()).replace(':', "/"))).unwrap();
}

fn export(world: &World, args: &[&str], mode: &'static str) -> Outcome {
    let args = [&["-launcher", "bin/launcher"], args, &[APP_IMAGE]].concat();
    world.run_with("exporter", &args, &[("CNB_EXPERIMENTAL_MODE", Some(mode))])
}

/// User and number of layers of the app image.
fn user_and_layers(config: &Value) -> (&str, usize) {
    (config["config"]["User"].as_str().unwrap(), config["rootfs"]["diff_ids"].as_array().unwrap().len())
}

#[test]
fn an_extended_run_image_gives_layers_configuration_and_the_rebasable_label() {
    let plain = world("0.13", false);
    export(&plain, &[], "quiet").exits(0).done();
    let (_, _, config) = plain.app_image();
    let (user, layers) = user_and_layers(&config);
    assert_eq!(user, "1000");
    let world = world("0.13", true);
    extend(&world, "elsewhere");
    let exported = export(&world, &["-extended", "elsewhere"], "quiet");
    exported.exits(0).says("Adding layer 'from extensions:extended-layer-1'").done();
    let (_, _, config) = world.app_image();
    assert_eq!(user_and_layers(&config), ("2000", layers + 1));
    assert_eq!(config["config"]["Labels"]["io.buildpacks.rebasable"], "true");
    assert_eq!(config["rootfs"]["diff_ids"][0], sha256(&empty_tar()));
    // An archive without entries is its end marker, however long it was.
    assert_eq!(config["rootfs"]["diff_ids"][1], sha256(&empty_tar()));
    let metadata = config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"].as_str().unwrap();
    let metadata: Value = serde_json::from_str(metadata).unwrap();
    assert_eq!(metadata["runImage"]["topLayer"], sha256(&empty_tar()));
}

#[test]
fn layers_of_extensions_are_experimental_before_0_13() {
    let text = "Platform requested experimental feature 'Dockerfiles'";
    // A layout is experimental itself, and refused first.
    let registry = [("CNB_EXPERIMENTAL_MODE", Some("error")), ("CNB_USE_LAYOUT", None)];
    for (api, mode, told) in [("0.12", "warn", true), ("0.12", "quiet", false), ("0.13", "warn", false)] {
        let world = world(api, true);
        extend(&world, "layers/extended");
        let exported = export(&world, &[], mode).exits(0);
        let exported = if told { exported.says(text) } else { exported.does_not_say(text) };
        exported.done();
        world.write("layers/analyzed.toml", "[run-image]\nreference = \"127.0.0.1:1/run\"\nextend = true\n");
        let exported = world.run_with("exporter", &["-launcher", "bin/launcher", APP_IMAGE], &registry).exits(1);
        let exported = if api == "0.12" { exported.says(text) } else { exported.says("127.0.0.1:1") };
        exported.done();
    }
}

#[test]
fn an_extended_run_image_that_is_missing_or_doubtful_ends_the_export() {
    let missing = world("0.13", true);
    let text = "failed to get extended image config: missing extended run image";
    export(&missing, &[], "quiet").exits(1).says(text).done();
    for (is_extended, exit, action) in [(true, 1, "get extended image config"), (false, 62, "export")] {
        let world = world("0.13", is_extended);
        extend(&world, "layers/extended");
        fs::create_dir(world.path("layers/extended/run/other")).unwrap();
        let folder = world.path("layers/extended/run").display().to_string();
        let cause = format!("expected directory \"{folder}\" to have only 1 item; found 2");
        export(&world, &[], "quiet").exits(exit).says(&format!("failed to {action}: {cause}")).done();
        fs::remove_dir(world.path("layers/extended/run/other")).unwrap();
        let index = "layers/extended/run/sha256:x/index.json";
        let mut two: Value = serde_json::from_str(&world.read(index)).unwrap();
        let manifest = two["manifests"][0].clone();
        two["manifests"].as_array_mut().unwrap().push(manifest);
        world.write(index, &two.to_string());
        let cause = format!("image index at \"{folder}/sha256:x\" to have only 1 manifest; found 2");
        export(&world, &[], "quiet").exits(exit).says(&format!("failed to {action}: expected {cause}")).done();
        world.write(index, "{");
        export(&world, &[], "quiet").exits(exit).says(&format!("failed to {action}: extended run image")).done();
        assert!(!world.layout(APP_IMAGE).exists());
    }
}

#[test]
fn the_build_image_is_kept_before_the_run_image_is_looked_at() {
    let world = world("0.14", true);
    let before = world.read("layers/analyzed.toml");
    let text = "failed to pull builder image a.io/b: failed to create cache directory: mkdir /kaniko";
    world.run("restorer", &["-build-image", "a.io/b"]).exits(1).says(text).done();
    assert_eq!(world.read("layers/analyzed.toml"), before);
}

#[test]
fn a_run_image_that_extensions_extend_is_pulled_unless_it_is_a_layout() {
    for (api, layout, exit) in [("0.11", None, 0), ("0.12", None, 1), ("0.12", Some("true"), 0)] {
        let world = world(api, true);
        let run = world.run_with("restorer", &[], &[("CNB_USE_LAYOUT", layout)]);
        let text = format!("failed to pull run image {RUN_IMAGE}: failed to create cache directory: mkdir /kaniko");
        let run = if exit == 1 { run.says(&text) } else { run.does_not_say("kaniko") };
        run.exits(exit).done();
    }
}
