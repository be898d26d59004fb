//! What is in the registry before and after a commit, and what a cache does that it cannot read or write.

use std::sync::Mutex;

use super::*;
use crate::effect::events::Event;
use crate::effect::images::StoreKind;
use crate::image::memory::{MemoryImages, diff_id, new_layer};
use crate::model::app_metadata::{StoredBuildpack, StoredLayer};
use crate::model::layer::LayerTypes;
use crate::model::value::Value;

const NAME: &str = "a.io/cache";

#[derive(Default)]
struct Heard(Mutex<Vec<CacheEvent>>);

impl Events for Heard {
    fn emit(&self, event: Event) {
        if let Event::Cache(event) = event {
            self.0.lock().unwrap().push(event);
        }
    }
}

/// A registry, and what is heard of it.
struct World {
    registry: MemoryImages,
    heard: Heard,
}

impl World {
    fn new() -> Self {
        Self { registry: MemoryImages::new(StoreKind::Registry), heard: Heard::default() }
    }

    fn cache(&self) -> ImageCache<'_> {
        ImageCache::new(&self.registry, NAME, &self.heard, true)
    }

    /// Commits a cache with these layers, all added.
    fn commit(&self, layers: &[&str]) -> ImageRecord {
        let cache = self.cache();
        for layer in layers {
            cache.add(&self::layer(layer)).unwrap();
        }
        cache.commit(&metadata(layers)).unwrap();
        self.heard();
        self.registry.get(NAME).unwrap()
    }

    fn heard(&self) -> Vec<CacheEvent> {
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }
}

fn layer(content: &str) -> NewLayer {
    new_layer(&format!("bp:{content}"), content.as_bytes().to_vec())
}

fn sha(content: &str) -> DiffId {
    diff_id(content.as_bytes())
}

/// The metadata of a buildpack whose layers are named after their content.
fn metadata(layers: &[&str]) -> CacheMetadata {
    let stored = |content: &&str| {
        let types = LayerTypes { cache: true, ..LayerTypes::default() };
        ((*content).to_owned(), StoredLayer { sha: Some(sha(content)), types, data: Value::Null })
    };
    let buildpack = StoredBuildpack {
        key: "bp".to_owned(),
        version: "1".to_owned(),
        layers: layers.iter().map(stored).collect(),
        store: None,
    };
    CacheMetadata { sbom: None, buildpacks: vec![buildpack] }
}

fn text(cache: &ImageCache<'_>, content: &str) -> Result<String, CacheError> {
    let mut text = String::new();
    cache.layer(&sha(content))?.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[test]
fn a_commit_is_the_image_that_the_reference_writes() {
    let world = World::new();
    let cache = world.cache();
    // In whatever order layers come, they lie in that of their names, the SBOM files last.
    for content in ["sbom", "b", "a"] {
        cache.add(&layer(content)).unwrap();
    }
    let metadata = CacheMetadata { sbom: Some(sha("sbom")), ..metadata(&["a", "b"]) };
    cache.commit(&metadata).unwrap();
    let image = world.registry.get(NAME).unwrap();
    assert_eq!(image.config.diff_ids, [sha("a"), sha("b"), sha("sbom")]);
    assert_eq!(image.family, MediaFamily::Oci);
    let config = &image.config;
    assert_eq!((config.os.as_str(), config.architecture.as_str(), config.created.as_str()), ("linux", "", CREATED));
    assert!(config.history.iter().all(|entry| entry.created == CREATED && entry.created_by.is_empty()));
    let label = image.label("io.buildpacks.lifecycle.cache.metadata").unwrap();
    assert_eq!(parse_cache(label).unwrap(), metadata);
}

#[test]
fn what_was_committed_comes_back() {
    let world = World::new();
    world.commit(&["a", "b"]);
    let cache = world.cache();
    assert_eq!(cache.name(), NAME);
    assert_eq!(cache.metadata(), metadata(&["a", "b"]));
    assert_eq!(text(&cache, "b").unwrap(), "b");
    assert!(matches!(text(&cache, "c"), Err(CacheError::Missing(missing)) if missing == sha("c")));
    assert_eq!(world.registry.opened(), [NAME, NAME], "each cache opens it once");
}

#[test]
fn what_did_not_change_is_neither_read_nor_written() {
    let world = World::new();
    let before = world.commit(&["a", "b"]);
    let (stored, writes) = (world.registry.stored().len(), world.registry.writes().len());
    let cache = world.cache();
    for content in ["b", "a"] {
        cache.reuse(&sha(content)).unwrap();
    }
    cache.commit(&metadata(&["a", "b"])).unwrap();
    assert_eq!((world.registry.stored().len(), world.registry.writes().len()), (stored, writes));
    assert_eq!(world.registry.get(NAME).unwrap(), before);
}

#[test]
fn a_layer_that_was_added_again_takes_the_place_of_the_old_one() {
    let world = World::new();
    world.commit(&["a", "b"]);
    let writes = world.registry.writes().len();
    let cache = world.cache();
    cache.reuse(&sha("a")).unwrap();
    cache.add(&layer("b")).unwrap();
    cache.commit(&metadata(&["a", "b"])).unwrap();
    assert_eq!(world.registry.writes().len(), writes + 1);
}

#[test]
fn a_changed_layer_is_sent_and_the_others_stay_where_they_are() {
    let world = World::new();
    world.commit(&["a", "b", "gone"]);
    let cache = world.cache();
    cache.reuse(&sha("a")).unwrap();
    cache.add(&layer("c")).unwrap();
    cache.commit(&metadata(&["a", "c"])).unwrap();
    assert_eq!(world.registry.stored().last().map(String::as_str), Some("bp:c"));
    let write = world.registry.writes().pop().unwrap();
    assert!(matches!(&write.draft.layers[0].0, DraftLayer::Reuse(diff_id) if *diff_id == sha("a")));
    assert_eq!(write.record.config.diff_ids, [sha("a"), sha("c")]);
    assert_eq!(text(&world.cache(), "c").unwrap(), "c");
}

#[test]
fn metadata_alone_can_change() {
    let world = World::new();
    world.commit(&["a"]);
    let cache = world.cache();
    cache.reuse(&sha("a")).unwrap();
    let mut changed = metadata(&["a"]);
    changed.buildpacks[0].version = "2".to_owned();
    cache.commit(&changed).unwrap();
    assert_eq!(world.cache().metadata(), changed);
}

#[test]
fn layers_with_the_same_content_are_there_once() {
    let world = World::new();
    let cache = world.cache();
    cache.add(&layer("a")).unwrap();
    cache.add(&layer("a")).unwrap();
    let mut twice = metadata(&["a"]);
    let same = twice.buildpacks[0].layers["a"].clone();
    twice.buildpacks[0].layers.insert("same".to_owned(), same);
    cache.commit(&twice).unwrap();
    assert_eq!(world.registry.get(NAME).unwrap().config.diff_ids, [sha("a")]);
    assert_eq!(world.registry.stored(), ["bp:a"]);
}

#[test]
fn a_cache_without_layers_is_one_empty_layer() {
    let world = World::new();
    let image = world.commit(&[]);
    assert_eq!(image.config.diff_ids, [DiffId::parse(EMPTY_LAYER).unwrap()]);
    let writes = world.registry.writes().len();
    world.commit(&[]);
    assert_eq!(world.registry.writes().len(), writes, "written once");
}

#[test]
fn an_image_that_is_not_there_is_an_empty_cache() {
    let world = World::new();
    let cache = world.cache();
    assert_eq!(cache.metadata(), CacheMetadata::default());
    assert!(matches!(cache.reuse(&sha("a")), Err(CacheError::Missing(_))));
    assert_eq!(world.heard(), [CacheEvent::ImageMissing], "told once");
}

#[test]
fn an_image_with_a_lost_layer_is_ignored_and_written_anew() {
    let world = World::new();
    world.commit(&["a", "b"]);
    world.registry.lose(&sha("b"));
    let cache = world.cache();
    assert_eq!(cache.metadata(), CacheMetadata::default());
    let reason = format!("the registry has lost {}", sha("b"));
    assert_eq!(world.heard(), [CacheEvent::ImageCorrupt { name: NAME.to_owned(), reason }]);
    cache.add(&layer("a")).unwrap();
    cache.add(&layer("b")).unwrap();
    cache.commit(&metadata(&["a", "b"])).unwrap();
    assert_eq!(text(&world.cache(), "b").unwrap(), "b");
}

#[test]
fn an_image_that_is_none_or_cannot_be_read_is_told_and_ignored() {
    let world = World::new();
    world.registry.corrupt(NAME, "no config");
    assert_eq!(world.cache().metadata(), CacheMetadata::default());
    world.registry.deny_read(NAME, "503 Service Unavailable");
    assert_eq!(world.cache().metadata(), CacheMetadata::default());
    assert_eq!(
        world.heard(),
        [
            CacheEvent::ImageCorrupt { name: NAME.to_owned(), reason: "no config".to_owned() },
            CacheEvent::ImageUnreadable { name: NAME.to_owned(), reason: "503 Service Unavailable".to_owned() },
        ]
    );
}

#[test]
fn an_image_with_a_bad_label_or_none_is_an_empty_cache() {
    let world = World::new();
    for label in [None, Some("{"), Some("null"), Some("[]"), Some(r#"{"buildpacks":[{"layers":7}]}"#)] {
        let labels = label.map(|label| (CACHE_METADATA.to_owned(), label.to_owned()));
        let config = ContainerConfig { labels: labels.into_iter().collect(), ..ContainerConfig::default() };
        world.registry.insert(NAME, ImageConfig { config, ..ImageConfig::default() }, vec![b"a".to_vec()]);
        assert_eq!(world.cache().metadata(), CacheMetadata::default(), "{label:?}");
    }
    assert_eq!(world.heard(), []);
}

#[test]
fn a_layer_that_cannot_be_sent_is_lost_alone() {
    let world = World::new();
    world.registry.deny_write("bp:a", "413 Payload Too Large");
    let cache = world.cache();
    assert_eq!(cache.add(&layer("a")).unwrap_err().to_string(), "413 Payload Too Large");
    cache.add(&layer("b")).unwrap();
    cache.commit(&metadata(&["b"])).unwrap();
    assert_eq!(world.registry.get(NAME).unwrap().config.diff_ids, [sha("b")]);
}

#[test]
fn a_registry_that_refuses_is_asked_once_and_keeps_the_old_cache() {
    let world = World::new();
    let before = world.commit(&["a"]);
    world.registry.deny_write(NAME, "403 Forbidden");
    let cache = world.cache();
    assert!(cache.add(&layer("b")).is_err());
    world.registry.deny_write(NAME, "not asked again");
    assert_eq!(cache.add(&layer("c")).unwrap_err().to_string(), "403 Forbidden");
    let error = cache.commit(&metadata(&[])).unwrap_err().to_string();
    let expected = "committing cache: saving image 'a.io/cache': failed to write image to the following tags: \
                    [a.io/cache: not asked again]";
    assert_eq!(error, expected);
    assert_eq!(world.registry.get(NAME).unwrap(), before);
}

#[test]
fn the_image_that_is_replaced_is_deleted_where_the_platform_expects_it() {
    let world = World::new();
    let deleting = || ImageCache::new(&world.registry, NAME, &world.heard, false);
    let commit = |content: &str| {
        let cache = deleting();
        cache.add(&layer(content)).unwrap();
        cache.commit(&metadata(&[content])).unwrap();
        world.registry.get(NAME).unwrap()
    };
    let is_there = |image: &ImageRecord| world.registry.get(&image.identifier).is_some();
    let first = commit("a");
    let second = commit("b");
    assert!(!is_there(&first) && is_there(&second));
    assert_eq!(commit("b").identifier, second.identifier);
    assert!(is_there(&second), "it was not replaced");

    world.heard();
    world.registry.deny_write(&second.identifier, "405 Method Not Allowed");
    assert!(is_there(&commit("c")));
    assert_eq!(world.heard(), [CacheEvent::ImageNotDeleted("405 Method Not Allowed".to_owned())]);

    let kept = world.registry.get(NAME).unwrap();
    world.commit(&["d"]);
    assert!(is_there(&kept));
}

#[test]
fn nothing_is_done_after_a_commit() {
    let world = World::new();
    let cache = world.cache();
    cache.commit(&metadata(&[])).unwrap();
    let after = "cache cannot be modified after commit";
    assert_eq!(cache.add(&layer("a")).unwrap_err().to_string(), after);
    assert_eq!(cache.commit(&metadata(&[])).unwrap_err().to_string(), after);
}

#[test]
fn metadata_of_a_layer_that_was_not_put_is_refused() {
    let world = World::new();
    let error = world.cache().commit(&metadata(&["a"])).unwrap_err().to_string();
    assert!(error.ends_with(&format!("failed to find cache layer with SHA '{}'", sha("a"))), "{error}");
    assert!(world.registry.get(NAME).is_none());
}
