//! EXPORT: the app image, and the cache for the next build.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 2 and 3.3. Plan first, then write.

use std::path::PathBuf;

use crate::api::PlatformApi;
use crate::effect::Effects;
use crate::effect::cache::Cache;
use crate::model::analyzed::Analyzed;
use crate::model::build_metadata::BuildMetadata;
use crate::model::layers_dir::LayersDir;
use crate::model::order::Group;
use crate::model::report::Report;
use crate::model::run_image::RunImageRef;
use crate::schema::label::LifecycleInfo;

/// What the export phase works on.
pub struct Inputs<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// Names for the image, the first being *the* name.
    pub names: Vec<String>,
    /// The layers folder, absolute.
    pub layers: LayersDir,
    /// The app directory, absolute.
    pub app_dir: PathBuf,
    /// The group.
    pub group: Group,
    /// What analysis found.
    pub analyzed: Analyzed,
    /// What buildpacks contributed.
    pub metadata: BuildMetadata,
    /// The label `io.buildpacks.project.metadata`.
    pub project_label: String,
    /// Name and mirrors of the run image for the label; empty if not known.
    pub run_image_names: RunImageRef,
    /// The launcher.
    pub launcher: PathBuf,
    /// The folder with the launcher's SBOM files.
    pub launcher_sbom: PathBuf,
    /// The folder with the lifecycle's SBOM files: /cnb/lifecycle.
    pub lifecycle_sbom: PathBuf,
    /// The process type that the platform asks for.
    pub process_type: Option<String>,
    /// The execution environment, for its label.
    pub exec_env: String,
    /// Owner of what goes into layers.
    pub uid: u32,
    /// Group of what goes into layers.
    pub gid: u32,
    /// `SOURCE_DATE_EPOCH` as it was given.
    pub source_date_epoch: Option<String>,
    /// Image and cache are written at the same time.
    pub parallel: bool,
    /// The cache to write, if there is one.
    pub cache: Option<&'a dyn Cache>,
    /// What the build metadata label says of this lifecycle.
    pub lifecycle: LifecycleInfo,
}

/// Why exporting failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run image or the previous image cannot be opened. Exit code 1 (policy P4).
    #[error("{0}")]
    Open(String),
    /// Anything else. Exit code 62.
    #[error("{0}")]
    Other(String),
    /// Some names could not be written, others were; report.toml tells which (policy P25). Exit code 62.
    #[error("failed to write image to the following tags: {failed}")]
    Tags {
        /// `[<name>: <error>],[...]`.
        failed: String,
        /// What was written.
        report: Box<Report>,
    },
}

/// The image as it was planned and written; the cache can still be written after the report.
pub struct Exported {
    /// report.toml.
    pub report: Report,
    /// Layers made for the image, by id, so that the cache takes them without making them again.
    pub layers: Vec<crate::effect::images::NewLayer>,
}

/// Writes the image.
///
/// # Errors
/// See [`Error`].
pub fn export(_effects: &Effects<'_>, _inputs: &Inputs<'_>) -> Result<Exported, Error> {
    unimplemented!()
}

/// Writes the cache, after report.toml is written. Whatever goes wrong is an event, never an error.
pub fn export_cache(_effects: &Effects<'_>, _inputs: &Inputs<'_>, _exported: &Exported) {
    unimplemented!()
}
