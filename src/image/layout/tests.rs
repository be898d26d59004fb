//! Tests of layouts as they lie on disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::effect::events::ExportEvent;
use crate::effect::images::DraftLayer;
use crate::image::conforms::{Heard, conforms, draft, found, layer, made_by, run_config};
use crate::image::memory::diff_id;
use crate::image::sha256;
use crate::model::digest::Digest;
use crate::model::image::MediaFamily;
use crate::schema::image::{Document, parse_document};

struct World {
    _temporary: TempDir,
    dir: PathBuf,
    images: LayoutImages,
    heard: Arc<Heard>,
}

impl World {
    /// A layout folder with a run image of two layers.
    fn new(family: MediaFamily) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("layout");
        let heard = Arc::new(Heard::default());
        let images = LayoutImages::new(dir.clone(), "amd64", heard.listener());
        let world = Self { _temporary: temporary, dir, images, heard };
        let draft = ImageDraft {
            base: ImageRecord::nothing(family),
            previous: None,
            config: run_config(),
            layers: vec![
                (DraftLayer::New(layer("run1", 10, 5000)), made_by("base")),
                (DraftLayer::New(layer("run2", 11, 6000)), made_by("base")),
            ],
        };
        world.images.write(&draft, &["run".to_owned()]).unwrap();
        world
    }

    fn folder(&self, name: &str) -> PathBuf {
        layout_path(&self.dir, name).unwrap()
    }

    fn index(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.folder(name).join("index.json")).unwrap()).unwrap()
    }
}

/// Checks every blob of a layout against its name, and every descriptor against its blob.
fn check_blobs(folder: &Path) {
    for entry in fs::read_dir(folder.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        assert_eq!(sha256::digest(&bytes).hex(), entry.file_name().to_str().unwrap());
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
    }
    let index = fs::read(folder.join("index.json")).unwrap();
    let Document::Index(entries) = parse_document(&index).unwrap() else { panic!("no index") };
    assert_eq!(entries.len(), 1);
    let manifest = fs::read(blob_path(folder, entries[0].descriptor.digest.hex())).unwrap();
    assert_eq!(manifest.len() as u64, entries[0].descriptor.size);
    let Document::Manifest(manifest) = parse_document(&manifest).unwrap() else { panic!("no manifest") };
    for descriptor in manifest.layers.iter().chain([&manifest.config]) {
        let blob = blob_path(folder, descriptor.digest.hex());
        assert_eq!(blob.metadata().unwrap().len(), descriptor.size);
    }
}

#[test]
fn what_a_killed_writer_left_goes_with_the_next_image_unless_somebody_writes() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    let write = |label: &str| drop(world.images.write(&draft(&run, None, label), &["app".to_owned()]).unwrap());
    write("one");
    let folder = world.folder("app");
    let left = folder.join(".write-abcdef");
    fs::write(&left, "half of a layer").unwrap();
    let other = leftovers::Writing::begin(&world.folder("run"));
    write("two");
    assert!(!left.exists(), "another layout is another folder");
    drop(other);

    let other = leftovers::Writing::begin(&folder);
    fs::write(&left, "of somebody who writes").unwrap();
    write("three");
    assert!(left.exists());
    drop(other);
    write("four");
    assert!(!left.exists());
    check_blobs(&folder);
}

#[test]
fn a_lock_of_somebody_else_holds_no_writer_up() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    let folder = world.folder("app");
    fs::create_dir_all(&folder).unwrap();
    let other = fs::File::open(&folder).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    world.images.write(&draft(&run, None, "one"), &["app".to_owned()]).unwrap();
    check_blobs(&folder);
}

#[test]
fn tells_of_each_layer_that_it_stores_once() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    world.heard.0.lock().unwrap().clear();
    let names = ["one".to_owned(), "two".to_owned()];
    world.images.write(&draft(&run, None, "x"), &names).unwrap();
    let written = world.heard.written();
    assert!(
        !written.is_empty() && written.iter().all(|(_, bytes)| bytes.is_some_and(|bytes| bytes > 0)),
        "{written:?}"
    );
    let layers: std::collections::BTreeSet<_> = written.iter().map(|(layer, _)| layer).collect();
    assert_eq!(layers.len(), written.len(), "{written:?}");
}

#[test]
fn does_what_every_store_does() {
    for family in [MediaFamily::Docker, MediaFamily::Oci] {
        let world = World::new(family);
        let names = ["my/app".to_owned(), "my/app:two".to_owned(), "a.io/elsewhere".to_owned()];
        conforms(&world.images, "run", &names);
        for name in &names {
            check_blobs(&world.folder(name));
            assert_eq!(fs::read_dir(world.folder(name)).unwrap().count(), 3, "no temporary file is left");
        }
    }
}

#[test]
fn names_the_ref_in_index_and_manifest() {
    let world = World::new(MediaFamily::Oci);
    assert_eq!(world.index("run")["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "latest");
    let run = found(&world.images, "run");
    assert_eq!(run.annotations["org.opencontainers.image.ref.name"], "latest");
    let base =
        ImageRecord { annotations: [("org.opencontainers.image.base.name".to_owned(), "x".to_owned())].into(), ..run };
    world.images.write(&draft(&base, None, ""), &["app:v1".to_owned()]).unwrap();
    let app = found(&world.images, "app:v1");
    assert_eq!(app.annotations["org.opencontainers.image.ref.name"], "v1");
    assert_eq!(app.annotations["org.opencontainers.image.base.name"], "x");
}

#[test]
fn reports_paths_as_names_and_identifier() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    let written = world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap();
    let path = world.folder("app").display().to_string();
    assert_eq!(written.names, [(path.clone(), Ok(()))]);
    assert_eq!(written.id, found(&world.images, "app").identifier);
    assert!(written.id.starts_with(&format!("{path}@sha256:")));
    assert_eq!(found(&world.images, &path).identifier, written.id);
}

#[test]
fn a_missing_or_half_made_layout_is_no_image() {
    let world = World::new(MediaFamily::Oci);
    assert_eq!(world.images.open("other").unwrap(), Opened::Missing);
    fs::create_dir_all(world.folder("half").join("blobs/sha256")).unwrap();
    assert_eq!(world.images.open("half").unwrap(), Opened::Missing);
    let digest = sha256::digest(b"?");
    assert_eq!(world.images.open(&format!("{}@{digest}", world.folder("half").display())).unwrap(), Opened::Missing);
}

#[test]
fn a_file_in_the_place_of_a_layout_is_an_error() {
    let world = World::new(MediaFamily::Oci);
    let folder = world.folder("file");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    fs::write(&folder, "").unwrap();
    let error = world.images.open("file").unwrap_err();
    assert_eq!(error.message, format!("open {}/index.json: not a directory", folder.display()));
}

#[test]
fn an_identifier_that_was_replaced_means_what_is_there_now() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    let stale = format!("{}@{}", world.folder("run").display(), sha256::digest(b"?"));
    world.heard.0.lock().unwrap().clear();
    assert_eq!(found(&world.images, &stale).identifier, run.identifier);
    let heard = std::mem::take(&mut *world.heard.0.lock().unwrap());
    let told = ExportEvent::LayoutImageReplaced { wanted: stale, found: run.identifier.clone() };
    assert_eq!(heard, [told.into()]);
    found(&world.images, &run.identifier);
    assert!(world.heard.0.lock().unwrap().is_empty());
}

#[test]
fn keeps_the_layers_of_a_sparse_run_image_out() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    for layer in &base.layers {
        let digest = layer.descriptor.as_ref().unwrap().digest.clone();
        fs::remove_file(blob_path(&world.folder("run"), digest.hex())).unwrap();
    }
    world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap();
    let app = found(&world.images, "app");
    assert_eq!(app.layers.len(), base.layers.len() + 4);
    let error = world.images.layer(&app, &app.layers[0].diff_id).err().unwrap();
    assert_eq!(error.message, format!("{} has no layer {}", app.identifier, app.layers[0].diff_id));
}

#[test]
fn a_run_image_that_lost_some_of_its_layers_is_not_sparse() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    let draft = draft(&base, None, "");
    let blob = |name: &str, layer: usize| {
        let digest = &base.layers[layer].descriptor.as_ref().unwrap().digest;
        blob_path(&world.folder(name), digest.hex())
    };
    fs::remove_file(blob("run", 1)).unwrap();
    let error = world.images.write(&draft, &["app".to_owned()]).unwrap_err();
    assert_eq!(error.message, format!("{} has no layer {}", base.identifier, base.layers[1].diff_id));
    assert!(!world.folder("app").join("index.json").exists());
    // Where the image goes there may be some of it: that says nothing.
    assert!(blob("app", 0).exists());
    fs::remove_file(blob("run", 0)).unwrap();
    world.images.write(&draft, &["app".to_owned()]).unwrap();
}

#[test]
fn a_layer_that_the_previous_image_lost_is_an_error() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap();
    let app = found(&world.images, "app");
    let lost = &app.layers[2];
    fs::remove_file(blob_path(&world.folder("app"), lost.descriptor.as_ref().unwrap().digest.hex())).unwrap();
    let error = world.images.write(&draft(&base, Some(&app), ""), &["app".to_owned()]).unwrap_err();
    assert_eq!(error.message, format!("{} has no layer {}", app.identifier, lost.diff_id));
}

#[test]
fn a_base_layer_with_other_bytes_is_an_error_whether_it_could_be_linked_or_not() {
    for mode in [0o644, 0o600] {
        let world = World::new(MediaFamily::Oci);
        let base = found(&world.images, "run");
        let blob = blob_path(&world.folder("run"), base.layers[0].descriptor.as_ref().unwrap().digest.hex());
        let mut bytes = fs::read(&blob).unwrap();
        bytes[20] ^= 1;
        fs::write(&blob, bytes).unwrap();
        fs::set_permissions(&blob, Permissions::from_mode(mode)).unwrap();
        let error = world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap_err();
        assert!(error.message.contains("but the content is sha256:"), "{error}");
        assert!(!world.folder("app").join("index.json").exists());
    }
}

#[test]
fn what_a_layout_has_already_is_checked_too() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    let draft = draft(&base, None, "");
    world.images.write(&draft, &["app".to_owned()]).unwrap();
    let hex = base.layers[0].descriptor.as_ref().unwrap().digest.hex().to_owned();
    let blob = blob_path(&world.folder("app"), &hex);
    let whole = fs::read(&blob).unwrap();
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    world.images.write(&draft, &["app".to_owned()]).unwrap();
    assert!(fs::read(&blob).unwrap() == whole);
}

#[test]
fn a_base_layer_of_another_size_is_an_error() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    let blob = blob_path(&world.folder("run"), base.layers[0].descriptor.as_ref().unwrap().digest.hex());
    fs::write(&blob, "short").unwrap();
    let error = world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap_err();
    assert!(error.message.contains("has 5 bytes instead of"), "{error}");
}

#[test]
fn a_base_layer_that_cannot_be_read_is_an_error() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    let blob = blob_path(&world.folder("run"), base.layers[0].descriptor.as_ref().unwrap().digest.hex());
    // Unreadable for root too.
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&blob, &blob).unwrap();
    let error = world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap_err();
    assert_eq!(error.message, format!("open {}: too many levels of symbolic links", blob.display()));
}

#[test]
fn copies_a_blob_that_others_may_not_read() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    for layer in &base.layers {
        let blob = blob_path(&world.folder("run"), layer.descriptor.as_ref().unwrap().digest.hex());
        fs::set_permissions(blob, Permissions::from_mode(0o600)).unwrap();
    }
    world.images.write(&draft(&base, None, ""), &["app".to_owned()]).unwrap();
    check_blobs(&world.folder("app"));
}

#[test]
fn tells_what_is_wrong_with_a_corrupt_image() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    let (_, digest) = run.identifier.rsplit_once('@').unwrap();
    let manifest = blob_path(&world.folder("run"), Digest::parse(digest).unwrap().hex());
    let whole = fs::read(&manifest).unwrap();
    let reason = || match world.images.open("run").unwrap() {
        Opened::Corrupt(reason) => reason,
        other => panic!("{other:?}"),
    };
    fs::write(&manifest, b"{}").unwrap();
    assert!(reason().starts_with(&format!("manifest {digest} has the digest sha256:")));
    fs::remove_file(&manifest).unwrap();
    assert_eq!(reason(), format!("manifest {digest} is missing"));
    fs::write(&manifest, whole).unwrap();
    fs::write(world.folder("run").join("index.json"), b"no json").unwrap();
    assert!(reason().starts_with("reading index.json: "));
    fs::write(world.folder("run").join("index.json"), br#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert_eq!(reason(), "failed to find manifest matching platform linux/amd64");
}

#[test]
fn chooses_by_platform_also_in_an_index_within_the_index() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    let (_, digest) = run.identifier.rsplit_once('@').unwrap();
    let folder = world.folder("run");
    let entry = |digest: &str, arch: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"{digest}","platform":{{"os":"linux","architecture":"{arch}"}}}}"#
        )
    };
    let other = sha256::digest(b"other");
    let inner =
        format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, entry(other.as_str(), "arm64"), entry(digest, "amd64"));
    fs::write(folder.join("index.json"), &inner).unwrap();
    assert_eq!(found(&world.images, "run").identifier, run.identifier);
    let inner_digest = sha256::digest(inner.as_bytes());
    fs::write(blob_path(&folder, inner_digest.hex()), &inner).unwrap();
    let outer = format!(r#"{{"schemaVersion":2,"manifests":[{{"size":1,"digest":"{inner_digest}"}}]}}"#);
    fs::write(folder.join("index.json"), outer).unwrap();
    assert_eq!(found(&world.images, "run").identifier, run.identifier);
    let arm = LayoutImages::new(world.dir.clone(), "arm64", world.heard.listener());
    assert!(matches!(arm.open("run").unwrap(), Opened::Corrupt(reason) if reason.contains(other.as_str())));
}

#[test]
fn a_name_that_cannot_be_written_does_not_keep_others_from_it() {
    let world = World::new(MediaFamily::Oci);
    let base = found(&world.images, "run");
    fs::create_dir_all(world.dir.join("a.io")).unwrap();
    fs::write(world.dir.join("a.io/blocked"), "a file").unwrap();
    let names = ["a.io/blocked".to_owned(), "app".to_owned()];
    let written = world.images.write(&draft(&base, None, ""), &names).unwrap();
    let blocked = world.folder("a.io/blocked").display().to_string();
    assert_eq!(written.names[0], (blocked.clone(), Err(format!("mkdir {blocked}/blobs/sha256: not a directory"))));
    assert_eq!(written.names[1].1, Ok(()));
    assert_eq!(found(&world.images, "app").identifier, written.id);
    assert!(world.images.write(&draft(&base, None, ""), &names[..1]).is_err());
    assert!(world.images.check_write("a.io/blocked").is_err());
}

#[test]
fn a_layer_of_other_bytes_fails_when_it_is_read() {
    let world = World::new(MediaFamily::Oci);
    let mut run = found(&world.images, "run");
    run.layers[0].diff_id = diff_id(b"other");
    let read = world.images.layer(&run, &diff_id(b"other")).unwrap().read_to_end(&mut Vec::new());
    assert!(read.is_err());
}

#[test]
fn documents_that_are_gone_or_others_are_told() {
    let world = World::new(MediaFamily::Oci);
    let run = found(&world.images, "run");
    let documents = world.images.documents(&run).unwrap();
    let path = |bytes: &[u8]| blob_path(&world.folder("run"), sha256::digest(bytes).hex());
    let error = || world.images.documents(&run).unwrap_err().message;
    fs::write(path(&documents.config), "{}").unwrap();
    let config = sha256::digest(&documents.config);
    let digest = sha256::digest(b"{}");
    assert_eq!(error(), format!("{}: config {config} has the digest {digest}", run.identifier));
    fs::remove_file(path(&documents.manifest)).unwrap();
    let manifest = sha256::digest(&documents.manifest);
    assert_eq!(error(), format!("{}: manifest {manifest} is missing", run.identifier));
}
