//! What goes into the cache.

use super::*;

#[test]
fn the_cache_holds_layers_for_the_cache_and_their_metadata() {
    for parallel in [false, true] {
        let mut world = World::new();
        world.parallel = parallel;
        world.group = vec!["some/bp", "other"];
        world.layer("both", "launch cache");
        world.layer("cached", "cache build");
        world.layer("launched", "launch");
        world.layer_toml("empty", "cache");
        world.file("layers/sbom/cache/some_bp/cached/sbom.cdx.json", "{}");
        let cache = MemoryCache::default();
        let run = world.export_cached(&cache);
        run.write();
        let state = cache.0.lock().unwrap();
        assert_eq!(state.commits, 1);
        assert_eq!(state.committed.len(), 3);
        assert!(state.committed.iter().all(|(sha, tar)| diff_id(tar) == *sha));
        let layers = &state.metadata.buildpacks[0].layers;
        assert_eq!(layers.keys().collect::<Vec<_>>(), ["both", "cached"]);
        assert_eq!(layers["both"].sha, run.metadata().buildpacks[0].layers["both"].sha);
        assert!(layers["cached"].types.build && state.metadata.sbom.is_some());
        assert_eq!(state.metadata.buildpacks.len(), 2);
        assert_eq!(run.heard.cache()[0], CacheEvent::NoContents { id: "some/bp:empty".into() });
    }
}

#[test]
fn a_second_cache_keeps_what_did_not_change_once_and_drops_the_rest() {
    let world = World::new();
    world.layer("a", "cache");
    world.layer("b", "cache");
    let cache = MemoryCache::default();
    world.export_cached(&cache).write();
    fs::remove_dir_all(world.path("layers/some_bp/b")).unwrap();
    fs::remove_file(world.path("layers/some_bp/b.toml")).unwrap();
    let run = world.export_cached(&cache);
    assert!(matches!(&run.heard.cache()[..], [CacheEvent::Reusing { id, .. }] if id == "some/bp:a"));
    assert_eq!(cache.0.lock().unwrap().committed.len(), 1);
}

#[test]
fn a_layer_is_read_once_for_image_and_cache() {
    for parallel in [false, true] {
        let mut world = World::new();
        world.parallel = parallel;
        world.layer("both", "launch cache");
        world.layer("cached", "cache");
        let cache = MemoryCache::default();
        // The second time the cache has others, and one that is the same.
        for more in ["both", "other"] {
            world.file("layers/some_bp/both/more", more);
            world.export_cached(&cache).write();
            let state = cache.0.lock().unwrap();
            assert_eq!((state.made.len(), state.committed.len()), (0, 2));
            assert!(state.committed.iter().all(|(sha, tar)| diff_id(tar) == *sha));
        }
    }
}

#[test]
fn a_corrupt_cached_layer_is_told_and_added_afresh() {
    let world = World::new();
    world.layer("a", "cache");
    let cache = MemoryCache::default();
    world.export_cached(&cache).write();
    cache.0.lock().unwrap().committed.values_mut().for_each(|tar| tar.push(0));
    let heard = world.export_cached(&cache).heard.cache();
    assert!(
        matches!(&heard[..], [CacheEvent::SkippingReuse { reason, .. }, CacheEvent::Adding { .. }]
            if reason.starts_with("expected layer contents to have SHA 'sha256:")),
        "{heard:?}"
    );
    assert!(cache.0.lock().unwrap().committed.iter().all(|(sha, tar)| diff_id(tar) == *sha));
}

#[test]
fn a_layer_that_cannot_be_cached_is_told_and_left_out() {
    let world = World::new();
    world.layer("a", "cache");
    world.layer("b", "cache");
    let cache = MemoryCache::default();
    cache.0.lock().unwrap().refuses = Some("some/bp:a".into());
    let run = world.export_cached(&cache);
    let reason = "no space left on device".to_owned();
    assert!(run.heard.cache().contains(&CacheEvent::LayerFailed { id: "some/bp:a".into(), reason }));
    let state = cache.0.lock().unwrap();
    assert_eq!(state.metadata.buildpacks[0].layers.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn without_its_sbom_layer_the_old_cache_stays() {
    let world = World::new();
    world.file("layers/sbom/cache/sbom.cdx.json", "{}");
    let cache = MemoryCache::default();
    cache.0.lock().unwrap().refuses = Some("buildpacksio/lifecycle:cache.sbom".into());
    let run = world.export_cached(&cache);
    run.write();
    assert_eq!(run.heard.cache().last(), Some(&CacheEvent::Failed("no space left on device".into())));
    assert_eq!(cache.0.lock().unwrap().commits, 0);
}
