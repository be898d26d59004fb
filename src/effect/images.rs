//! Images: finding, reading and writing them, wherever the platform keeps them.
//!
//! A name is the text that the platform gave: an image name for registry and daemon, a path for a layout. Each store
//! reads it by its own rules, so phases never do.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use crate::model::digest::{DiffId, Digest};
use crate::model::image::{History, ImageConfig, ImageRecord};

/// Which of the places an image store is; a few messages and documents depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A registry.
    Registry,
    /// A docker daemon or one that speaks its API.
    Daemon,
    /// A folder of OCI layouts.
    Layout,
}

/// What became of opening an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// It is there.
    Found(Box<ImageRecord>),
    /// There is no such image.
    Missing,
    /// It is there and its manifest, configuration and layers do not fit together.
    Corrupt(String),
}

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    /// What happened, with the method, the status and the registry's code where there are such.
    pub message: String,
    /// Trying again may help.
    pub retryable: bool,
    /// The store refused the credentials, or their absence.
    pub denied: bool,
}

/// The uncompressed tar of a new layer. It can be written more than once, with the same bytes each time.
pub trait TarSource: Send + Sync + fmt::Debug {
    /// Writes the tar, end marker included.
    ///
    /// # Errors
    /// A file cannot be read or changed meanwhile (the error names it), or `out` fails.
    fn write_tar(&self, out: &mut dyn Write) -> std::io::Result<()>;

    /// How many files it holds, folders and links among them; 0 where that is not known without reading it.
    fn files(&self) -> u64 {
        0
    }
}

/// A layer that is not yet in any image.
#[derive(Clone, Debug)]
pub struct NewLayer {
    /// The id for messages, such as `samples/a:layer`.
    pub id: String,
    /// Its diff id, computed by whoever planned the layer.
    pub diff_id: DiffId,
    /// The size of its tar in bytes.
    pub size: u64,
    /// Its bytes.
    pub tar: Arc<dyn TarSource>,
}

/// What a layer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The digest of its archive.
    pub diff_id: DiffId,
    /// The size of its archive in bytes.
    pub size: u64,
    /// How many entries it has, as [`TarSource::files`] says.
    pub files: u64,
}

/// A layer of an image to be written.
#[derive(Clone, Debug)]
pub enum DraftLayer {
    /// The layer of the base image at this index.
    Base(usize),
    /// A layer of the previous image.
    Reuse(DiffId),
    /// A layer made by this build.
    New(NewLayer),
}

/// An image to be written: intent, nothing yet done. Each layer comes with its history entry, so they cannot drift.
#[derive(Clone, Debug)]
pub struct ImageDraft {
    /// The image below: gives media types, annotations and the bytes of [`DraftLayer::Base`].
    pub base: ImageRecord,
    /// The image of an earlier build: gives the bytes of [`DraftLayer::Reuse`].
    pub previous: Option<ImageRecord>,
    /// The configuration, without `history` and `diff_ids`: those are made of `layers`.
    pub config: ImageConfig,
    /// All layers, first to last, each with its history entry.
    pub layers: Vec<(DraftLayer, History)>,
}

/// An image that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenImage {
    /// The text for `*** Images (<id>)`.
    pub id: String,
    /// The manifest's digest; registries only.
    pub digest: Option<Digest>,
    /// The image id in hex; daemons only.
    pub image_id: Option<String>,
    /// The manifest's size in bytes; 0 if unknown.
    pub manifest_size: u64,
    /// One entry for each name, in the order given: the name as reported, and what went wrong with it.
    pub names: Vec<(String, Result<(), String>)>,
}

/// The documents of an image, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The configuration.
    pub config: Vec<u8>,
}

/// A place where images are.
pub trait Images: Send + Sync {
    /// Which kind of place it is.
    fn kind(&self) -> StoreKind;

    /// Opens an image by name or identifier.
    ///
    /// # Errors
    /// The store cannot be reached or refuses. A missing image is no error.
    fn open(&self, name: &str) -> Result<Opened, ImageError>;

    /// Checks that an image could be read, whether it exists or not.
    ///
    /// # Errors
    /// It cannot be read.
    fn check_read(&self, name: &str) -> Result<(), ImageError>;

    /// Checks that an image can be written, without writing anything that stays.
    ///
    /// # Errors
    /// It cannot be written.
    fn check_write(&self, name: &str) -> Result<(), ImageError>;

    /// Reads the uncompressed tar of a layer of an image that was opened here. The diff id is verified at the end:
    /// the last read fails if the bytes were others.
    ///
    /// # Errors
    /// The image has no such layer, or it cannot be read.
    fn layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError>;

    /// Reads the manifest and the configuration of an image that was opened here, verified. A daemon has no manifests.
    ///
    /// # Errors
    /// They cannot be read, or there are no such documents.
    fn documents(&self, image: &ImageRecord) -> Result<Documents, ImageError> {
        Err(ImageError::permanent(format!("image {} has no manifest", image.identifier)))
    }

    /// Reads a layer whose diff id is not known yet once: finds out what it comes to, and keeps it meanwhile as the image
    /// of this name is to have it, so that a write need not read its source again. Nobody sees it until then. `None`,
    /// and perhaps nothing was read, where the store keeps no layers ahead or cannot keep this one.
    ///
    /// # Errors
    /// The source cannot be read, or changed meanwhile; the error names the file.
    fn keep(&self, name: &str, id: &str, tar: &dyn TarSource) -> std::io::Result<Option<Measured>> {
        let _ = (name, id, tar);
        Ok(None)
    }

    /// Writes an image under each name. A name that fails does not keep others from being written; see
    /// [`WrittenImage::names`].
    ///
    /// # Errors
    /// The image could not be made, under no name at all.
    fn write(&self, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, ImageError>;
}

/// A registry, where a cache can be an image: more than the image of a build needs.
pub trait Registry: Images {
    /// Finds layers of an image that was opened here whose bytes are gone.
    ///
    /// # Errors
    /// The registry cannot be asked.
    fn lost_layers(&self, image: &ImageRecord) -> Result<Vec<DiffId>, ImageError>;

    /// Reads the uncompressed tar of a layer as [`Images::layer`] does, without verifying it: whoever hashes it anyway
    /// checks the diff id.
    ///
    /// # Errors
    /// The image has no such layer, or it cannot be read.
    fn unverified_layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError>;

    /// Stores a layer ahead of the image of this name that is to have it: so a layer that cannot be stored is known by
    /// itself, and the write has less to do. Nobody sees it until the image is written.
    ///
    /// # Errors
    /// It cannot be made or stored.
    fn store_layer(&self, name: &str, layer: &NewLayer) -> Result<(), ImageError>;

    /// Deletes an image that was opened here, with all its names; layers that other images have stay.
    ///
    /// # Errors
    /// The registry refuses, or cannot delete.
    fn delete(&self, image: &ImageRecord) -> Result<(), ImageError>;
}

impl ImageError {
    /// An error that will be the same next time.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false, denied: false }
    }
}
