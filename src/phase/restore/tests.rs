//! The restore phase with a cache in memory, whose layers are real archives with absolute names.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::os::unix::fs::symlink;
use std::sync::Mutex;

use super::*;
use crate::archive::{Owner, directory, measure};
use crate::effect::cache::CacheError;
use crate::effect::events::{Event, Events, Outcome, Work};
use crate::effect::images::{NewLayer, StoreKind, TarSource as _};
use crate::effect::telemetry::NoTelemetry;
use crate::image::memory::MemoryImages;
use crate::model::app_metadata::{CacheMetadata, StoredBuildpack, StoredLayer};
use crate::model::digest::DiffId;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::layer::LayerTypes;
use crate::model::order::GroupElement;
use crate::model::value::{Table, Value};
use crate::os::process::{OsProcesses, StreamTo};
use crate::report::text::{Level, lines};

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Events for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[derive(Default)]
struct MemoryCache {
    metadata: CacheMetadata,
    layers: BTreeMap<DiffId, Vec<u8>>,
    /// Layers that cannot be read.
    unreadable: Vec<DiffId>,
}

impl Cache for MemoryCache {
    fn name(&self) -> String {
        "memory".into()
    }

    fn metadata(&self) -> CacheMetadata {
        self.metadata.clone()
    }

    fn layer(&self, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, CacheError> {
        if self.unreadable.contains(diff_id) {
            return Err(CacheError::Failed(format!("open {diff_id}.tar: permission denied")));
        }
        let layer = self.layers.get(diff_id).ok_or_else(|| CacheError::Missing(diff_id.clone()))?;
        Ok(Box::new(Cursor::new(layer.clone())))
    }

    fn reuse(&self, _: &DiffId) -> Result<(), CacheError> {
        unreachable!("restoring changes no cache")
    }

    fn add(&self, _: &NewLayer) -> Result<(), CacheError> {
        unreachable!("restoring changes no cache")
    }

    fn commit(&self, _: &CacheMetadata) -> Result<(), CacheError> {
        unreachable!("restoring changes no cache")
    }
}

/// A layers folder, what the previous image and the cache remember, and what is told.
struct World {
    root: tempfile::TempDir,
    api: &'static str,
    group: Vec<&'static str>,
    app: AppMetadata,
    cache: MemoryCache,
    has_cache: bool,
    skip_layers: bool,
    extract_root: PathBuf,
    events: Recorder,
}

/// Flags in the order of the catalogue: launch, build, cache.
fn types(flags: &str) -> LayerTypes {
    LayerTypes { launch: flags.contains('L'), build: flags.contains('B'), cache: flags.contains('C') }
}

fn sha(digit: u8) -> DiffId {
    DiffId::from_sha256(&[digit; 32])
}

fn stored<'a>(buildpacks: &'a mut Vec<StoredBuildpack>, id: &str) -> &'a mut StoredBuildpack {
    let index = buildpacks.iter().position(|buildpack| buildpack.key == id).unwrap_or_else(|| {
        buildpacks.push(StoredBuildpack { key: id.into(), ..StoredBuildpack::default() });
        buildpacks.len() - 1
    });
    &mut buildpacks[index]
}

impl World {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            api: "0.15",
            group: vec!["a/bp"],
            app: AppMetadata::default(),
            cache: MemoryCache::default(),
            has_cache: true,
            skip_layers: false,
            extract_root: "/".into(),
            events: Recorder::default(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok()
    }

    fn layer(name: &str, flags: &str, sha: DiffId) -> StoredLayer {
        let data = Value::Table(Table::from([("of".into(), Value::String(name.into()))]));
        StoredLayer { sha: Some(sha), types: types(flags), data }
    }

    fn in_app(&mut self, id: &str, name: &str, flags: &str, sha: DiffId) {
        stored(&mut self.app.buildpacks, id).layers.insert(name.into(), Self::layer("app", flags, sha));
    }

    fn in_cache(&mut self, id: &str, name: &str, flags: &str, sha: DiffId) {
        stored(&mut self.cache.metadata.buildpacks, id).layers.insert(name.into(), Self::layer("cache", flags, sha));
    }

    /// Archives a folder of one file, as the cache has it, and puts it into the cache.
    fn archived(&mut self, folder: &str, file: &str, text: &str) -> DiffId {
        self.write(&format!("{folder}/{file}"), text);
        let path = self.path(folder);
        let tar = directory(&path, Owner { uid: 0, gid: 0 }).unwrap();
        let diff_id = measure(&tar).unwrap().diff_id;
        let mut bytes = Vec::new();
        tar.write_tar(&mut bytes).unwrap();
        self.cache.layers.insert(diff_id.clone(), bytes);
        std::fs::remove_dir_all(&path).unwrap();
        // The folder above goes as well, unless it holds something else.
        let _ = std::fs::remove_dir(path.parent().unwrap());
        diff_id
    }

    /// A cached layer with one file, in app image and cache as the flags say.
    fn cached(&mut self, id: &str, name: &str, flags: &str) -> DiffId {
        let folder = format!("{}/{name}", id.replace('/', "_"));
        let diff_id = self.archived(&folder, "file", name);
        self.in_app(id, name, flags, diff_id.clone());
        self.in_cache(id, name, flags, diff_id.clone());
        diff_id
    }

    fn try_restore(&self) -> Result<Restored, Error> {
        let images = MemoryImages::new(StoreKind::Registry);
        let processes = OsProcesses::new(StreamTo::Inherit);
        let effects = Effects {
            images: &images,
            processes: &processes,
            events: &self.events,
            telemetry: &NoTelemetry,
            phase: None,
        };
        let buildpack = |id: &&str| GroupElement {
            kind: ModuleKind::Buildpack,
            id: ModuleId::parse(id).unwrap(),
            version: "1".into(),
            api: "0.12".into(),
            homepage: String::new(),
            optional: false,
        };
        restore(
            &effects,
            &Inputs {
                api: PlatformApi::negotiate(Some(self.api)).unwrap(),
                layers: LayersDir::new(self.root.path()),
                group: Group { buildpacks: self.group.iter().map(buildpack).collect(), extensions: vec![] },
                app_metadata: self.app.clone(),
                cache: self.has_cache.then_some(&self.cache),
                skip_layers: self.skip_layers,
                extract_root: self.extract_root.clone(),
            },
        )
    }

    fn restore(&self) {
        self.try_restore().unwrap();
    }

    fn lines(&self, level: Level) -> Vec<String> {
        let lines: Vec<_> = self.events.0.lock().unwrap().iter().flat_map(lines).collect();
        lines.into_iter().filter(|line| line.level == level).map(|line| String::from_utf8(line.text).unwrap()).collect()
    }
}

const FROM_APP: &str = "[metadata]\n  of = \"app\"\n";
const FROM_CACHE: &str = "[metadata]\n  of = \"cache\"\n";

#[test]
fn restores_by_the_flags_of_the_layer() {
    for (flags, toml, data) in [
        ("L", Some(FROM_APP), false),
        ("LC", Some(FROM_APP), true),
        ("LBC", Some(FROM_APP), true),
        ("C", Some(FROM_CACHE), true),
        ("BC", Some(FROM_CACHE), true),
        ("LB", None, false),
        ("B", None, false),
        ("", None, false),
    ] {
        let mut world = World::new();
        world.cached("a/bp", "l", flags);
        world.restore();
        assert_eq!(world.read("a_bp/l.toml").as_deref(), toml, "{flags}");
        assert_eq!(world.read("a_bp/l/file").as_deref(), data.then_some("l"), "{flags}");
    }
}

#[test]
fn tells_what_it_does_in_the_words_that_clients_match() {
    let mut world = World::new();
    world.cached("a/bp", "cached", "C");
    world.cached("a/bp", "launch", "L");
    world.restore();
    assert_eq!(
        world.lines(Level::Info),
        [
            "Restoring metadata for \"a/bp:launch\" from app image",
            "Restoring metadata for \"a/bp:cached\" from cache",
            "Restoring data for \"a/bp:cached\" from cache",
        ]
    );
}

#[test]
fn removes_what_app_image_and_cache_disagree_on() {
    let mut world = World::new();
    world.cached("a/bp", "l", "LC");
    world.in_app("a/bp", "l", "LC", sha(1));
    world.write("a_bp/l/stale", "");
    world.write("a_bp/l.sha", "");
    world.restore();
    for path in ["a_bp/l", "a_bp/l.toml", "a_bp/l.sha"] {
        assert!(!world.path(path).exists(), "{path}");
    }
    assert!(world.lines(Level::Info).contains(&"Removing \"a/bp:l\", wrong sha".to_owned()));
}

#[test]
fn without_a_cache_only_launch_layers_get_their_metadata() {
    let mut world = World::new();
    for flags in ["L", "LC", "C"] {
        world.cached("a/bp", flags, flags);
    }
    world.has_cache = false;
    world.restore();
    assert!(world.path("a_bp/L.toml").exists());
    assert!(!world.path("a_bp/LC.toml").exists() && !world.path("a_bp/C.toml").exists());
}

#[test]
fn launch_layers_come_from_the_cache_alone_since_platform_api_0_14() {
    for (api, expected) in [("0.14", true), ("0.13", false)] {
        let mut world = World::new();
        world.cached("a/bp", "l", "LC");
        world.app = AppMetadata::default();
        world.api = api;
        world.restore();
        assert_eq!(world.read("a_bp/l.toml").as_deref(), expected.then_some(FROM_CACHE), "{api}");
        assert_eq!(world.path("a_bp/l/file").exists(), expected, "{api}");
    }
}

#[test]
fn a_fault_of_the_cache_is_a_warning_and_leaves_nothing_of_the_layer() {
    let mut world = World::new();
    let corrupt = world.cached("a/bp", "corrupt", "LC");
    let missing = world.cached("a/bp", "missing", "C");
    let unreadable = world.cached("a/bp", "unreadable", "C");
    world.cached("a/bp", "whole", "C");
    let other = world.archived("a_bp/corrupt", "file", "other");
    let bytes = world.cache.layers[&other].clone();
    world.cache.layers.insert(corrupt.clone(), bytes);
    world.cache.layers.remove(&missing);
    world.cache.unreadable.push(unreadable.clone());
    let restored = world.try_restore().unwrap();
    assert_eq!(restored.unsound, [corrupt.clone(), missing.clone(), unreadable.clone()]);
    assert_eq!(
        world.lines(Level::Warn),
        [
            format!(
                "Skipping restore for layer a/bp:corrupt: expected layer contents to have SHA '{corrupt}'; found '{other}'"
            ),
            format!("Skipping restore for layer a/bp:missing: failed to find cache layer with SHA '{missing}'"),
            format!("Skipping restore for layer a/bp:unreadable: open {unreadable}.tar: permission denied"),
        ]
    );
    for name in ["corrupt", "missing", "unreadable"] {
        assert!(!world.path("a_bp").join(name).exists(), "{name}");
        assert!(!world.path(&format!("a_bp/{name}.toml")).exists(), "{name}");
    }
    assert_eq!(world.read("a_bp/whole/file").as_deref(), Some("whole"));
}

#[test]
fn a_layer_cannot_write_into_another_one() {
    let mut world = World::new();
    world.group = vec!["a", "b"];
    let diff_id = world.archived("b/other", "file", "evil");
    world.in_app("a", "l", "LC", diff_id.clone());
    world.in_cache("a", "l", "LC", diff_id);
    world.restore();
    assert_eq!(world.lines(Level::Warn).len(), 1);
    assert!(!world.path("b/other").exists() && !world.path("a/l.toml").exists());
}

#[test]
fn a_layer_with_a_named_pipe_is_restored_without_it() {
    let mut world = World::new();
    std::fs::create_dir_all(world.path("a_bp/l")).unwrap();
    nix::unistd::mkfifo(&world.path("a_bp/l/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    world.cached("a/bp", "l", "C");
    world.restore();
    assert_eq!(world.read("a_bp/l/file").as_deref(), Some("l"));
    assert!(world.path("a_bp/l/pipe").symlink_metadata().is_err());
    let pipe = world.path("a_bp/l/pipe");
    let expected = format!("Not restoring 1 named pipes and devices of layer a/bp:l: {}", pipe.display());
    assert_eq!(world.lines(Level::Warn), [expected]);
}

#[test]
fn a_layer_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let mut world = World::new();
    world.cached("a/bp", "l", "C");
    world.extract_root = "/dev/null".into();
    let error = world.try_restore().unwrap_err().to_string();
    assert!(error.starts_with("restoring data: restoring layer a/bp:l: mkdir /dev/null/"), "{error}");
    assert!(error.ends_with(": not a directory"), "{error}");
    assert!(!world.path("a_bp/l.toml").exists());
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let mut world = World::new();
    world.cached("a/bp", "l", "C");
    world.cached("a/bp", "m", "C");
    world.write("a_bp/m.toml/in-the-way", "");
    let error = world.try_restore().unwrap_err().to_string();
    assert!(error.contains("m.toml: is a directory"), "{error}");
}

#[test]
fn nothing_of_an_earlier_build_stays_in_a_restored_layer() {
    let mut world = World::new();
    world.cached("a/bp", "l", "C");
    world.write("a_bp/l/stale", "");
    world.restore();
    assert!(world.path("a_bp/l/file").exists() && !world.path("a_bp/l/stale").exists());
}

#[test]
fn stores_are_restored_even_when_layers_are_not() {
    let mut world = World::new();
    world.cached("a/bp", "l", "LC");
    let store = Value::Table(Table::from([("k".into(), Value::Int(3))]));
    stored(&mut world.app.buildpacks, "a/bp").store = Some(store.clone());
    stored(&mut world.app.buildpacks, "undetected").store = Some(store);
    world.cache.metadata.sbom = Some(sha(1));
    world.write("sbom/launch/kept", "");
    world.skip_layers = true;
    world.restore();
    assert_eq!(world.read("a_bp/store.toml").as_deref(), Some("[metadata]\n  k = 3\n"));
    assert!(!world.path("undetected").exists() && !world.path("a_bp/l.toml").exists());
    assert!(world.path("sbom/launch/kept").exists());
    assert_eq!(world.lines(Level::Info), ["Skipping buildpack layer analysis", "Restoring data for SBOM from cache"]);
}

#[test]
fn a_layer_without_metadata_gets_an_empty_file() {
    let mut world = World::new();
    world.cached("a/bp", "l", "L");
    stored(&mut world.app.buildpacks, "a/bp").layers.get_mut("l").unwrap().data = Value::Null;
    world.restore();
    assert_eq!(world.read("a_bp/l.toml").as_deref(), Some(""));
}

#[test]
fn buildpacks_outside_the_group_get_nothing() {
    let mut world = World::new();
    world.cached("undetected", "l", "LC");
    world.restore();
    assert!(!world.path("undetected").exists());
}

#[test]
fn sbom_files_go_beside_their_layers() {
    let mut world = World::new();
    world.group = vec!["a/bp", "without-folder"];
    world.cached("a/bp", "l", "C");
    let sbom = world.archived("sbom/cache", "a_bp/l/sbom.cdx.json", "cache");
    world.cache.metadata.sbom = Some(sbom);
    world.write("sbom/launch/a_bp/l/sbom.spdx.json", "launch");
    world.write("sbom/launch/a_bp/other/sbom.cdx.json", "for a layer that is not restored");
    world.write("sbom/launch/a_bp/sbom.cdx.json", "for the buildpack");
    world.write("sbom/launch/without-folder/l/sbom.cdx.json", "");
    world.write("sbom/launch/undetected/l/sbom.cdx.json", "");
    world.restore();
    assert_eq!(world.read("a_bp/l.sbom.cdx.json").as_deref(), Some("cache"));
    assert_eq!(world.read("a_bp/l.sbom.spdx.json").as_deref(), Some("launch"));
    assert!(world.path("a_bp/other.sbom.cdx.json").exists());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&world.path("a_bp/l.sbom.cdx.json").metadata().unwrap().permissions());
    assert_eq!(mode & 0o022, 0, "nobody but its owner may write it: {mode:o}");
    for path in ["sbom", "without-folder", "undetected", "a_bp/sbom.cdx.json"] {
        assert!(!world.path(path).exists(), "{path}");
    }
}

#[test]
fn the_launch_sbom_wins_over_the_cached_one() {
    let world = World::new();
    world.write("a_bp/file", "");
    world.write("sbom/cache/a_bp/l/sbom.cdx.json", "cache");
    world.write("sbom/launch/a_bp/l/sbom.cdx.json", "launch");
    world.restore();
    assert_eq!(world.read("a_bp/l.sbom.cdx.json").as_deref(), Some("launch"));
}

#[test]
fn platform_api_0_7_leaves_sbom_files_alone() {
    let mut world = World::new();
    world.api = "0.7";
    world.cache.metadata.sbom = Some(sha(1));
    world.write("a_bp/file", "");
    world.write("sbom/launch/a_bp/l/sbom.cdx.json", "");
    world.restore();
    assert!(world.path("sbom").exists() && !world.path("a_bp/l.sbom.cdx.json").exists());
    assert_eq!(world.lines(Level::Info), [""; 0]);
}

#[test]
fn a_missing_cached_sbom_is_a_warning() {
    let mut world = World::new();
    world.write("a_bp/file", "");
    world.write("sbom/launch/a_bp/l/sbom.cdx.json", "launch");
    world.cache.metadata.sbom = Some(sha(1));
    world.restore();
    let expected = format!("Skipping restore for SBOM from cache: failed to find cache layer with SHA '{}'", sha(1));
    assert_eq!(world.lines(Level::Warn), [expected]);
    assert_eq!(world.read("a_bp/l.sbom.cdx.json").as_deref(), Some("launch"));
}

#[test]
fn nothing_is_written_or_removed_through_a_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("l.toml"), "precious").unwrap();

    let mut world = World::new();
    world.cached("a/bp", "l", "LC");
    std::fs::create_dir_all(world.path("a_bp")).unwrap();
    symlink(elsewhere.path().join("l.toml"), world.path("a_bp/l.toml")).unwrap();
    symlink(elsewhere.path(), world.path("a_bp/l")).unwrap();
    world.restore();
    assert_eq!(world.read("a_bp/l.toml").as_deref(), Some(FROM_APP));
    assert!(world.path("a_bp/l").symlink_metadata().unwrap().is_dir());

    let mut world = World::new();
    world.in_app("a/bp", "l", "LC", sha(1));
    world.in_cache("a/bp", "l", "LC", sha(2));
    symlink(elsewhere.path(), world.path("a_bp")).unwrap();
    let error = world.try_restore().unwrap_err().to_string();
    assert!(error.starts_with("reading buildpack layer directory: open "), "{error}");
    assert_eq!(std::fs::read_to_string(elsewhere.path().join("l.toml")).unwrap(), "precious");

    let world = World::new();
    world.write("a_bp/file", "");
    std::fs::create_dir_all(elsewhere.path().join("launch/a_bp/l")).unwrap();
    std::fs::write(elsewhere.path().join("launch/a_bp/l/sbom.cdx.json"), "").unwrap();
    symlink(elsewhere.path(), world.path("sbom")).unwrap();
    world.restore();
    assert!(!world.path("a_bp/l.sbom.cdx.json").exists() && world.path("sbom").symlink_metadata().is_err());
    assert!(elsewhere.path().join("launch/a_bp/l/sbom.cdx.json").exists());
}

#[test]
fn a_layer_name_that_is_no_file_name_is_left_out() {
    let mut world = World::new();
    world.in_app("a/bp", "../evil", "L", sha(1));
    world.restore();
    assert!(!world.path("evil.toml").exists());
}

#[test]
fn tells_each_layer_as_work_with_its_bytes() {
    let mut world = World::new();
    let diff_id = world.cached("a/bp", "l", "C");
    let size = world.cache.layers[&diff_id].len() as u64;
    world.restore();
    let events = world.events.0.lock().unwrap();
    let id = events.iter().find_map(|event| match event {
        Event::Begin { id, work: Work::RestoreLayer(layer), .. } if layer == "a/bp:l" => Some(*id),
        _ => None,
    });
    let facts = events.iter().find_map(|event| match event {
        Event::End { id: ended, outcome: Outcome::Success, facts } if Some(*ended) == id => Some(facts.clone()),
        _ => None,
    });
    let facts = facts.unwrap();
    assert_eq!((facts.bytes, facts.cache_hit), (Some(size), Some(true)));
}

#[test]
fn many_layers_are_restored_in_the_order_of_their_names() {
    let mut world = World::new();
    let shas: Vec<DiffId> = (0..20).map(|number| world.cached("a/bp", &format!("l{number:02}"), "C")).collect();
    for missing in [3, 7, 15] {
        world.cache.layers.remove(&shas[missing]);
    }
    world.restore();
    let warned: Vec<_> = world.lines(Level::Warn);
    assert_eq!(warned.len(), 3);
    for (line, name) in warned.iter().zip(["l03", "l07", "l15"]) {
        assert!(line.contains(&format!("a/bp:{name}:")), "{line}");
    }
    assert_eq!(world.read("a_bp/l19/file").as_deref(), Some("l19"));
}
