//! What a user hears of caches.

use std::path::PathBuf;

use crate::model::digest::DiffId;

/// Something that happened in caches.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheEvent {
    /// A layer did not change: the cache keeps its copy.
    Reusing {
        /// The layer's id.
        id: String,
        /// Its diff id.
        diff_id: DiffId,
    },
    /// A layer goes into the cache.
    Adding {
        /// The layer's id.
        id: String,
        /// Its diff id.
        diff_id: DiffId,
    },
    /// A layer did not change, and the cache's copy cannot be kept; it is added afresh.
    SkippingReuse {
        /// The layer's id.
        id: String,
        /// Why.
        reason: String,
    },
    /// A layer is for the cache and has no folder.
    NoContents {
        /// The layer's id.
        id: String,
    },
    /// A layer is not in the new cache.
    LayerFailed {
        /// The layer's id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The next build gets a layer back without this fifo or device (policy P14).
    SpecialFile {
        /// The layer's id.
        id: String,
        /// The fifo or device.
        path: PathBuf,
    },
    /// The SBOM files of cached layers were found.
    SbomFound(PathBuf),
    /// There is no cache image yet.
    ImageMissing,
    /// The cache image does not fit together or has lost layers; it counts as empty.
    ImageCorrupt {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cache image cannot be read; it counts as empty.
    ImageUnreadable {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The cache image that was replaced is still in the registry.
    ImageNotDeleted(String),
    /// No new cache was written; the old one stays.
    Failed(String),
    /// The launch cache cannot be read or written: layers come from the daemon alone.
    LaunchCacheFailed(String),
}
