//! The layout on disk, what builds that were killed leave, and builds at the same time.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::effect::images::TarSource;
use crate::model::app_metadata::StoredBuildpack;

/// A layer that is just some bytes, or fails half-way.
#[derive(Debug)]
struct Bytes(&'static str, bool);

impl TarSource for Bytes {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.0.as_bytes())?;
        if self.1 { Err(io::Error::other("no more")) } else { Ok(()) }
    }
}

fn diff_id(bytes: &str) -> DiffId {
    let mut sum = Sum::new();
    sum.write_all(bytes.as_bytes()).unwrap();
    sum.diff_id()
}

fn layer(bytes: &'static str) -> NewLayer {
    let tar = Arc::new(Bytes(bytes, false));
    NewLayer { id: "some/id:layer".to_owned(), diff_id: diff_id(bytes), size: bytes.len() as u64, tar }
}

fn metadata(key: &str) -> CacheMetadata {
    let buildpack = StoredBuildpack { key: key.to_owned(), ..StoredBuildpack::default() };
    CacheMetadata { sbom: None, buildpacks: vec![buildpack] }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = committed(&["one"]);
    for name in [layer_name(&diff_id("one")), CACHE_METADATA.to_owned()] {
        let path = dir.path().join("committed").join(name);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let cache = VolumeCache::open(dir.path()).unwrap();
    assert!(matches!(read(&cache, "one"), Err(CacheError::Failed(cause)) if cause.contains("not a regular file")));
    assert_eq!(cache.metadata(), CacheMetadata::default());
}

/// A folder with a cache in which these layers are committed.
fn committed(layers: &[&'static str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let cache = VolumeCache::open(dir.path()).unwrap();
    for bytes in layers {
        cache.add(&layer(bytes)).unwrap();
    }
    cache.commit(&metadata("old")).unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(cache: &VolumeCache, bytes: &str) -> Result<String, CacheError> {
    let mut text = String::new();
    cache.layer(&diff_id(bytes))?.read_to_string(&mut text).unwrap();
    Ok(text)
}

fn impatient(dir: &Path) -> VolumeCache {
    VolumeCache::open_with(dir, Duration::from_millis(30)).unwrap()
}

#[test]
fn a_missing_folder_is_told_as_the_reference_does() {
    let error = VolumeCache::open(Path::new("/no/cache")).unwrap_err();
    assert_eq!(error.to_string(), "stat /no/cache: no such file or directory");
}

#[test]
fn a_commit_has_the_layout_of_the_reference() {
    let dir = committed(&["one"]);
    assert_eq!(names(dir.path()), ["committed"]);
    let tar = layer_name(&diff_id("one"));
    assert_eq!(names(&dir.path().join("committed")), [CACHE_METADATA.to_owned(), tar.clone()]);
    assert_eq!(fs::read_to_string(dir.path().join("committed").join(tar)).unwrap(), "one");
    assert_eq!(
        fs::read_to_string(dir.path().join("committed").join(CACHE_METADATA)).unwrap(),
        "{\"sbom\":{\"sha\":\"\"},\"buildpacks\":[{\"key\":\"old\",\"version\":\"\",\"layers\":{}}]}\n"
    );
}

#[test]
fn reads_a_cache_that_the_reference_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("committed");
    fs::create_dir(&folder).unwrap();
    let sha = diff_id("one");
    let json = format!(
        r#"{{"sbom":{{"sha":"{sha}"}},"buildpacks":[{{"key":"a/b","version":"1","layers":{{"l":{{"sha":"{sha}","data":null,"build":false,"launch":false,"cache":true}}}}}}]}}"#
    );
    fs::write(folder.join(CACHE_METADATA), json + "\n").unwrap();
    fs::write(folder.join(layer_name(&sha)), "one").unwrap();
    let cache = VolumeCache::open(dir.path()).unwrap();
    let metadata = cache.metadata();
    assert_eq!(metadata.sbom, Some(sha.clone()));
    let layer = &metadata.buildpack("a/b").unwrap().layers["l"];
    assert_eq!((&layer.sha, layer.types.cache), (&Some(sha), true));
    assert_eq!(read(&cache, "one").unwrap(), "one");
}

#[test]
fn metadata_that_cannot_be_read_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(VolumeCache::open(dir.path()).unwrap().metadata(), CacheMetadata::default());
    fs::create_dir(dir.path().join("committed")).unwrap();
    let metadata = r#"{"sbom":{"sha":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}"#;
    for text in ["{".to_owned(), format!("{metadata} and more"), metadata.repeat(2)] {
        fs::write(dir.path().join("committed").join(CACHE_METADATA), text).unwrap();
        assert_eq!(VolumeCache::open(dir.path()).unwrap().metadata(), CacheMetadata::default());
    }
}

#[test]
fn nothing_is_seen_before_the_commit_and_nothing_else_after_it() {
    let dir = committed(&["one", "two"]);
    let inode = |bytes| fs::metadata(dir.path().join("committed").join(layer_name(&diff_id(bytes)))).unwrap().ino();
    let before = inode("one");
    let cache = VolumeCache::open(dir.path()).unwrap();
    cache.reuse(&diff_id("one")).unwrap();
    cache.reuse(&diff_id("one")).unwrap();
    cache.add(&layer("three")).unwrap();
    assert!(matches!(read(&cache, "three"), Err(CacheError::Missing(_))));
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(cache.metadata(), metadata("new"));
    assert_eq!((read(&cache, "one").unwrap(), read(&cache, "three").unwrap()), ("one".into(), "three".into()));
    assert_eq!(
        read(&cache, "two").unwrap_err().to_string(),
        format!("failed to find cache layer with SHA '{}'", diff_id("two"))
    );
    assert_eq!(inode("one"), before);
    assert_eq!(names(dir.path()), ["committed"]);
}

#[test]
fn what_cannot_be_linked_is_copied() {
    let dir = committed(&["one"]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    cache.begin().unwrap();
    cache.copy(&layer_name(&diff_id("one"))).unwrap();
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(read(&cache, "one").unwrap(), "one");
}

#[test]
fn a_corrupt_layer_is_not_reused_but_replaced() {
    let dir = committed(&["one"]);
    fs::write(dir.path().join("committed").join(layer_name(&diff_id("one"))), "two").unwrap();
    let cache = VolumeCache::open(dir.path()).unwrap();
    let error = cache.reuse(&diff_id("one")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("expected layer contents to have SHA '{}'; found '{}'", diff_id("one"), diff_id("two"))
    );
    assert!(matches!(cache.reuse(&diff_id("other")), Err(CacheError::Missing(_))));
    cache.add(&layer("one")).unwrap();
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(read(&cache, "one").unwrap(), "one");
}

#[test]
fn a_layer_that_cannot_be_made_leaves_nothing_and_does_not_hinder_others() {
    let dir = committed(&[]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    let broken = NewLayer { tar: Arc::new(Bytes("one", true)), ..layer("one") };
    assert_eq!(cache.add(&broken).unwrap_err().to_string(), format!("caching layer ({}): no more", diff_id("one")));
    let short = NewLayer { size: 4, ..layer("one") };
    assert!(cache.add(&short).unwrap_err().to_string().ends_with("expected 4 bytes; found 3"));
    cache.add(&layer("two")).unwrap();
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(names(&dir.path().join("committed")), [CACHE_METADATA.to_owned(), layer_name(&diff_id("two"))]);
}

#[test]
fn after_a_commit_nothing_can_be_changed() {
    let dir = committed(&["one"]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    cache.commit(&metadata("new")).unwrap();
    let errors = [cache.add(&layer("two")), cache.reuse(&diff_id("one")), cache.commit(&metadata("newer"))];
    for error in errors {
        assert_eq!(error.unwrap_err().to_string(), "cache cannot be modified after commit");
    }
    assert_eq!(cache.metadata(), metadata("new"));
}

#[test]
fn a_build_that_is_killed_leaves_the_old_cache() {
    let dir = committed(&["one"]);
    let killed = VolumeCache::open(dir.path()).unwrap();
    killed.add(&layer("two")).unwrap();
    // The lock ends with the process, and nothing is dropped.
    *killed.state.lock().unwrap() = State::Reading;
    std::mem::forget(killed);
    assert_eq!(names(dir.path()), ["committed", "staging"]);

    let next = VolumeCache::open(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["committed"]);
    assert_eq!(next.metadata(), metadata("old"));
    assert_eq!(read(&next, "one").unwrap(), "one");
}

#[test]
fn a_build_that_is_killed_between_two_renames_leaves_the_old_cache() {
    let dir = committed(&["one"]);
    fs::rename(dir.path().join("committed"), dir.path().join("committed-backup")).unwrap();
    fs::create_dir(dir.path().join("staging")).unwrap();
    let next = VolumeCache::open(dir.path()).unwrap();
    assert_eq!(read(&next, "one").unwrap(), "one");
    assert_eq!(names(dir.path()), ["committed"]);
}

#[test]
fn a_build_that_is_killed_after_the_exchange_leaves_the_new_cache() {
    let dir = committed(&["one"]);
    fs::create_dir(dir.path().join("committed-backup")).unwrap();
    let next = VolumeCache::open(dir.path()).unwrap();
    assert_eq!(next.metadata(), metadata("old"));
    assert_eq!(names(dir.path()), ["committed"]);
}

#[test]
fn commits_where_the_file_system_cannot_exchange() {
    let dir = committed(&["one"]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    cache.add(&layer("two")).unwrap();
    cache.rename_both().unwrap();
    assert_eq!(read(&cache, "two").unwrap(), "two");
    assert_eq!(names(dir.path()), ["committed", "committed-backup"]);

    // Without anything staged the second rename fails, and the first is undone.
    cache.rename_both().unwrap_err();
    assert_eq!(read(&cache, "two").unwrap(), "two");
}

#[test]
fn what_is_not_committed_is_removed() {
    let dir = committed(&["one"]);
    VolumeCache::open(dir.path()).unwrap().add(&layer("two")).unwrap();
    assert_eq!(names(dir.path()), ["committed"]);
}

#[test]
fn other_files_in_the_folder_stay() {
    let dir = committed(&["one"]);
    fs::write(dir.path().join("notes"), "mine").unwrap();
    let cache = VolumeCache::open(dir.path()).unwrap();
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(names(dir.path()), ["committed", "notes"]);
}

#[test]
fn files_in_the_place_of_its_folders_go() {
    for name in ["committed", "staging", "committed-backup"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), "").unwrap();
        fs::write(dir.path().join("foreign"), "").unwrap();
        let cache = VolumeCache::open(dir.path()).unwrap();
        cache.add(&layer("one")).unwrap();
        cache.commit(&metadata("new")).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["committed", "foreign"], "{name}");
        assert_eq!(read(&VolumeCache::open(dir.path()).unwrap(), "one").unwrap(), "one");
    }
}

#[test]
fn two_builds_do_not_write_at_once_and_reading_needs_no_lock() {
    let dir = committed(&["one"]);
    let first = VolumeCache::open(dir.path()).unwrap();
    first.add(&layer("two")).unwrap();
    let second = impatient(dir.path());
    assert_eq!(read(&second, "one").unwrap(), "one");
    for _ in 0..2 {
        assert_eq!(
            second.add(&layer("three")).unwrap_err().to_string(),
            format!("another build is writing the cache '{}'", dir.path().display())
        );
    }
    first.commit(&metadata("new")).unwrap();
    assert_eq!(read(&first, "two").unwrap(), "two");

    let third = impatient(dir.path());
    third.reuse(&diff_id("two")).unwrap();
    third.commit(&metadata("newer")).unwrap();
    assert_eq!(read(&third, "two").unwrap(), "two");
}

#[test]
fn layers_can_be_added_by_several_threads() {
    let dir = committed(&[]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for bytes in ["one", "two", "one", "three", "two"] {
            let cache = &cache;
            scope.spawn(move || cache.add(&layer(bytes)).unwrap());
        }
    });
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(names(&dir.path().join("committed")).len(), 4);
}

/// Reads a layer to its end, as a restorer does, and leaves what it found out for the exporter.
fn restored(dir: &Path, bytes: &str) {
    let cache = VolumeCache::open(dir).unwrap();
    read(&cache, bytes).unwrap();
    cache.verified(&diff_id(bytes));
    cache.keep_seals(&Seals::default());
}

/// Opens the cache as an exporter does.
fn exporter(dir: &Path) -> VolumeCache {
    let cache = VolumeCache::open(dir).unwrap();
    assert_eq!(cache.seals(), Seals::default());
    cache
}

#[test]
fn a_layer_that_was_read_by_an_earlier_phase_is_taken_over_unless_it_changed() {
    let dir = committed(&["one"]);
    restored(dir.path(), "one");
    let cache = exporter(dir.path());
    assert_eq!(cache.sound.lock().unwrap().len(), 1);
    cache.reuse(&diff_id("one")).unwrap();
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(names(dir.path()), ["committed"], "seals are of one build");

    restored(dir.path(), "one");
    std::thread::sleep(Duration::from_millis(20));
    let tar = dir.path().join("committed").join(layer_name(&diff_id("one")));
    fs::write(tar, "two").unwrap();
    let error = exporter(dir.path()).reuse(&diff_id("one")).unwrap_err();
    assert!(matches!(error, CacheError::Corrupt { .. }), "{error}");
}

#[test]
fn seals_that_are_damaged_are_none() {
    let dir = committed(&["one"]);
    for text in ["", "\n\n\n", "sound\nsha256:1 2\n\nx y z\n", "\u{0}"] {
        fs::write(dir.path().join(SEALS), text).unwrap();
        let cache = exporter(dir.path());
        assert!(cache.sound.lock().unwrap().is_empty());
        cache.reuse(&diff_id("one")).unwrap();
    }
}

#[test]
fn seals_that_another_user_left_are_none() {
    let dir = committed(&["one"]);
    restored(dir.path(), "one");
    let seals = dir.path().join(SEALS);
    let is_root = std::os::unix::fs::chown(&seals, Some(12345), None).is_ok();
    assert_eq!(exporter(dir.path()).sound.lock().unwrap().is_empty(), is_root);
    restored(dir.path(), "one");
    fs::rename(&seals, dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &seals).unwrap();
    assert!(exporter(dir.path()).sound.lock().unwrap().is_empty(), "a link is none");
}

/// Writes a layer as one that is being made.
fn drafted(cache: &VolumeCache, bytes: &str, size: usize) {
    let mut draft = cache.draft().unwrap();
    bytes.as_bytes().chunks(2).for_each(|part| draft.write(part));
    draft.keep(&diff_id(bytes), size as u64);
}

#[test]
fn a_layer_that_was_written_while_it_was_made_is_not_read_again() {
    let dir = committed(&[]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    drafted(&cache, "one", 3);
    drafted(&cache, "two", 4);
    drop(cache.draft());
    let unread = |bytes| NewLayer { tar: Arc::new(Bytes("", true)), ..layer(bytes) };
    cache.add(&unread("one")).unwrap();
    assert!(cache.add(&unread("two")).is_err(), "it was not whole");
    assert_eq!(names(&dir.path().join("staging")), [layer_name(&diff_id("one"))]);
    cache.commit(&metadata("new")).unwrap();
    assert_eq!(read(&cache, "one").unwrap(), "one");
}

#[test]
fn who_makes_a_layer_neither_waits_for_another_build_nor_keeps_it_waiting() {
    let dir = committed(&[]);
    let cache = VolumeCache::open(dir.path()).unwrap();
    drafted(&cache, "one", 3);
    let other = VolumeCache::open(dir.path()).unwrap();
    other.begin().unwrap();
    drafted(&cache, "two", 3);
    drop(other);
    for bytes in ["one", "two"] {
        cache.add(&NewLayer { tar: Arc::new(Bytes("", true)), ..layer(bytes) }).unwrap();
    }
    cache.commit(&metadata("new")).unwrap();
    assert_eq!((read(&cache, "one").unwrap(), read(&cache, "two").unwrap()), ("one".into(), "two".into()));
}

#[test]
fn a_launch_cache_has_layers_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let cache = VolumeCache::open(dir.path()).unwrap();
    cache.add(&layer("one")).unwrap();
    cache.commit(&CacheMetadata::default()).unwrap();
    assert_eq!(names(&dir.path().join("committed")), [layer_name(&diff_id("one"))]);
    assert_eq!(VolumeCache::open(dir.path()).unwrap().metadata(), CacheMetadata::default());
}
