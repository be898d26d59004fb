//! What a user hears of the export phase.

use std::path::PathBuf;

use crate::effect::images::StoreKind;
use crate::model::digest::{DiffId, Digest};

/// Something that happened in the export phase, in the order in which a user hears it.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportEvent {
    /// `SOURCE_DATE_EPOCH` is no number of seconds that a date can have; it is not used.
    InvalidSourceDateEpoch,
    /// An earlier image gives layers that did not change.
    ReusingImage {
        /// Where it is kept.
        kind: StoreKind,
        /// Its very bytes: reference, image id or layout path, as analyzed.toml names it.
        reference: String,
    },
    /// The image that analysis found is gone or broken: every layer that is here is added afresh.
    PreviousImageLost {
        /// Its reference.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image that analysis found is there, and the bytes of one of its layers are not: that of this build is sent.
    PreviousLayerLost {
        /// Its reference.
        reference: String,
        /// The layer.
        id: String,
    },
    /// A layout does not have the image that a digest names: what is there is taken, as in the reference.
    LayoutImageReplaced {
        /// The name with the digest.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// Layers of the run image are in its layout, and this user may not read them: the image is written without them.
    BaseLayersWithheld {
        /// How many.
        count: usize,
        /// The file of the first.
        path: PathBuf,
    },
    /// The image will be a layout in this folder.
    AppImagePath(String),
    /// A file of SBOMs that comes with a lifecycle is not there.
    SbomMissing {
        /// Its name.
        file: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The folder of SBOMs that the platform names cannot be listed.
    SbomFolderUnreadable(PathBuf),
    /// A file of SBOMs is copied.
    SbomCopied {
        /// Its name.
        file: String,
        /// Where it goes.
        to: PathBuf,
    },
    /// The layers of a buildpack are looked through.
    BuildpackFolder(PathBuf),
    /// A layer for launch was found.
    LaunchLayer(PathBuf),
    /// There is a layer of SBOM files.
    SbomFound {
        /// `launch` or `cache`.
        kind: &'static str,
        /// Its folder.
        path: PathBuf,
    },
    /// A layer of the image is made.
    Layer {
        /// Its id.
        id: String,
        /// Its diff id.
        diff_id: DiffId,
        /// The previous image has it.
        reused: bool,
    },
    /// The app directory is split into layers.
    AppLayersBegin,
    /// A layer of the app directory is made.
    AppLayer {
        /// Its id.
        id: String,
        /// Its diff id.
        diff_id: DiffId,
    },
    /// All layers of the app directory are made.
    AppLayers {
        /// How many of them the previous image has.
        reused: usize,
        /// How many there are.
        total: usize,
    },
    /// Something about a layer that its author should know (policy P12, P13).
    LayerNotice {
        /// The layer's id.
        id: String,
        /// What it is.
        notice: LayerNotice,
    },
    /// The configuration is that of the extended run image.
    ExtendedConfig,
    /// A label is set.
    Label(String),
    /// A label is larger than some container runtimes take (policy P39).
    LabelTooLarge {
        /// Its key.
        key: String,
        /// The size of its value in bytes.
        bytes: usize,
        /// The buildpack whose metadata takes most of it, and how many bytes that is.
        largest: Option<(String, usize)>,
    },
    /// A variable is set.
    Env {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The folders of processes and launcher are put in front of `PATH`.
    PathPrepended,
    /// The working directory is set.
    WorkingDir(String),
    /// The image has a default process.
    DefaultProcess(String),
    /// The image has no default process.
    NoDefaultProcess,
    /// The entrypoint is set.
    Entrypoint(String),
    /// The image is about to be written under this name and its others.
    Saving(String),
    /// The image was written.
    Images {
        /// What identifies it.
        id: String,
        /// Each name, and what went wrong with it.
        names: Vec<(String, Result<(), String>)>,
    },
    /// The digest of its manifest.
    Digest(Digest),
    /// Its id in a daemon.
    ImageId(String),
    /// The size of its manifest in bytes.
    ManifestSize(u64),
}

/// Something about the files of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerNotice {
    /// So many names are hard links to files that stand in the layer already; each is a copy (policy P12).
    HardLinks(u64),
    /// A file loses its capabilities in the image (policy P13).
    CapabilityLost(PathBuf),
    /// A socket is left out.
    SocketSkipped(PathBuf),
}
