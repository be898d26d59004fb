//! Writing an image as a layout.
//!
//! Blobs first, the index last: a build that stops half-way leaves the image that was there before. Each file is
//! written beside its place and renamed, and what a writer that was killed left there is removed by the next one. Blobs
//! of earlier images are left alone.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Seek as _, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oci_spec::image::{ImageIndexBuilder, MediaType, OciLayoutBuilder, SCHEMA_VERSION};
use tempfile::NamedTempFile;

use super::leftovers::{UNFINISHED, Writing};
use super::path::Place;
use super::read::{check_size, is_missing};
use super::{Error, blob_path};
use crate::effect::events::{ExportEvent, Listener};
use crate::effect::images::Measured;
use crate::effect::images::{Documents, DraftLayer, ImageDraft, NewLayer, TarSource, WrittenImage};
use crate::image::assemble::{self, Assembled, assemble};
use crate::image::blob::{self, Blob};
use crate::image::sha256::{self, Verified};
use crate::model::digest::DiffId;
use crate::model::image::{Descriptor, ImageRecord};
use crate::os::{give_name, open_regular};

/// The annotation with an image's tag.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// New layers that were made ahead, as compressed files that have no name.
pub(super) type Kept = Mutex<BTreeMap<DiffId, (Blob, File)>>;

/// New layers that are stored already, and in which layout.
type Stored = BTreeMap<DiffId, (Blob, PathBuf)>;

/// Writes a draft as a layout for each name.
pub(super) fn write(
    layout_dir: &Path,
    draft: &ImageDraft,
    names: &[String],
    kept: &Kept,
    listener: &Listener,
) -> Result<WrittenImage, Error> {
    let mut stored = Stored::new();
    let mut first = None;
    let mut failure = None;
    let mut results = Vec::with_capacity(names.len());
    for name in names {
        let (reported, result) = match Place::find(layout_dir, name) {
            Ok(place) => (place.folder.display().to_string(), write_one(&place, draft, &mut stored, kept, listener)),
            Err(error) => (name.clone(), Err(error.into())),
        };
        match result {
            Ok(manifest) => {
                first.get_or_insert_with(|| (format!("{reported}@{}", manifest.digest), manifest.size));
                results.push((reported, Ok(())));
            }
            // Under another name it would be the same.
            Err(
                error @ (Error::Assemble(_) | Error::Blob(blob::Error::Source { .. } | blob::Error::Changed { .. })),
            ) => {
                return Err(error);
            }
            Err(error) => {
                results.push((reported, Err(error.to_string())));
                failure.get_or_insert(error);
            }
        }
    }
    match (first, failure) {
        (Some((id, manifest_size)), _) => {
            Ok(WrittenImage { id, digest: None, image_id: None, manifest_size, names: results })
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(Error::NoNames),
    }
}

fn write_one(
    place: &Place,
    draft: &ImageDraft,
    stored: &mut Stored,
    kept: &Kept,
    listener: &Listener,
) -> Result<Descriptor, Error> {
    let folder = &place.folder;
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Error::file("mkdir", &blobs))?;
    let _writing = Writing::begin(folder);
    let mut withheld = Vec::new();
    let base_is_sparse = is_sparse(&draft.base);
    for (layer, _) in &draft.layers {
        match layer {
            DraftLayer::Base(index) => match copy_base(folder, &draft.base, *index) {
                // pack's copy of the run image has layers that nobody but its owner may read.
                Err(Error::File { action: "open", path, cause }) if cause.kind() == io::ErrorKind::PermissionDenied => {
                    withheld.push(path);
                }
                Ok(false) if !base_is_sparse => return Err(no_layer(&draft.base, &draft.base.layers[*index].diff_id)),
                result => drop(result?),
            },
            DraftLayer::Reuse(diff_id) => copy_previous(folder, draft.previous.as_ref(), diff_id)?,
            DraftLayer::New(layer) => store(folder, layer, stored, kept, listener)?,
        }
    }
    if let Some(path) = withheld.first() {
        let event = ExportEvent::BaseLayersWithheld { count: withheld.len(), path: path.clone() };
        listener.events.emit(event.into());
    }
    let annotations = BTreeMap::from([(REF_NAME.to_owned(), place.ref_name())]);
    let new = stored.iter().map(|(diff_id, (blob, _))| (diff_id.clone(), blob.clone())).collect();
    let Assembled { config, config_descriptor, manifest, manifest_descriptor, .. } =
        assemble(draft, &new, &annotations)?;
    put(folder, &blob_path(folder, config_descriptor.digest.hex()), &config)?;
    put(folder, &blob_path(folder, manifest_descriptor.digest.hex()), &manifest)?;
    put(folder, &folder.join("oci-layout"), layout_version()?.as_bytes())?;
    put(folder, &folder.join("index.json"), index(&manifest_descriptor, &annotations)?.as_bytes())?;
    Ok(manifest_descriptor)
}

/// Writes an image as a layout without its layers: index, manifest and configuration, byte for byte.
///
/// # Errors
/// The folder cannot be written.
pub fn write_sparse(folder: &Path, image: &ImageRecord, documents: &Documents) -> Result<(), Error> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Error::file("mkdir", &blobs))?;
    let _writing = Writing::begin(folder);
    for document in [&documents.config, &documents.manifest] {
        put(folder, &blob_path(folder, sha256::digest(document).hex()), document)?;
    }
    let manifest = Descriptor {
        media_type: image.manifest_media_type.clone(),
        size: documents.manifest.len() as u64,
        digest: sha256::digest(&documents.manifest),
        urls: Vec::new(),
        annotations: BTreeMap::new(),
    };
    put(folder, &folder.join("oci-layout"), layout_version()?.as_bytes())?;
    put(folder, &folder.join("index.json"), index(&manifest, &BTreeMap::new())?.as_bytes())
}

/// Says whether the layout of an image keeps its layers out on purpose: one that has lost some of them has others.
fn is_sparse(image: &ImageRecord) -> bool {
    let Some(place) = Place::of_identifier(&image.identifier) else { return false };
    let mut descriptors = image.layers.iter().filter_map(|layer| layer.descriptor.as_ref());
    descriptors.all(|descriptor| !blob_path(&place.folder, descriptor.digest.hex()).exists())
}

/// Copies a layer of the base image if its layout has it; tells whether it is there now. A base image may be sparse, and
/// the image is then too.
fn copy_base(folder: &Path, base: &ImageRecord, index: usize) -> Result<bool, Error> {
    // An index without layer is told of by `assemble`; who needs a foreign layer fetches it elsewhere.
    let descriptor = base.layers.get(index).and_then(|layer| layer.descriptor.as_ref());
    let Some(descriptor) = descriptor else { return Ok(true) };
    let from = Place::of_identifier(&base.identifier).ok_or_else(|| Error::Identifier(base.identifier.clone()))?;
    Ok(copy(&from.folder, folder, descriptor)? || assemble::is_foreign(descriptor))
}

/// Copies a layer of the previous image, which must have it.
fn copy_previous(folder: &Path, previous: Option<&ImageRecord>, diff_id: &DiffId) -> Result<(), Error> {
    let Some(previous) = previous else { return Err(assemble::Error::NoPreviousLayer(diff_id.clone()).into()) };
    let layer = previous.layers.iter().find(|layer| &layer.diff_id == diff_id);
    let Some(descriptor) = layer.and_then(|layer| layer.descriptor.as_ref()) else { return Ok(()) };
    let from = Place::of_identifier(&previous.identifier);
    let from = from.ok_or_else(|| Error::Identifier(previous.identifier.clone()))?;
    if copy(&from.folder, folder, descriptor)? || assemble::is_foreign(descriptor) {
        return Ok(());
    }
    Err(no_layer(previous, diff_id))
}

fn no_layer(image: &ImageRecord, diff_id: &DiffId) -> Error {
    Error::NoLayer { image: image.identifier.clone(), diff_id: diff_id.clone() }
}

/// Says whether a blob is what it is called.
fn is_sound(path: &Path, descriptor: &Descriptor) -> bool {
    open_regular(path).and_then(|file| io::copy(&mut verified(&file, descriptor), &mut io::sink())).is_ok()
}

/// The bytes of a blob, which end in an error where they are not what it is called.
fn verified<'a>(file: &'a File, descriptor: &Descriptor) -> Verified<BufReader<&'a File>> {
    Verified::new(BufReader::with_capacity(1 << 20, file), descriptor.digest.as_str(), None)
}

/// Brings a blob from one layout to another; tells whether it is there now.
fn copy(from: &Path, to: &Path, descriptor: &Descriptor) -> Result<bool, Error> {
    let source = blob_path(from, descriptor.digest.hex());
    let target = blob_path(to, descriptor.digest.hex());
    if target.metadata().is_ok_and(|found| found.len() == descriptor.size) && is_sound(&target, descriptor) {
        return Ok(true);
    }
    let file = match open_regular(&source) {
        Ok(file) => file,
        Err(cause) if is_missing(&cause) => return Ok(false),
        Err(cause) => return Err(Error::file("open", &source)(cause)),
    };
    check_size(&file, &source, descriptor.size)?;
    let found = file.metadata().map_err(Error::file("stat", &source))?;
    // Who made the other layout may have lost bytes: no image is written with a layer that is not what it is called.
    // A link costs nothing more, but keeps the mode; and a link to a symlink may lead nowhere.
    let linkable = found.mode() & 0o444 == 0o444 && source.symlink_metadata().is_ok_and(|found| found.is_file());
    if linkable {
        io::copy(&mut verified(&file, descriptor), &mut io::sink()).map_err(Error::file("read", &source))?;
        if fs::hard_link(&source, &target).is_ok() {
            return Ok(true);
        }
        (&file).rewind().map_err(Error::file("read", &source))?;
    }
    let mut temporary = temporary(to)?;
    io::copy(&mut verified(&file, descriptor), temporary.as_file_mut()).map_err(Error::file("copy", &source))?;
    persist(temporary, &target)?;
    Ok(true)
}

/// Stores a new layer, by its source once and from there for every other name.
fn store(folder: &Path, layer: &NewLayer, stored: &mut Stored, kept: &Kept, listener: &Listener) -> Result<(), Error> {
    if let Some((blob, from)) = stored.get(&layer.diff_id) {
        let descriptor = Descriptor {
            media_type: String::new(),
            size: blob.size,
            digest: blob.digest.clone(),
            urls: Vec::new(),
            annotations: BTreeMap::new(),
        };
        if copy(from, folder, &descriptor)? {
            return Ok(());
        }
    }
    if let Some((blob, file)) = take(kept, &layer.diff_id) {
        settle(folder, &blob, file)?;
        stored.insert(layer.diff_id.clone(), (blob, folder.to_owned()));
        return Ok(());
    }
    let mut temporary = temporary(folder)?;
    let blob = blob::compress(layer, temporary.as_file_mut(), listener).map_err(|error| error.written_to(folder))?;
    persist(temporary, &blob_path(folder, blob.digest.hex()))?;
    stored.insert(layer.diff_id.clone(), (blob, folder.to_owned()));
    Ok(())
}

/// Makes a layer ahead of the image of this place, as a file that has no name on the same file system, if that is to be.
pub(super) fn keep(
    place: &Place,
    id: &str,
    tar: &dyn TarSource,
    kept: &Kept,
    listener: &Listener,
) -> io::Result<Option<Measured>> {
    let Ok(mut file) = tempfile::tempfile_in(nearest(&place.folder)) else { return Ok(None) };
    match blob::make(id, tar, &mut file, listener) {
        Ok((measured, blob)) => {
            lock(kept).insert(measured.diff_id.clone(), (blob, file));
            Ok(Some(measured))
        }
        Err(blob::Error::Source { cause, .. }) => Err(cause),
        // Whoever writes the image finds the full disk again, and tells of it.
        Err(_) => Ok(None),
    }
}

fn take(kept: &Kept, diff_id: &DiffId) -> Option<(Blob, File)> {
    lock(kept).remove(diff_id)
}

fn lock(kept: &Kept) -> MutexGuard<'_, BTreeMap<DiffId, (Blob, File)>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a kept layer its name, or copies it where a file without name cannot get one.
fn settle(folder: &Path, blob: &Blob, mut file: File) -> Result<(), Error> {
    let target = blob_path(folder, blob.digest.hex());
    let linked = tempfile::Builder::new().prefix(UNFINISHED).make_in(folder, |path| give_name(&file, path));
    if let Ok(linked) = linked {
        file.set_permissions(Permissions::from_mode(0o644)).map_err(Error::file("chmod", &target))?;
        return linked.persist(&target).map_err(|error| Error::file("rename", &target)(error.error));
    }
    let mut temporary = temporary(folder)?;
    file.rewind().map_err(Error::file("read", folder))?;
    io::copy(&mut file, temporary.as_file_mut()).map_err(|cause| {
        let path = folder.to_owned();
        Error::File { action: "write", path, cause }
    })?;
    persist(temporary, &target)
}

/// The document that makes a folder a layout.
fn layout_version() -> Result<String, Error> {
    OciLayoutBuilder::default().image_layout_version("1.0.0").build()?.to_string().map_err(Error::from)
}

/// The index, for people to read too.
fn index(manifest: &Descriptor, annotations: &BTreeMap<String, String>) -> Result<String, Error> {
    let digest: oci_spec::image::Digest = manifest.digest.as_str().parse()?;
    let mut entry = oci_spec::image::Descriptor::new(manifest.media_type.as_str().into(), manifest.size, digest);
    entry.set_annotations((!annotations.is_empty()).then(|| annotations.clone().into_iter().collect()));
    let index = ImageIndexBuilder::default().schema_version(SCHEMA_VERSION).media_type(MediaType::ImageIndex);
    index.manifests([entry]).build()?.to_string_pretty().map_err(Error::from)
}

fn put(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut temporary = temporary(folder)?;
    temporary.write_all(bytes).map_err(Error::file("write", path))?;
    persist(temporary, path)
}

/// A file in the layout that is gone unless it is persisted.
fn temporary(folder: &Path) -> Result<NamedTempFile, Error> {
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder).map_err(Error::file("create", folder))
}

fn persist(temporary: NamedTempFile, path: &Path) -> Result<(), Error> {
    temporary.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(Error::file("chmod", path))?;
    temporary.persist(path).map_err(|error| Error::file("rename", path)(error.error))?;
    Ok(())
}

/// Checks that a layout could be written: the nearest folder of its path that exists is one to write in.
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    let existing = nearest(folder);
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::accessat(rustix::fs::CWD, existing, access, rustix::fs::AtFlags::EACCESS)
        .map_err(|error| Error::file("write", existing)(error.into()))
}

/// The nearest folder of a path that exists.
fn nearest(folder: &Path) -> &Path {
    match folder.ancestors().find(|path| path.as_os_str().is_empty() || path.exists()) {
        Some(path) if !path.as_os_str().is_empty() => path,
        _ => Path::new("."),
    }
}
