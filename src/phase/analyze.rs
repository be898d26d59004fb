//! ANALYZE: what an earlier build left, and what the app will run on.
//!
//! Clause: platform.md#analyzer; catalogue 1, section 2.

use crate::api::PlatformApi;
use crate::effect::Effects;
use crate::effect::images::Images;
use crate::model::analyzed::Analyzed;

/// What the analyze phase works on.
pub struct Inputs<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// The image to be written.
    pub image: String,
    /// More names for it.
    pub tags: Vec<String>,
    /// The image of an earlier build.
    pub previous_image: String,
    /// The run image, already chosen; for a layout its path.
    pub run_image: String,
    /// The cache image, if there is one: its store is the registry even when images go to a daemon.
    pub cache_image: Option<(&'a dyn Images, String)>,
    /// SBOM files of the previous image are not restored.
    pub skip_layers: bool,
    /// Where SBOM files of the previous image are extracted; their names are absolute, so this is `/` but in tests.
    pub extract_root: std::path::PathBuf,
}

/// Why analysis failed. Each variant prints what the reference prints; all end the phase with exit code 32.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Finds the previous image and the run image, checks access, restores the SBOM layer of the previous image.
///
/// # Errors
/// An image cannot be read or written, the run image names no operating system, or the SBOM layer cannot be extracted.
pub fn analyze(_effects: &Effects<'_>, _inputs: &Inputs<'_>) -> Result<Analyzed, Error> {
    unimplemented!()
}
