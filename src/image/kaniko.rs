//! Base images for the extender: what the restorer leaves in `<kaniko>/cache/base`.
//!
//! Clause: platform.md#restorer; catalogue 1, section 4.2, items 4 and 6, catalogue 3, section A5; policy P32. Each image
//! has a layout of its own, named by the digest of its manifest. It is sparse: the extender runs in a container of that
//! image, which has the files of its layers.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::layout;
use crate::effect::images::{ImageError, Images, Opened};
use crate::model::image::ImageRecord;
use crate::os::error_text;

/// Why an image was not pulled. Each variant prints what the reference prints behind `failed to pull <image>: `.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder of the cache cannot be made.
    #[error("failed to create cache directory: mkdir {}: {}", path.display(), error_text(.cause))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The registry cannot be reached or refuses.
    #[error("failed to initialize remote image: {0}")]
    Open(#[from] ImageError),
    /// There is no such image.
    #[error("failed to get remote image")]
    Missing,
    /// It does not fit together.
    #[error("failed to initialize remote image: it is corrupt: {0}")]
    Corrupt(String),
    /// It cannot be written.
    #[error("failed to save layout image: {0}")]
    Save(#[from] layout::Error),
}

/// Reads an image without its layers, and keeps it for the extender. `saving` hears where before it is written.
///
/// # Errors
/// See [`Error`].
pub fn pull(kaniko: &Path, images: &dyn Images, name: &str, saving: impl FnOnce(&Path)) -> Result<ImageRecord, Error> {
    let base = base_dir(kaniko)?;
    let image = match images.open(name)? {
        Opened::Found(image) => *image,
        Opened::Missing => return Err(Error::Missing),
        Opened::Corrupt(reason) => return Err(Error::Corrupt(reason)),
    };
    let documents = images.documents(&image)?;
    let digest = super::sha256::digest(&documents.manifest);
    let folder = base.join(digest.as_str());
    saving(&folder);
    layout::write_sparse(&folder, &image, &documents)?;
    Ok(image)
}

/// Makes the folder of base images, if it is not there.
fn base_dir(kaniko: &Path) -> Result<PathBuf, Error> {
    let base = kaniko.join("cache/base");
    for path in [kaniko, &kaniko.join("cache"), &base] {
        let made = DirBuilder::new().mode(0o755).create(path);
        match made {
            Err(cause) if !path.is_dir() => return Err(Error::Folder { path: path.to_owned(), cause }),
            _ => {}
        }
    }
    Ok(base)
}

#[cfg(test)]
mod tests {}
