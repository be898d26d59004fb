//! A cache of layers between builds.

use std::io::Read;

use super::images::NewLayer;
use crate::model::app_metadata::CacheMetadata;
use crate::model::digest::DiffId;
use crate::model::seal::Seals;

/// Why a cache could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The cache has no layer with this diff id. The text is what the reference prints.
    #[error("failed to find cache layer with SHA '{0}'")]
    Missing(DiffId),
    /// The layer's bytes are others. The text is what the reference prints.
    #[error("expected layer contents to have SHA '{expected}'; found '{found}'")]
    Corrupt {
        /// The diff id that was asked for.
        expected: DiffId,
        /// What the bytes give.
        found: DiffId,
    },
    /// The cache cannot be read or written.
    #[error("{0}")]
    Failed(String),
}

/// A cache of layers: a folder or an image. Everything added stays invisible until [`Cache::commit`].
pub trait Cache: Send + Sync {
    /// Its name for messages: the folder or the image name.
    fn name(&self) -> String;

    /// What the last commit left; empty if there was none or it cannot be read.
    fn metadata(&self) -> CacheMetadata;

    /// Reads the uncompressed tar of a layer; whoever reads it checks the diff id.
    ///
    /// # Errors
    /// The layer is missing or cannot be read.
    fn layer(&self, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, CacheError>;

    /// How many bytes there are to read of a layer, whatever they become; `None` where that is not known.
    fn size(&self, diff_id: &DiffId) -> Option<u64> {
        let _ = diff_id;
        None
    }

    /// Says that the bytes read with [`Cache::layer`] were sound to their end.
    fn verified(&self, diff_id: &DiffId) {
        let _ = diff_id;
    }

    /// Keeps seals of restored layers for another phase of the same build, as far as it can.
    fn keep_seals(&self, seals: &Seals) {
        let _ = seals;
    }

    /// The seals that an earlier phase kept; none if there are no such.
    fn seals(&self) -> Seals {
        Seals::default()
    }

    /// Takes a layer of the last commit over into the next one, if its bytes are sound.
    ///
    /// # Errors
    /// It is missing, corrupt, or cannot be read.
    fn reuse(&self, diff_id: &DiffId) -> Result<(), CacheError>;

    /// Puts a layer into the next commit.
    ///
    /// # Errors
    /// It cannot be made or written.
    fn add(&self, layer: &NewLayer) -> Result<(), CacheError>;

    /// A place in the next commit for a layer that is being made, so that [`Cache::add`] need not make it again. `None`
    /// where the cache has no such places, or no room.
    fn draft(&self) -> Option<Box<dyn LayerDraft + '_>> {
        None
    }

    /// Makes what was reused and added the cache, with its metadata, all at once. What was neither is gone.
    ///
    /// # Errors
    /// It cannot be written; then the last commit stays.
    fn commit(&self, metadata: &CacheMetadata) -> Result<(), CacheError>;
}

/// A layer on its way into a cache. Unless it is kept, nothing of it stays.
pub trait LayerDraft: Send {
    /// Takes the next bytes of its tar. Whatever goes wrong, the layer is then not kept.
    fn write(&mut self, bytes: &[u8]);

    /// Puts the layer into the next commit as what it came to, if it has all of its bytes. Otherwise it is added later.
    fn keep(self: Box<Self>, diff_id: &DiffId, size: u64);
}
