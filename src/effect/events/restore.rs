//! What a user hears of the restore phase.

use std::path::PathBuf;

use crate::model::analyzed::AnalyzedRunImage;
use crate::model::digest::DiffId;

/// Something that happened in the restore phase. Layers are named `<buildpack>:<layer>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreEvent {
    /// The build image is read.
    PullingBuildImage(String),
    /// The run image is read, which extensions will extend.
    PullingRunImage(String),
    /// An image is kept without its layers, for the extender.
    SavingImage(PathBuf),
    /// analyzed.toml will name the build image by this.
    BuildImage(String),
    /// The run image is looked up: analyzed.toml does not say enough of it.
    ResolvingRunImage,
    /// What analyzed.toml says of the run image was made whole.
    RunImageResolved {
        /// What it said.
        was: Box<AnalyzedRunImage>,
        /// What it will say.
        is: Box<AnalyzedRunImage>,
    },
    /// The platform wants no layers back.
    SkippingLayers,
    /// There is no cache.
    NoCache,
    /// A layer's toml is written.
    Metadata {
        /// The layer.
        layer: String,
        /// Where its metadata comes from.
        origin: Origin,
    },
    /// A layer's toml is not written.
    NotMetadata {
        /// The layer.
        layer: String,
        /// Why not.
        reason: NotRestored,
    },
    /// A layer's files are restored.
    Data {
        /// The layer.
        layer: String,
        /// Its diff id.
        diff_id: DiffId,
    },
    /// What is there of a layer is removed: it fits the app image or the cache alone.
    WrongSha {
        /// The layer.
        layer: String,
        /// What its toml came with; empty if it came with none.
        layer_sha: String,
        /// What the cache has; empty if it does not say.
        cache_sha: String,
    },
    /// A layer's files could not be restored, so nothing is left of it.
    DataSkipped {
        /// The layer.
        layer: String,
        /// Why.
        reason: String,
    },
    /// Named pipes and devices of a cached layer were left out.
    FilesSkipped {
        /// The layer.
        layer: String,
        /// How many.
        count: u64,
        /// The first of them.
        first: Vec<PathBuf>,
    },
    /// The SBOM files of cached layers are restored.
    Sbom,
    /// They could not be restored.
    SbomSkipped {
        /// Why.
        reason: String,
    },
}

/// Where a layer's metadata comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The previous image.
    AppImage,
    /// The cache.
    Cache,
}

/// Why a layer's metadata is not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRestored {
    /// The app image has it, and not for launch.
    NotForLaunch,
    /// The build needs its files, and nothing keeps them.
    BuildWithoutCache,
    /// The app image says that it is cached, and the cache has it not.
    NotInCache,
    /// The cache has it, and not for the cache.
    NotForCache,
    /// The cache has it, and the app image speaks for it.
    LaunchInCache,
}
