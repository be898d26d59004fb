//! What is taken over from the previous image.

use super::*;

#[test]
fn a_second_build_reuses_what_did_not_change() {
    let mut world = World::new();
    world.layer("a", "launch");
    world.layer("b", "launch");
    world.metadata.slices = vec![Slice { paths: vec!["one".into()] }, Slice { paths: vec!["two".into()] }];
    world.file("app/one", "1");
    world.file("app/two", "2");
    world.export().write();
    world.analyze();
    world.file("layers/some_bp/b/file", "changed");
    world.file("app/two", "changed");
    let run = world.export();
    assert_eq!(run.new_layers(), ["some/bp:b", "slice-2"]);
    let previous =
        ExportEvent::ReusingImage { kind: StoreKind::Registry, reference: world.analyzed.previous_image.clone() };
    assert_eq!(run.heard.export()[0], previous);
    assert!(run.heard.export().contains(&ExportEvent::AppLayers { reused: 2, total: 3 }));
    assert_eq!(run.heard.layers()[..2], [("some/bp:a".to_owned(), true), ("some/bp:b".to_owned(), false)]);
}

#[test]
fn the_same_build_gives_the_same_image() {
    let mut world = World::new();
    world.layer("a", "launch");
    let digest = |run: Run| run.result.unwrap_or_else(|error| panic!("{error}")).report.digest;
    let first = digest(world.export());
    assert_eq!(digest(world.export()), first);
    world.analyze();
    assert_eq!(digest(world.export()), first);
}

#[test]
fn a_launch_layer_without_a_folder_comes_from_the_previous_image() {
    let mut world = World::new();
    world.layer("a", "launch");
    world.export().write();
    world.analyze();
    let sha = world.analyzed.metadata.buildpacks[0].layers["a"].sha.clone();
    fs::remove_dir_all(world.path("layers/some_bp/a")).unwrap();
    let run = world.export();
    assert_eq!(run.metadata().buildpacks[0].layers["a"].sha, sha);
    assert_eq!(run.heard.layers()[0], ("some/bp:a".to_owned(), true));
    world.analyzed.metadata.buildpacks[0].layers.get_mut("a").unwrap().sha = Some(DiffId::parse(EMPTY_LAYER).unwrap());
    assert_eq!(
        world.export().error(),
        format!("reusing layer: 'some/bp:a': previous image has no layer {EMPTY_LAYER}")
    );
}

#[test]
fn a_previous_image_that_is_gone_costs_time_and_not_the_build() {
    let mut world = World::new();
    world.layer("a", "launch");
    world.export().write();
    world.analyze();
    world.images.remove(APP_IMAGE);
    let run = world.export();
    assert!(run.new_layers().contains(&"some/bp:a"));
    assert!(run.heard.export().iter().any(|event| matches!(event, ExportEvent::PreviousImageLost { .. })));
}
