//! Exports that fail, and what they say.

use super::*;

#[test]
fn a_run_image_that_cannot_be_opened_is_an_error_of_its_own() {
    let mut world = World::new();
    world.images.deny_read(&world.analyzed.run_image.as_ref().unwrap().reference, "403 Forbidden");
    let run = world.export();
    assert!(matches!(&run.result, Err(Error::Open(text)) if text == "create new app image: 403 Forbidden"));
    let unknown = AnalyzedRunImage { image: "reg.io/run".into(), ..AnalyzedRunImage::default() };
    world.analyzed.run_image = Some(unknown);
    assert_eq!(world.export().error(), "create new app image: run image 'reg.io/run' not found");
    world.analyzed.run_image = None;
    let run = world.export();
    assert!(
        matches!(&run.result, Err(Error::Open(text)) if text.ends_with("run image not found in analyzed metadata"))
    );
}

#[test]
fn work_that_fails_is_ended() {
    let world = World::new();
    world.images.deny_read(&world.analyzed.run_image.as_ref().unwrap().reference, "403 Forbidden");
    let events = world.export().heard.0.into_inner().unwrap();
    assert!(matches!(&events[0], Event::Begin { work: Work::ReadRunImage, .. }));
    assert!(matches!(&events[1], Event::End { outcome: Outcome::Error, .. }));
}

#[test]
fn bad_layers_are_named() {
    let world = World::new();
    world.layer("a", "launch");
    world.file("layers/some_bp/bad.toml", "launch = true");
    assert!(world.export().error().starts_with("failed to parse metadata for layers '[some/bp:bad]': "));
    world.file("layers/some_bp/bad.toml", "[types]\nlaunch = true\ncache = true");
    assert_eq!(world.export().error(), "layer 'some/bp:bad' is cache=true but has no contents");
}

#[test]
fn a_layer_that_cannot_be_made_is_told_for_its_part_of_the_image() {
    let world = World::new();
    let (heard, missing) = (Heard::default(), world.path("missing"));
    let effects = effects(&world.images, &heard);
    let error = |planned: plan::Planned| {
        let planned = [planned];
        let made = make::all(
            &effects,
            &planned,
            None,
            None,
            &make::Source { owner: Owner { uid: 0, gid: 0 }, seals: &Seals::default(), cache: None },
        );
        made.unwrap_err().to_string()
    };
    let cause = format!("lstat {}: no such file or directory", missing.display());
    let before = AppMetadata::default();
    assert_eq!(error(plan::sbom(missing.clone(), &before)), format!("creating layer: {cause}"));
    let launcher = archive::launcher(&world.path("launcher")).unwrap();
    let config = plan::launch(&LayersDir::new(&missing), launcher, None, &before).remove(1);
    assert!(error(config).starts_with("creating layer 'buildpacksio/lifecycle:config': "));
}

#[test]
fn missing_things_are_named() {
    let mut world = World::new();
    world.processes(&["a/b"]);
    let text = world.export().error();
    assert!(text.contains(r"invalid process type 'a/b': type may not contain characters '/><:|&\'"), "{text}");
    world.processes(&["web"]);
    world.process_type = Some("worker");
    assert_eq!(world.export().error(), "determining entrypoint: tried to set worker to default but it doesn't exist");
    fs::remove_file(world.path("launcher")).unwrap();
    let expected =
        format!("creating launcher layers: failed to stat launcher at path '{}'", world.path("launcher").display());
    assert!(world.export().error().starts_with(&expected), "{}", world.export().error());
    fs::remove_dir_all(world.path("app")).unwrap();
    assert_eq!(
        world.export().error(),
        format!(
            "exporting app layers: creating app layers: lstat {}: no such file or directory",
            world.path("app").display()
        )
    );
}

#[test]
fn a_bad_pattern_of_a_slice_is_named() {
    let mut world = World::new();
    world.metadata.slices = vec![Slice { paths: vec!["[".into()] }];
    let text = world.export().error();
    assert!(text.starts_with("exporting app layers: creating app layers: failed to check if "), "{text}");
    assert!(text.ends_with("matches '[': syntax error in pattern"), "{text}");
}

#[test]
fn a_name_that_fails_leaves_a_report_of_the_others() {
    let mut world = World::new();
    world.names = vec![APP_IMAGE, "reg.io/denied:1"];
    world.images.deny_write("reg.io/denied:1", "DENIED");
    let cache = MemoryCache::default();
    world.parallel = true;
    let run = world.export_cached(&cache);
    assert_eq!(run.error(), "failed to write image to the following tags: [reg.io/denied:1: DENIED]");
    let Err(Error::Tags { report, .. }) = &run.result else { panic!("another error") };
    assert_eq!(report.tags, [APP_IMAGE]);
    assert!(report.digest.is_some());
    assert_eq!(cache.0.lock().unwrap().commits, 0);
}

#[test]
fn a_failed_parallel_export_ends_and_commits_no_cache() {
    let mut world = World::new();
    world.parallel = true;
    world.layer("a", "launch cache");
    world.images.deny_write(APP_IMAGE, "DENIED");
    let cache = MemoryCache::default();
    assert!(world.export_cached(&cache).error().contains("DENIED"));
    fs::remove_file(world.path("launcher")).unwrap();
    assert!(world.export_cached(&cache).error().starts_with("creating launcher layers: "));
    assert_eq!(cache.0.lock().unwrap().commits, 0);
}
