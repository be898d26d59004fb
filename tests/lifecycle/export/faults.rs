//! What is missing or wrong when the exporter starts: catalogue 2, section 7, and policy B1-B4.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{EXPORT, built, built_by, export};
use crate::support::{APP_IMAGE, Image, Outcome, RUN_IMAGE, World, empty_tar, sha256};

/// Checks that an export has failed and left neither image nor report.
#[track_caller]
fn nothing_was_written(world: &World, outcome: Outcome, exit: i32, text: &str) {
    outcome.exits(exit).says(&format!("ERROR: failed to {text}")).done();
    assert!(!world.layout(APP_IMAGE).exists() && !world.path("layers/report.toml").exists());
}

#[test]
fn documents_that_cannot_be_read_are_named() {
    for (api, file, exit, text) in [
        ("0.15", "layers/group.toml", 1, "read group file: "),
        ("0.15", "layers/project-metadata.toml", 1, "read project metadata file: toml: "),
        ("0.15", "run.toml", 1, "read run file: toml: "),
        ("0.11", "stack.toml", 1, "read stack file: toml: "),
        ("0.15", "layers/analyzed.toml", 3, "resolve inputs: failed to read analyzed file"),
        ("0.11", "layers/config/metadata.toml", 62, "export: read build metadata: failed to read build metadata file"),
    ] {
        let world = built(api);
        world.write(file, "no toml\n");
        let stack = world.path("stack.toml");
        let outcome = world.run_with("exporter", &EXPORT, &[("CNB_STACK_PATH", stack.to_str())]);
        nothing_was_written(&world, outcome, exit, text);
    }
}

#[test]
fn a_group_with_an_unknown_buildpack_api_ends_with_12() {
    let world = built("0.15");
    let group = world.read("layers/group.toml").replace("api = \"0.10\"", "api = \"0.1\"");
    world.write("layers/group.toml", &group);
    let text = "set API for Buildpack 'test/one@1.0': buildpack API version '0.1' is incompatible with the lifecycle";
    nothing_was_written(&world, export(&world, &[]), 12, text);
}

#[test]
fn names_that_are_none_are_refused_wherever_they_stand() {
    let world = built("0.15");
    let registry = [("CNB_USE_LAYOUT", None)];
    let refused = |args: &[&str], name: &str| {
        let outcome = world.run_with("exporter", &[args, &EXPORT].concat(), &registry);
        outcome.exits(3).says(&format!("failed to resolve inputs: could not parse reference: {name}")).done();
    };
    let run_image = "[run-image]\nreference = \"a.io/run\"\n";
    world.write("layers/analyzed.toml", run_image);
    world
        .run_with("exporter", &["a.io/Upper"], &registry)
        .exits(3)
        .says("could not parse reference: a.io/Upper")
        .done();
    world.run_with("exporter", &["a.io/image", "a.io/Upper"], &registry).exits(3).says("reference: a.io/Upper").done();
    refused(&["-cache-image", "a.io/Upper"], "a.io/Upper");
    world.write("layers/analyzed.toml", &run_image.replace("run\"", "Upper\""));
    refused(&[], "a.io/Upper");
}

#[test]
fn a_file_of_a_layer_that_cannot_be_read_is_named() {
    let world = built("0.15");
    let secret = world.path("layers/test_one/kept/secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    for parallel in ["-parallel=true", "-parallel=false"] {
        let outcome = export(&world, &["-cache-dir", "cache", parallel]);
        let text = format!("export: creating layer: open {}: permission denied", secret.display());
        nothing_was_written(&world, outcome, 62, &text);
        assert!(!world.path("cache/committed").exists(), "the cache of a failed export is not committed");
    }
    fs::remove_file(&secret).unwrap();
    let secret = world.path("workspace/secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let path = secret.display();
    let text = format!("failed to add file {path} to archive: open {path}: permission denied");
    let text = format!("export: exporting app layers: creating app layers: {text}");
    nothing_was_written(&world, export(&world, &[]), 62, &text);
}

/// Policy B19. The kernel's files have no length until they are read, as if each grew meanwhile.
#[test]
fn a_file_that_grows_while_it_is_archived_is_named_and_no_image_is_written() {
    let world = built("0.15");
    let outcome = export(&world, &["-app", "/proc/sys/kernel/random"]);
    let text = "export: exporting app layers: creating app layers: failed to add file /proc/sys/kernel/random/boot_id to \
                archive: /proc/sys/kernel/random/boot_id changed while it was archived";
    nothing_was_written(&world, outcome, 62, text);
}

#[test]
fn folders_that_are_missing_or_refuse_are_named() {
    let world = built("0.15");
    let outcome = export(&world, &["-cache-dir", "nowhere"]);
    let path = world.path("nowhere").display().to_string();
    nothing_was_written(&world, outcome, 1, &format!("create volume cache: stat {path}: no such file or directory"));

    let config = world.path("layers/config");
    fs::rename(&config, world.path("elsewhere")).unwrap();
    nothing_was_written(&world, export(&world, &[]), 62, "export: read build metadata: failed to read build metadata");
    fs::rename(world.path("elsewhere"), &config).unwrap();

    let sbom = export(&world, &["-launcher-sbom", "nowhere"]);
    nothing_was_written(&world, sbom, 62, "export: ");
}

#[test]
fn a_cache_folder_that_cannot_be_written_costs_the_cache_alone() {
    let world = built("0.15");
    let cache = world.path("cache");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o555)).unwrap();
    // Whoever may change users would give the folder to the user of the build.
    let outcome = export(&world, &["-cache-dir", "cache"]);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    outcome.exits(0).says("Warning: ").says("permission denied").done();
    assert!(world.layout(APP_IMAGE).exists());
}

#[test]
fn layers_that_make_no_sense_are_named() {
    let world = built_by("0.15", "exit 0");
    for (toml, text) in [
        ("launch = true", "export: failed to parse metadata for layers '[test/one:odd]'"),
        ("no toml", "export: failed to parse metadata for layers '[test/one:odd]'"),
        ("[types]\nlaunch = true\ncache = true", "export: layer 'test/one:odd' is cache=true but has no contents"),
        (
            "[types]\nlaunch = true",
            "export: cannot reuse 'test/one:odd', previous image has no metadata for layer 'test/one:odd'",
        ),
    ] {
        world.write("layers/test_one/odd.toml", toml);
        nothing_was_written(&world, export(&world, &[]), 62, text);
    }
}

#[test]
fn metadata_of_a_previous_image_that_is_not_named_or_gone_costs_no_crash() {
    let world = built("0.15");
    let analyzed = world.read("layers/analyzed.toml");
    let analyzed = &analyzed[analyzed.find("[run-image]").unwrap()..];
    let sha = sha256(b"x");
    let metadata = format!(
        "[metadata]\n[metadata.launcher]\nsha = \"{sha}\"\n[[metadata.buildpacks]]\nkey = \"test/one\"\n\
                            [metadata.buildpacks.layers.gone]\nsha = \"{sha}\"\nlaunch = true\n"
    );
    world.write("layers/analyzed.toml", &format!("{analyzed}\n{metadata}"));
    export(&world, &[]).exits(0).done();
    fs::remove_dir_all(world.layout(APP_IMAGE)).unwrap();
    fs::remove_file(world.path("layers/report.toml")).unwrap();
    // The reference crashes here: nobody has the layer.
    world.write("layers/test_one/gone.toml", "[types]\nlaunch = true\n");
    nothing_was_written(&world, export(&world, &[]), 62, "export: ");
    let lost = format!("[image]\nreference = \"{}@{sha}\"\n", world.layout("example.com/test/lost").display());
    world.write("layers/analyzed.toml", &format!("{lost}{analyzed}\n{metadata}"));
    nothing_was_written(&world, export(&world, &[]), 62, "export: ");
    fs::remove_file(world.path("layers/test_one/gone.toml")).unwrap();
    export(&world, &[]).exits(0).says("Warning: ").done();
}

#[test]
fn layers_that_the_layout_of_the_previous_image_spoiled_are_added_again() {
    let world = built("0.15");
    let create = || {
        world.fresh_layers();
        world.run("creator", &["-launcher", "bin/launcher", "-run-image", RUN_IMAGE, APP_IMAGE]).exits(0)
    };
    create().done();
    let whole = || {
        let blobs = fs::read_dir(world.layout(APP_IMAGE).join("blobs/sha256")).unwrap();
        let blobs = blobs.map(|blob| blob.unwrap().path());
        blobs.map(|blob| (blob.clone(), fs::read(blob).unwrap())).collect::<BTreeMap<_, _>>()
    };
    for change in [|bytes: &mut Vec<u8>| bytes.truncate(9), |bytes: &mut Vec<u8>| bytes[20] ^= 1] {
        let before = whole();
        // The files of the app, the launcher and the configuration: the analyzer reads the SBOM files below them.
        let manifest = world.app_image().1;
        for layer in manifest["layers"].as_array().unwrap().iter().rev().take(3) {
            let hex = layer["digest"].as_str().unwrap().replace("sha256:", "");
            let blob = world.layout(APP_IMAGE).join("blobs/sha256").join(hex);
            let mut bytes = before[&blob].clone();
            change(&mut bytes);
            fs::remove_file(&blob).unwrap();
            fs::write(blob, bytes).unwrap();
        }
        create().says("has lost layer 'buildpacksio/lifecycle:launcher'; it is added again").done();
        assert!(before == whole());
    }
}

#[test]
fn a_run_image_in_a_layout_may_have_no_digest_and_any_path() {
    let world = built("0.15");
    let layout = world.path("Images/run").display().to_string();
    Image::default().write(&world.path("Images/run"));
    for reference in [layout.clone(), format!("{layout}@{}", world.digest(RUN_IMAGE))] {
        world.write("layers/analyzed.toml", &format!("[run-image]\nreference = \"{reference}\"\n"));
        export(&world, &[]).exits(0).done();
        let named = super::label(&world.app_image().2, "io.buildpacks.lifecycle.metadata");
        assert_eq!(named["runImage"]["reference"], format!("{layout}@{}", world.digest(RUN_IMAGE)));
    }
    for reference in ["nowhere", "@", "nowhere@sha256:0"] {
        world.write("layers/analyzed.toml", &format!("[run-image]\nreference = \"{reference}\"\n"));
        export(&world, &[]).exits(1).says("failed to create new app image: ").done();
    }
}

/// pack, as root, puts a copy of the run image into a layout whose layers it alone may read.
#[test]
fn layers_of_a_run_image_that_may_not_be_read_are_left_out_with_a_warning() {
    let world = built("0.15");
    let blobs = fs::read_dir(world.layout(RUN_IMAGE).join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let layers: Vec<_> = blobs.filter(|blob| !fs::read(blob).unwrap().starts_with(b"{")).collect();
    for layer in &layers {
        fs::set_permissions(layer, Permissions::from_mode(0o000)).unwrap();
    }
    let text = format!("Warning: Writing the image without {} layer(s) of the run image, which may not", layers.len());
    export(&world, &[]).exits(0).says(&text).done();
    let app = world.layout(APP_IMAGE).join("blobs/sha256");
    assert!(layers.iter().all(|layer| !app.join(layer.file_name().unwrap()).exists()));
    let first = world.app_image().1["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    assert!(layers.iter().any(|layer| layer.ends_with(&first)), "the manifest names it");
}

/// Writes the run image again, in documents that `change` spoils.
fn spoil(world: &World, change: &dyn Fn(&mut Value, &mut Value)) {
    let layout = world.layout(RUN_IMAGE);
    fs::remove_dir_all(&layout).unwrap();
    Image { layers: vec![empty_tar(), vec![0; 2048]], ..Image::default() }.write_spoiled(&layout, change);
    let reference = format!("{}@{}", layout.display(), world.digest(RUN_IMAGE));
    world.write("layers/analyzed.toml", &format!("[run-image]\nreference = \"{reference}\"\n"));
}

#[test]
fn a_run_image_whose_parts_do_not_fit_is_refused_before_anything_is_written() {
    let world = built("0.15");
    let refused = |change: &dyn Fn(&mut Value, &mut Value), text: &str| {
        spoil(&world, change);
        let outcome = export(&world, &[]).says(text);
        nothing_was_written(&world, outcome, 1, "create new app image: ");
    };
    // B1: digests of compressed layers stand where those of their contents should.
    let compressed = |manifest: &mut Value, config: &mut Value| {
        manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
        manifest["layers"][1]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
        for layer in 0..2 {
            config["rootfs"]["diff_ids"][layer] = manifest["layers"][layer]["digest"].clone();
        }
    };
    refused(&compressed, "is compressed and has its diff id as digest");
    // B3: layers are shifted by one that is missing, one stands twice, one has lost its bytes.
    refused(&|manifest, _| drop(manifest["layers"].as_array_mut().unwrap().remove(0)), "1 layers and the config has 2");
    refused(&|manifest, _| manifest["layers"][1] = manifest["layers"][0].clone(), "different diff ids");
    refused(&|manifest, _| manifest["layers"][1]["size"] = json!(0), "has an empty blob");
    // B2: OCI lets an image have no history; none of its layers is lost.
    spoil(&world, &|_, config| config["history"] = json!([]));
    export(&world, &[]).exits(0).done();
    let (_, manifest, config) = world.app_image();
    let count = |list: &Value| list.as_array().unwrap().len();
    assert_eq!(count(&config["history"]), count(&manifest["layers"]));
}
