//! What a user hears of the analyze phase.

use crate::model::analyzed::AnalyzedRunImage;

/// Something that happened in the analyze phase.
#[derive(Clone, Debug, PartialEq)]
pub enum AnalyzeEvent {
    /// There is no image of this name.
    ImageNotFound(String),
    /// An image was found; its identifier.
    ImageFound(String),
    /// The previous image is there and cannot be used.
    PreviousImageCorrupt {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// SBOM files are restored from the previous image.
    SbomRestored,
    /// They were not, for this reason: they belong to another layers folder.
    SbomSkipped(String),
    /// What analyzed.toml will say of the run image.
    RunImage(AnalyzedRunImage),
}
