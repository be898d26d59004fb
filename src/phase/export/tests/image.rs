//! What an image is made of.

use super::*;
use crate::model::value::Value;

#[test]
fn layers_are_in_the_order_of_the_specification() {
    let mut world = World::new();
    world.group = vec!["some/bp", "other"];
    world.layer("b", "launch");
    world.layer("a", "launch cache");
    world.layer("c", "cache build");
    world.file("layers/other/x.toml", "[types]\nlaunch = true");
    world.file("layers/other/x/f", "");
    world.folder("layers/sbom/launch");
    world.processes(&["web"]);
    world.metadata.slices = vec![Slice { paths: vec!["main".into()] }];
    let run = world.export();
    assert_eq!(
        run.new_layers(),
        [
            "some/bp:a",
            "some/bp:b",
            "other:x",
            "buildpacksio/lifecycle:launch.sbom",
            "slice-1",
            "slice-2",
            "buildpacksio/lifecycle:launcher",
            "buildpacksio/lifecycle:config",
            "buildpacksio/lifecycle:process-types",
        ]
    );
    let history: Vec<_> = run.write().record.config.history.iter().map(|entry| entry.created_by.as_str()).collect();
    assert_eq!(
        history,
        [
            "base",
            "Layer: 'a', Created by buildpack: some/bp@1.2",
            "Layer: 'b', Created by buildpack: some/bp@1.2",
            "Layer: 'x', Created by buildpack: other@1.2",
            "Software Bill-of-Materials",
            "Application Slice: 1",
            "Application Slice: 2",
            "Buildpacks Application Launcher",
            "Buildpacks Launcher Config",
            "Buildpacks Process Types",
        ]
    );
    assert!(run.write().record.config.history.iter().all(|entry| entry.created == "1980-01-01T00:00:01Z"));
    assert_eq!(run.heard.layers().len(), 7);
    assert!(run.heard.export().contains(&ExportEvent::AppLayers { reused: 0, total: 2 }));
}

#[test]
fn the_configuration_is_the_run_images_with_what_an_app_needs() {
    let mut world = World::new();
    world.processes(&["web"]);
    world.metadata.default_process_type = Some("web".into());
    world.metadata.labels = vec![
        Label { key: "some.key".into(), value: "1".into() },
        Label { key: "io.buildpacks.project.metadata".into(), value: "mine".into() },
    ];
    let run = world.export();
    let config = &run.write().record.config;
    let app = world.path("app").display().to_string();
    assert_eq!(config.created, "1980-01-01T00:00:01Z");
    assert_eq!(config.os, "linux");
    assert_eq!(config.config.entrypoint, Some(vec!["/cnb/process/web".to_owned()]));
    assert_eq!((config.config.cmd.clone(), config.config.user.as_str()), (None, "1000"));
    assert_eq!(config.config.working_dir, app);
    assert_eq!(
        config.config.env,
        [
            "A=1".to_owned(),
            "PATH=/cnb/process:/cnb/lifecycle:/usr/bin".to_owned(),
            format!("CNB_APP_DIR={app}"),
            format!("CNB_LAYERS_DIR={}", world.path("layers").display()),
            "CNB_PLATFORM_API=0.13".to_owned(),
            "CNB_DEPRECATION_MODE=quiet".to_owned(),
        ]
    );
    assert_eq!(run.label("from.run.image"), Some("kept"));
    assert_eq!(run.label("some.key"), Some("1"));
    assert_eq!(run.label("io.buildpacks.project.metadata"), Some("mine"));
    assert_eq!(run.label("io.buildpacks.exec-env"), None);
    assert!(run.label("io.buildpacks.build.metadata").unwrap().contains("\"id\":\"some/bp\""));
    let labels = |event| if let ExportEvent::Label(key) = event { Some(key) } else { None };
    assert_eq!(
        run.heard.export().into_iter().filter_map(labels).collect::<Vec<_>>(),
        [
            "io.buildpacks.lifecycle.metadata",
            "io.buildpacks.build.metadata",
            "io.buildpacks.project.metadata",
            "some.key",
            "io.buildpacks.project.metadata",
        ]
    );
}

#[test]
fn the_execution_environment_is_a_label_since_0_15() {
    let mut world = World::new();
    world.api = "0.15";
    assert_eq!(world.export().label("io.buildpacks.exec-env"), Some("production"));
    world.api = "0.14";
    assert_eq!(world.export().label("io.buildpacks.exec-env"), None);
}

#[test]
fn a_store_that_says_nothing_is_named_too() {
    let world = World::new();
    for text in ["", "other = 1\n", "[metadata]\n"] {
        world.file("layers/some_bp/store.toml", text);
        let metadata = if text.contains("metadata") { "{}" } else { "null" };
        let run = world.export();
        let label = run.label("io.buildpacks.lifecycle.metadata").unwrap();
        assert!(label.contains(&format!(r#""store":{{"metadata":{metadata}}}"#)), "{label}");
    }
}

#[test]
fn metadata_names_every_buildpack_and_the_run_image() {
    let mut world = World::new();
    world.group = vec!["some/bp", "other"];
    world.layer("a", "launch cache");
    world.file("layers/some_bp/store.toml", "[metadata]\nkey = \"v\"\n");
    let run = world.export();
    let metadata = run.metadata();
    assert_eq!(metadata.buildpacks.len(), 2);
    assert!(metadata.buildpacks[1].layers.is_empty());
    assert!(metadata.buildpacks[0].store.as_ref().and_then(Value::as_table).is_some());
    let layer = &metadata.buildpacks[0].layers["a"];
    assert_eq!(layer.sha, Some(diff_id(run.tar("some/bp:a"))));
    assert!(layer.types.launch && layer.types.cache && !layer.types.build);
    let base = world.images.get(RUN_IMAGE).unwrap();
    assert_eq!(metadata.run_image.top_layer, diff_id(b"base layer").to_string());
    assert_eq!(metadata.run_image.reference, base.identifier);
    assert_eq!(metadata.run_image.names, world.run_image_names);
    assert_eq!(metadata.stack, Some(world.run_image_names.clone()));
    assert_eq!((metadata.app.len(), metadata.process_types), (1, None));
}

#[test]
fn a_folder_called_store_toml_is_one_of_a_layer() {
    let world = World::new();
    world.layer("a", "launch");
    world.layer("store.toml", "launch");
    let run = world.export();
    let buildpack = &run.metadata().buildpacks[0];
    assert!(buildpack.store.is_none());
    assert_eq!(buildpack.layers.keys().collect::<Vec<_>>(), ["a", "store.toml"]);
}

#[test]
fn below_0_12_the_run_images_names_are_under_stack_alone_and_history_is_blank() {
    let mut world = World::new();
    world.api = "0.11";
    let run = world.export();
    assert!(run.metadata().run_image.names.is_empty());
    assert_eq!(run.metadata().stack, Some(world.run_image_names.clone()));
    assert!(run.write().record.config.history.iter().all(|entry| entry.created_by.is_empty()));
}

#[test]
fn sboms_of_lifecycle_and_launcher_are_added() {
    let world = World::new();
    world.file("lifecycle/lifecycle.sbom.cdx.json", "of the lifecycle");
    world.file("lifecycle/launcher.sbom.syft.json", "of the launcher");
    let run = world.export();
    let missing = |event| if let ExportEvent::SbomMissing { file, .. } = event { Some(file) } else { None };
    assert_eq!(
        run.heard.export().into_iter().filter_map(missing).collect::<Vec<_>>(),
        ["lifecycle.sbom.spdx.json", "lifecycle.sbom.syft.json", "launcher.sbom.cdx.json", "launcher.sbom.spdx.json"]
    );
    let layer = run.tar("buildpacksio/lifecycle:launch.sbom");
    assert!(holds(layer, "sbom/launch/buildpacksio_lifecycle/launcher/sbom.syft.json"));
    assert!(holds(layer, "of the launcher") && !holds(layer, "of the lifecycle"));
    assert!(world.path("layers/sbom/build/buildpacksio_lifecycle/sbom.cdx.json").exists());
    assert_eq!(run.metadata().sbom, Some(diff_id(layer)));
}

#[test]
fn a_folder_of_launcher_sboms_that_cannot_be_listed_is_told_before_the_error() {
    let mut world = World::new();
    world.launcher_sbom = Some(world.path("nowhere"));
    let run = world.export();
    assert!(run.error().starts_with("failed to copy buildpacksio SBOMs: open "), "{}", run.error());
    assert_eq!(run.heard.export().last(), Some(&ExportEvent::SbomFolderUnreadable(world.path("nowhere"))));
}

#[test]
fn a_folder_of_launcher_sboms_is_taken_whole() {
    let mut world = World::new();
    world.launcher_sbom = Some(world.folder("own"));
    world.file("own/x.sbom.cdx.json", "x");
    world.file("own/readme.md", "no");
    let run = world.export();
    let layer = run.tar("buildpacksio/lifecycle:launch.sbom");
    assert!(holds(layer, "buildpacksio_lifecycle/launcher/x.sbom.cdx.json") && !holds(layer, "readme.md"));
    world.launcher_sbom = Some(world.path("nowhere"));
    assert_eq!(
        world.export().error(),
        format!(
            "failed to copy buildpacksio SBOMs: open {}: no such file or directory",
            world.path("nowhere").display()
        )
    );
}

#[test]
fn there_are_no_sboms_below_0_8_and_no_own_ones_below_0_11() {
    let mut world = World::new();
    world.file("layers/sbom/launch/some_bp/sbom.cdx.json", "");
    world.file("lifecycle/launcher.sbom.syft.json", "of the launcher");
    world.api = "0.10";
    let run = world.export();
    assert!(!holds(run.tar("buildpacksio/lifecycle:launch.sbom"), "of the launcher"));
    world.api = "0.7";
    assert!(!world.export().new_layers().contains(&"buildpacksio/lifecycle:launch.sbom"));
}

#[test]
fn a_wrong_time_is_told_and_not_used() {
    let mut world = World::new();
    world.source_date_epoch = Some("yesterday");
    let run = world.export();
    assert_eq!(run.heard.export()[0], ExportEvent::InvalidSourceDateEpoch);
    assert_eq!(run.write().record.config.created, "1980-01-01T00:00:01Z");
    world.source_date_epoch = Some("1641359105");
    assert_eq!(world.export().write().record.config.history[0].created, "2022-01-05T05:05:05Z");
}

#[test]
fn the_bill_of_materials_of_old_platforms_is_reported() {
    let mut world = World::new();
    world.file("layers/some_bp/build.toml", "[[bom]]\nname = \"dep\"\n");
    world.api = "0.8";
    let bom = |run: Run| run.result.unwrap_or_else(|error| panic!("{error}")).report.build_bom;
    let entries = bom(world.export());
    assert_eq!(entries[0].name, "dep");
    assert_eq!(entries[0].buildpack.as_ref().unwrap().version, "1.2");
    world.api = "0.9";
    assert!(bom(world.export()).is_empty());
}

#[test]
fn a_large_label_names_who_fills_it() {
    let mut world = World::new();
    world.group = vec!["small", "some/bp"];
    world.file("layers/some_bp/store.toml", &format!("[metadata]\nkey = \"{}\"\n", "x".repeat(5000)));
    let large = |event| match event {
        ExportEvent::LabelTooLarge { key, largest, .. } => Some((key, largest)),
        _ => None,
    };
    let told: Vec<_> = world.export().heard.export().into_iter().filter_map(large).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, "io.buildpacks.lifecycle.metadata");
    let (id, bytes) = told[0].1.clone().unwrap();
    assert!(id == "some/bp" && bytes > 5000, "{id} {bytes}");
}

#[test]
fn traces_are_in_no_layer_though_the_app_holds_the_layers() {
    let mut world = World::new();
    let inside = world.folder("app/layers");
    fs::remove_dir_all(&inside).unwrap();
    fs::rename(world.path("layers"), &inside).unwrap();
    let run_inside = |world: &World| {
        let heard = Heard::default();
        let effects = effects(&world.images, &heard);
        let inputs = Inputs { layers: LayersDir::new(inside.clone()), ..world.inputs(None) };
        export(&effects, &inputs).unwrap_or_else(|error| panic!("{error}")).report.digest
    };
    world.metadata.slices = vec![Slice { paths: vec!["*/t*".into()] }];
    let without = run_inside(&world);
    world.file("app/layers/tracing/lifecycle/build.jsonl", "canary");
    assert_eq!(run_inside(&world), without);
    let tars = world.images.writes().pop().unwrap().new_tars;
    assert!(tars.iter().all(|(_, tar)| !holds(tar, "canary") && !holds(tar, "tracing")));
}

#[test]
fn the_making_of_each_layer_is_told_with_its_size() {
    let world = World::new();
    world.layer("a", "launch");
    let run = world.export();
    let tar = run.tar("some/bp:a").len() as u64;
    let events = run.heard.0.into_inner().unwrap();
    let begun = |event: &Event| match event {
        Event::Begin { id, work: Work::HashLayer(layer), .. } if layer == "some/bp:a" => Some(*id),
        _ => None,
    };
    let begun = events.iter().find_map(begun).unwrap();
    let ended = |event: &Event| match event {
        Event::End { id, facts, .. } if *id == begun => Some(facts.clone()),
        _ => None,
    };
    let facts = events.iter().find_map(ended).unwrap();
    assert_eq!((facts.bytes, facts.files, facts.reused), (Some(tar), Some(2), Some(false)));
}

#[test]
fn an_odd_file_in_a_layer_is_told() {
    let world = World::new();
    world.layer("a", "launch cache");
    fs::hard_link(world.path("layers/some_bp/a/file"), world.path("layers/some_bp/a/other")).unwrap();
    let fifo = world.path("layers/some_bp/a/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = world.export();
    let id = || "some/bp:a".to_owned();
    assert!(run.heard.export().iter().any(|event| matches!(event, ExportEvent::LayerNotice { .. })));
    assert_eq!(run.heard.cache(), [CacheEvent::SpecialFile { id: id(), path: fifo }]);
}

/// Policy B35: a chain of images, each with one layer more, would cost each layer again for every other.
#[test]
fn ten_times_the_layers_are_not_a_hundred_times_the_work() {
    let took = |count: usize| {
        let world = World::new();
        for index in 0..count {
            world.layer(&format!("layer-{index}"), "launch");
        }
        let export = |_| {
            let start = std::time::Instant::now();
            assert_eq!(world.export().write().record.layers.len(), count + 4);
            start.elapsed()
        };
        (0..3).map(export).min().unwrap()
    };
    let (few, many) = (took(30), took(300));
    assert!(many < few * 40, "{few:?} for 30 layers, {many:?} for 300");
}
