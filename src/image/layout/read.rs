//! Reading an image of a layout.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::path::Place;
use super::{Error, blob_path};
use crate::effect::images::{Documents, Opened};
use crate::image::{assemble, blob, platform, sha256};
use crate::model::digest::{DiffId, Digest};
use crate::model::image::ImageRecord;
use crate::os::open_regular;
use crate::schema::image::{Document, IndexEntry, parse_document};

/// The most that an index or a manifest may have, in bytes.
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// The most that a configuration may have, in bytes.
const CONFIG_LIMIT: u64 = 8 << 20;
/// How deep indexes may lie in each other.
const DEPTH: usize = 4;

/// Why an image that is there cannot be used.
enum Fault {
    /// The image itself is bad.
    Corrupt(String),
    /// The layout cannot be read.
    Error(Error),
}

impl From<assemble::Error> for Fault {
    fn from(error: assemble::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Opens the image at `place`.
pub(super) fn open(name: &str, place: &Place, architecture: &str) -> Result<Opened, Error> {
    let index = place.folder.join("index.json");
    let Some(index) = read_file(&index, DOCUMENT_LIMIT)? else { return Ok(Opened::Missing) };
    match find(name, place, &index, architecture) {
        Ok(record) => Ok(Opened::Found(Box::new(record))),
        Err(Fault::Corrupt(reason)) => Ok(Opened::Corrupt(reason)),
        Err(Fault::Error(error)) => Err(error),
    }
}

fn find(name: &str, place: &Place, index: &[u8], architecture: &str) -> Result<ImageRecord, Fault> {
    let pinned = match &place.digest {
        Some(digest) if exists(&blob_path(&place.folder, digest.hex())).map_err(Fault::Error)? => Some(digest.clone()),
        // The folder is the image: platforms hand on identifiers whose digest a later write of the layout replaced, and
        // the reference goes by the path alone.
        _ => None,
    };
    let (mut digest, mut media_type) = if let Some(digest) = pinned {
        (digest, String::new())
    } else {
        let Document::Index(entries) = parse(index, "index.json")? else {
            return Err(Fault::Corrupt("index.json is no index".to_owned()));
        };
        choose(&entries, architecture, &place.ref_name())?
    };
    for _ in 0..DEPTH {
        let what = format!("manifest {digest}");
        match parse(&blob(&place.folder, &digest, DOCUMENT_LIMIT, "manifest")?, &what)? {
            Document::Index(entries) => {
                let entry = platform::choose(&entries, architecture).ok_or_else(|| no_platform(architecture))?;
                (digest, media_type) = (entry.descriptor.digest.clone(), entry.descriptor.media_type.clone());
            }
            Document::Manifest(mut manifest) => {
                if manifest.media_type.is_empty() {
                    manifest.media_type = media_type;
                }
                let config = blob(&place.folder, &manifest.config.digest, CONFIG_LIMIT, "config")?;
                let identifier = format!("{}@{digest}", place.folder.display());
                return Ok(assemble::record(name, identifier, manifest, &config)?);
            }
        }
    }
    Err(Fault::Corrupt("its indexes lie too deep in each other".to_owned()))
}

/// A layout that holds one image holds the one that is meant, whatever its platform. Of several it is one with the tag,
/// if any has it, and of the platform.
fn choose(entries: &[IndexEntry], architecture: &str, ref_name: &str) -> Result<(Digest, String), Fault> {
    let has_tag = |entry: &&IndexEntry| {
        entry.descriptor.annotations.get(super::write::REF_NAME).is_some_and(|name| name == ref_name)
    };
    let tagged: Vec<IndexEntry> = entries.iter().filter(has_tag).cloned().collect();
    let entries = if tagged.is_empty() { entries } else { &tagged };
    let chosen = match entries {
        [only] => Some(only),
        several => platform::choose(several, architecture),
    };
    let chosen = &chosen.ok_or_else(|| no_platform(architecture))?.descriptor;
    Ok((chosen.digest.clone(), chosen.media_type.clone()))
}

fn no_platform(architecture: &str) -> Fault {
    Fault::Corrupt(format!("failed to find manifest matching platform linux/{architecture}"))
}

fn parse(json: &[u8], what: &str) -> Result<Document, Fault> {
    parse_document(json).map_err(|error| Fault::Corrupt(format!("reading {what}: {error}")))
}

/// A document among the blobs, verified.
fn blob(folder: &Path, digest: &Digest, limit: u64, what: &str) -> Result<Vec<u8>, Fault> {
    let path = blob_path(folder, digest.hex());
    let bytes = read_file(&path, limit).map_err(Fault::Error)?;
    let bytes = bytes.ok_or_else(|| Fault::Corrupt(format!("{what} {digest} is missing")))?;
    let found = sha256::digest(&bytes);
    if &found == digest {
        return Ok(bytes);
    }
    Err(Fault::Corrupt(format!("{what} {digest} has the digest {found}")))
}

/// Reads the documents of an image of a layout.
pub(super) fn documents(image: &ImageRecord) -> Result<Documents, Error> {
    let place = Place::of_identifier(&image.identifier).and_then(|place| Some((place.folder, place.digest?)));
    let (folder, digest) = place.ok_or_else(|| Error::Identifier(image.identifier.clone()))?;
    let read = || {
        let manifest = blob(&folder, &digest, DOCUMENT_LIMIT, "manifest")?;
        let Document::Manifest(parsed) = parse(&manifest, "manifest")? else {
            return Err(Fault::Corrupt(format!("manifest {digest} is an index")));
        };
        let config = blob(&folder, &parsed.config.digest, CONFIG_LIMIT, "config")?;
        Ok(Documents { manifest, config })
    };
    read().map_err(|fault| match fault {
        Fault::Corrupt(reason) => Error::Document { image: image.identifier.clone(), reason },
        Fault::Error(error) => error,
    })
}

/// Reads a layer of an image of a layout.
pub(super) fn layer(image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, Error> {
    let place = Place::of_identifier(&image.identifier).ok_or_else(|| Error::Identifier(image.identifier.clone()))?;
    for layer in image.layers.iter().filter(|layer| &layer.diff_id == diff_id) {
        let Some(descriptor) = &layer.descriptor else { continue };
        let path = blob_path(&place.folder, descriptor.digest.hex());
        match open_regular(&path) {
            Ok(file) => {
                check_size(&file, &path, descriptor.size)?;
                return blob::uncompress(Box::new(file), diff_id).map_err(Error::file("read", &path));
            }
            Err(cause) if is_missing(&cause) => {}
            Err(cause) => return Err(Error::file("open", &path)(cause)),
        }
    }
    Err(Error::NoLayer { image: image.identifier.clone(), diff_id: diff_id.clone() })
}

/// Holds that a blob has the size that its descriptor says.
pub(super) fn check_size(file: &File, path: &Path, expected: u64) -> Result<(), Error> {
    let found = file.metadata().map_err(Error::file("stat", path))?.len();
    if found == expected { Ok(()) } else { Err(Error::Size { path: path.to_owned(), expected, found }) }
}

/// Reads a file that may be missing.
fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(cause) if is_missing(&cause) => return Ok(None),
        Err(cause) => return Err(Error::file("open", path)(cause)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::file("read", path)(io::Error::other(format!("it is larger than {limit} bytes"))));
    }
    Ok(Some(bytes))
}

/// Says whether there is such a file.
pub(super) fn exists(path: &Path) -> Result<bool, Error> {
    match path.metadata() {
        Ok(_) => Ok(true),
        Err(cause) if is_missing(&cause) => Ok(false),
        Err(cause) => Err(Error::file("stat", path)(cause)),
    }
}

/// There is no such file. A file in the place of one of its folders is a fault.
pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
