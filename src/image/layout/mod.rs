//! Images as OCI layouts in a folder.
//!
//! Clause: platform.md#oci-image-layout; catalogue 2, section 4.4; policy P30. Each image has a layout of its own; see
//! [`layout_path`]. An image may be sparse: its index, manifest and configuration are there and layers are not.

mod leftovers;
mod path;
mod read;
mod write;

use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use path::layout_path;
pub use write::write_sparse;

use oci_spec::OciSpecError;

use super::{assemble, blob};
use crate::effect::events::{ExportEvent, Listener};
use crate::effect::images::Measured;
use crate::effect::images::{Documents, ImageDraft, ImageError, Images, Opened, StoreKind, TarSource, WrittenImage};
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::reference::ReferenceError;
use crate::os::error_text;
use path::Place;

/// A folder of OCI layouts.
#[derive(Clone)]
pub struct LayoutImages {
    layout_dir: PathBuf,
    architecture: String,
    listener: Listener,
    /// Clones share what was made ahead.
    kept: Arc<write::Kept>,
}

/// Why an image in a layout could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no image name and no path in the layout folder.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A file or folder failed.
    #[error("{action} {}: {}", path.display(), error_text(.cause))]
    File {
        /// What was tried: `open`, `write`, ...
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// A blob has another size than its descriptor says.
    #[error("blob {} has {found} bytes instead of {expected}", path.display())]
    Size {
        /// Its path.
        path: PathBuf,
        /// The size in the descriptor, in bytes.
        expected: u64,
        /// The size of the file, in bytes.
        found: u64,
    },
    /// An image has no such layer, or its layout does not have the blob.
    #[error("{image} has no layer {diff_id}")]
    NoLayer {
        /// The image.
        image: String,
        /// The layer.
        diff_id: DiffId,
    },
    /// An image's manifest or configuration is gone, or is another.
    #[error("{image}: {reason}")]
    Document {
        /// The image.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no name to write an image under.
    #[error("the image has no name")]
    NoNames,
    /// The image is none of a layout.
    #[error("identifier '{0}' does not have the format '[path]@[digest]'")]
    Identifier(String),
    /// The layers do not make an image.
    #[error(transparent)]
    Assemble(#[from] assemble::Error),
    /// A new layer did not become a blob.
    #[error(transparent)]
    Blob(#[from] blob::Error),
    /// The documents of the layout cannot be made.
    #[error("making the index of the layout: {0}")]
    Index(#[from] OciSpecError),
}

impl From<Error> for ImageError {
    fn from(error: Error) -> Self {
        let denied = matches!(&error, Error::File { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied);
        Self { message: error.to_string(), retryable: false, denied }
    }
}

impl Error {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { action, path, cause }
    }
}

impl LayoutImages {
    /// A folder of layouts; it need not exist. In an index of several platforms, the image for Linux on `architecture`
    /// is the one that is meant. `listener` hears of layers that are stored.
    pub fn new(layout_dir: PathBuf, architecture: &str, listener: Listener) -> Self {
        Self { layout_dir, architecture: architecture.to_owned(), listener, kept: Arc::default() }
    }
}

impl Images for LayoutImages {
    fn kind(&self) -> StoreKind {
        StoreKind::Layout
    }

    fn open(&self, name: &str) -> Result<Opened, ImageError> {
        let place = Place::find(&self.layout_dir, name).map_err(Error::from)?;
        let opened = read::open(name, &place, &self.architecture)?;
        if let Opened::Found(image) = &opened
            && let Some(digest) = &place.digest
            && !read::exists(&blob_path(&place.folder, digest.hex()))?
        {
            let (wanted, found) = (name.to_owned(), image.identifier.clone());
            self.listener.events.emit(ExportEvent::LayoutImageReplaced { wanted, found }.into());
        }
        Ok(opened)
    }

    fn check_read(&self, name: &str) -> Result<(), ImageError> {
        self.open(name).map(|_| ())
    }

    fn check_write(&self, name: &str) -> Result<(), ImageError> {
        let place = Place::find(&self.layout_dir, name).map_err(Error::from)?;
        Ok(write::check(&place.folder)?)
    }

    fn layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        Ok(read::layer(image, diff_id)?)
    }

    fn documents(&self, image: &ImageRecord) -> Result<Documents, ImageError> {
        Ok(read::documents(image)?)
    }

    fn keep(&self, name: &str, id: &str, tar: &dyn TarSource) -> io::Result<Option<Measured>> {
        let Ok(place) = Place::find(&self.layout_dir, name) else { return Ok(None) };
        write::keep(&place, id, tar, &self.kept, &self.listener)
    }

    fn write(&self, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, ImageError> {
        Ok(write::write(&self.layout_dir, draft, names, &self.kept, &self.listener)?)
    }
}

/// Where a layout keeps a blob.
fn blob_path(folder: &Path, hex: &str) -> PathBuf {
    folder.join("blobs/sha256").join(hex)
}

#[cfg(test)]
mod tests;
