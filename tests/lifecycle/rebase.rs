//! Rebases of OCI layouts by the program: what it writes, refuses and leaves alone.

use std::fs;

use serde_json::{Value, json};

use crate::support::{APP_IMAGE, Image, RUN_IMAGE, World, empty_tar, sha256};

/// A world with an app image on the run image.
fn world() -> World {
    let world = World::new();
    let build = r#"
mkdir -p "$CNB_LAYERS_DIR/app"
echo binary > "$CNB_LAYERS_DIR/app/file"
printf '[types]\nlaunch = true\n' > "$CNB_LAYERS_DIR/app.toml"
"#;
    world.buildpack("test/one", "0.12", "", "exit 0", build);
    world.order(&[&["test/one"]]);
    world.write("workspace/file", "content\n");
    world.build();
    fs::remove_file(world.path("layers/report.toml")).unwrap();
    world
}

/// A newer run image, with one layer more.
fn newer() -> Image {
    let mut image = Image { layers: vec![vec![0; 2048], empty_tar()], ..Image::default() };
    image.config["config"]["Labels"] = json!({ "io.buildpacks.base.id": "newer", "io.buildpacks.other": "not taken" });
    image
}

fn metadata(config: &Value) -> Value {
    serde_json::from_str(config["config"]["Labels"]["io.buildpacks.lifecycle.metadata"].as_str().unwrap()).unwrap()
}

#[test]
fn an_app_image_is_put_on_a_newer_run_image_and_the_next_build_goes_on_from_it() {
    let world = world();
    let (_, before, app) = world.app_image();
    newer().write(&world.layout(RUN_IMAGE));
    world.run("rebaser", &[APP_IMAGE]).exits(0).says("Saving ").says("*** Images (").done();
    let (_, manifest, config) = world.app_image();

    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers[2..], before["layers"].as_array().unwrap()[1..], "the app's own layers");
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(diff_ids[..2], [json!(sha256(&[0; 2048])), json!(sha256(&empty_tar()))]);
    for layer in layers {
        let digest = layer["digest"].as_str().unwrap();
        let blob = fs::read(world.layout(APP_IMAGE).join("blobs").join(digest.replace(':', "/"))).unwrap();
        assert_eq!(sha256(&blob), digest);
    }
    let history = |config: &Value, from: usize| config["history"].as_array().unwrap()[from..].to_vec();
    assert_eq!(history(&config, 2), history(&app, 1));
    assert_eq!(config["history"][0]["created_by"], "test");

    let (was, is) = (metadata(&app), metadata(&config));
    assert_eq!(is["runImage"]["topLayer"], json!(sha256(&empty_tar())));
    let reference = format!("{}@{}", world.layout(RUN_IMAGE).display(), world.digest(RUN_IMAGE));
    assert_eq!(is["runImage"]["reference"], reference);
    assert_eq!((&is["buildpacks"], &is["stack"]), (&was["buildpacks"], &was["stack"]));
    assert_eq!(config["config"]["Labels"]["io.buildpacks.base.id"], "newer");
    assert_eq!(config["config"]["Labels"]["io.buildpacks.other"], Value::Null);
    assert_eq!(config["config"]["Env"], app["config"]["Env"]);
    let report = world.read("layers/report.toml");
    assert!(report.contains(world.layout(APP_IMAGE).to_str().unwrap()), "{report}");

    world.fresh_layers();
    let next = world.run("creator", &["-launcher", "bin/launcher", APP_IMAGE]).exits(0);
    next.says("Reusing layer 'test/one:app'").done();
    assert_eq!(
        world.app_image().1["layers"],
        manifest["layers"],
        "a build on the newer run image makes the same layers"
    );
}

#[test]
fn the_same_run_image_again_changes_nothing() {
    let world = world();
    let before = world.digest(APP_IMAGE);
    let run = world.run(
        "lifecycle",
        &["rebase", "-run-image", RUN_IMAGE, "-report", "elsewhere/report.toml", "-log-level", "debug", APP_IMAGE],
    );
    run.exits(0).says("Timer: Rebaser started at").says("Rebasing '").done();
    assert_eq!(world.digest(APP_IMAGE), before);
    assert!(world.read("elsewhere/report.toml").contains("tags = ["));
    assert!(!world.path("layers/report.toml").exists());
}

#[test]
fn the_previous_image_stays_as_it_is() {
    let world = world();
    let before = world.digest(APP_IMAGE);
    newer().write(&world.layout(RUN_IMAGE));
    let (one, two) = ("example.com/test/one", "example.com/test/two");
    world.run("rebaser", &["-previous-image", APP_IMAGE, one, two]).exits(0).done();
    assert_eq!(world.digest(APP_IMAGE), before);
    assert_ne!(world.digest(one), before);
    let report = world.read("layers/report.toml");
    assert!([one, two].iter().all(|name| report.contains(world.layout(name).to_str().unwrap())), "{report}");
}

#[test]
fn what_is_refused_leaves_no_image_and_no_report() {
    let world = world();
    let before = world.digest(APP_IMAGE);
    let mut other = newer();
    other.config["architecture"] = json!("other");
    other.write(&world.layout(RUN_IMAGE));
    let refused = world.run("rebaser", &[APP_IMAGE]).exits(72);
    refused.says("ERROR: failed to rebase: unable to satisfy target os/arch constraints; new run image: {").done();
    assert_eq!(world.digest(APP_IMAGE), before);
    assert!(!world.path("layers/report.toml").exists());
    let forced = world.run("rebaser", &["-force", APP_IMAGE]).exits(0);
    forced.says("Warning: unable to satisfy target os/arch constraints").done();
    assert_eq!(world.app_image().2["architecture"], "other");
}

#[test]
fn a_run_image_whose_parts_do_not_fit_is_refused() {
    let world = world();
    let before = world.digest(APP_IMAGE);
    let rewrite = |change: &dyn Fn(&mut Value, &mut Value)| newer().write_spoiled(&world.layout(RUN_IMAGE), change);
    let refused = |change: &dyn Fn(&mut Value, &mut Value), text: &str| {
        rewrite(change);
        world.run("rebaser", &[APP_IMAGE]).exits(1).says("failed to access run image: image '").says(text).done();
        assert_eq!(world.digest(APP_IMAGE), before);
        assert!(!world.path("layers/report.toml").exists());
    };
    // B1: digests of compressed layers stand where those of their contents should.
    let compressed = |manifest: &mut Value, config: &mut Value| {
        manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
        config["rootfs"]["diff_ids"][0] = manifest["layers"][0]["digest"].clone();
    };
    refused(&compressed, "is compressed and has its diff id as digest");
    // B3: a layer is missing, is there twice, or has lost its bytes.
    refused(&|manifest, _| drop(manifest["layers"].as_array_mut().unwrap().remove(0)), "1 layers and the config has 2");
    refused(&|manifest, _| manifest["layers"][1] = manifest["layers"][0].clone(), "different diff ids");
    refused(&|manifest, _| manifest["layers"][1]["size"] = json!(0), "has an empty blob");
    // B2: history that does not fit is no fault, and costs no layer.
    rewrite(&|_, config| config["history"] = json!([]));
    world.run("rebaser", &[APP_IMAGE]).exits(0).done();
    let (_, manifest, config) = world.app_image();
    let count = |list: &Value| list.as_array().unwrap().len();
    assert_eq!(count(&config["history"]), count(&manifest["layers"]));
    assert_eq!(count(&config["rootfs"]["diff_ids"]), count(&manifest["layers"]));
}

#[test]
fn a_rebase_is_a_trace_of_its_own() {
    let world = world();
    world.run("rebaser", &["-telemetry", APP_IMAGE]).exits(0).done();
    let folder = world.path("layers/tracing/lifecycle");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["rebase.jsonl"], "no context that a build could take for its own");
    let lines = world.read("layers/tracing/lifecycle/rebase.jsonl");
    for name in ["rebase", "read-previous-image", "read-run-image", "write-image"] {
        assert!(lines.contains(&format!(r#""name":"{name}""#)), "{name}: {lines}");
    }
}

#[test]
fn images_out_of_reach_are_told_by_the_code_of_what_they_were_for() {
    let world = world();
    let registry = [("CNB_USE_LAYOUT", None)];
    let app = world.run_with("rebaser", &["registry.invalid/test/app"], &registry);
    app.exits(72).says("failed to set app image: failed to access image to rebase: ").done();
    let unfit = world.run("rebaser", &["-run-image", "example.com/test/nowhere", APP_IMAGE]).exits(1);
    unfit.says("failed to access run image: image 'example.com/test/nowhere' not found").done();
}
