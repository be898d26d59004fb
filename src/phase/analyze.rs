//! ANALYZE: what an earlier build left, and what the app will run on.
//!
//! Clause: platform.md#analyzer; catalogue 1, section 2.

use std::path::PathBuf;

use super::parallel;
use crate::api::{PlatformApi, PlatformFeature};
use crate::archive;
use crate::effect::Effects;
use crate::effect::events::{AnalyzeEvent, Facts, Outcome, Work};
use crate::effect::images::{ImageError, Images, Opened, StoreKind};
use crate::model::analyzed::{Analyzed, AnalyzedRunImage};
use crate::model::app_metadata::AppMetadata;
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::layers_dir::LayersDir;
use crate::model::target::{Distro, RunTarget};
use crate::os::os_release;
use crate::schema::label;

/// The layer of SBOM files, as messages name it.
const SBOM_LAYER: &str = "buildpacksio/lifecycle:launch.sbom";

/// What the analyze phase works on.
pub struct Inputs<'a> {
    /// The Platform API.
    pub api: PlatformApi,
    /// The layers folder, absolute: SBOM files go there and nowhere else.
    pub layers: LayersDir,
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
    pub extract_root: PathBuf,
}

/// Why analysis failed. Each variant prints what the reference prints behind `failed to <action>: `, see
/// [`Error::action`]; all end the phase with exit code 32.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An image cannot be read.
    #[error("validating registry read access: failed to ensure registry read access to {name}: {source}")]
    ReadAccess {
        /// Its name.
        name: String,
        /// Why.
        source: ImageError,
    },
    /// An image cannot be written.
    #[error("validating registry write access: failed to ensure registry read/write access to {name}: {source}")]
    WriteAccess {
        /// Its name.
        name: String,
        /// Why.
        source: ImageError,
    },
    /// The previous image cannot be opened.
    #[error("getting previous image: {0}")]
    PreviousImage(#[source] ImageError),
    /// The run image cannot be opened.
    #[error("getting run image: {0}")]
    RunImage(#[source] ImageError),
    /// There is no such run image in its registry (policy P23).
    #[error("run image '{0}' not found: name an existing image with -run-image")]
    RunImageMissing(String),
    /// The run image does not fit together.
    #[error("run image '{name}' is corrupt: {reason}")]
    RunImageCorrupt {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The run image's configuration names no operating system.
    #[error("failed to find OS in run image config")]
    NoOperatingSystem,
    /// The previous image's layer of SBOM files cannot be read or extracted.
    #[error("retrieving launch SBOM layer: {0}")]
    Sbom(String),
}

impl Error {
    /// What the phase failed to do, for `failed to <action>: <error>`.
    pub fn action(&self) -> &'static str {
        match self {
            Self::ReadAccess { .. } | Self::WriteAccess { .. } | Self::PreviousImage(_) | Self::RunImage(_) => {
                "initialize analyzer"
            }
            Self::RunImageMissing(_) | Self::RunImageCorrupt { .. } | Self::NoOperatingSystem | Self::Sbom(_) => {
                "analyze"
            }
        }
    }
}

/// Finds the previous image and the run image, checks access, restores the SBOM layer of the previous image.
///
/// # Errors
/// An image cannot be read or written, the run image is missing or names no operating system, or the SBOM layer cannot
/// be extracted.
pub fn analyze(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<Analyzed, Error> {
    check_access(effects, inputs)?;
    let (previous_image, run_image) = parallel::both(
        || open(effects, Work::ReadPreviousImage, &inputs.previous_image),
        || open(effects, Work::ReadRunImage, &inputs.run_image),
    );
    let previous_image = previous_image.map_err(Error::PreviousImage)?;
    let run_image = run_image.map_err(Error::RunImage)?;

    let previous_image = previous_image.and_then(|opened| usable(effects, &inputs.previous_image, opened));
    let (reference, metadata) = previous_image.as_ref().map(remembered).unwrap_or_default();
    if let (Some(image), Some(sbom)) = (&previous_image, &metadata.sbom)
        && inputs.api.has(PlatformFeature::SbomFiles)
        && !inputs.skip_layers
    {
        restore_sbom(effects, inputs, image, sbom)?;
    }
    let run_image = describe(effects, inputs, run_image)?;
    effects.emit(AnalyzeEvent::RunImage(run_image.clone()));
    Ok(Analyzed { previous_image: reference, run_image: Some(run_image), metadata, ..Analyzed::default() })
}

/// Makes sure, before anything else is done, that images can be read and written.
///
/// In a daemon or a layout only the cache image is in a registry. All are asked at the same time, and the first in
/// order that fails is told.
fn check_access(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<(), Error> {
    enum Access {
        Read,
        Write,
    }
    let mut checks: Vec<(Access, &dyn Images, &str)> = Vec::new();
    let is_registry = effects.images.kind() == StoreKind::Registry;
    if is_registry {
        checks.push((Access::Read, effects.images, &inputs.previous_image));
        checks.push((Access::Read, effects.images, &inputs.run_image));
    }
    if let Some((registry, name)) = &inputs.cache_image {
        checks.push((Access::Write, *registry, name));
    }
    if is_registry {
        let names = std::iter::once(&inputs.image).chain(&inputs.tags);
        checks.extend(names.map(|name| (Access::Write, effects.images, name.as_str())));
    }
    checks.retain(|(_, _, name)| !name.is_empty());
    if checks.is_empty() {
        return Ok(());
    }
    let work = effects.begin(Work::CheckAccess);
    let results = parallel::each(&checks, |(access, images, name)| {
        let name = (*name).to_owned();
        match access {
            Access::Read => images.check_read(&name).map_err(|source| Error::ReadAccess { name, source }),
            Access::Write => images.check_write(&name).map_err(|source| Error::WriteAccess { name, source }),
        }
    });
    results.into_iter().collect::<Result<(), Error>>()?;
    work.end(Outcome::Success, Facts::default());
    Ok(())
}

/// Opens an image; `None` when the platform names none.
fn open(effects: &Effects<'_>, work: Work, name: &str) -> Result<Option<Opened>, ImageError> {
    if name.is_empty() {
        return Ok(None);
    }
    let work = effects.begin(work);
    let opened = effects.images.open(name)?;
    work.end(Outcome::Success, Facts::default());
    Ok(Some(opened))
}

/// The previous image, if it can be used: a build does without it.
fn usable(effects: &Effects<'_>, name: &str, opened: Opened) -> Option<ImageRecord> {
    match opened {
        Opened::Found(image) => {
            effects.emit(AnalyzeEvent::ImageFound(image.identifier.clone()));
            Some(*image)
        }
        Opened::Missing => {
            effects.emit(AnalyzeEvent::ImageNotFound(name.to_owned()));
            None
        }
        Opened::Corrupt(reason) => {
            effects.emit(AnalyzeEvent::PreviousImageCorrupt { name: name.to_owned(), reason });
            None
        }
    }
}

/// The previous image's identifier and what its label says. An empty label says nothing. One that cannot be read takes the identifier with it, as in
/// the reference: the exporter would take layers over that nobody knows.
fn remembered(image: &ImageRecord) -> (String, AppMetadata) {
    match image.label(label::LIFECYCLE_METADATA).filter(|text| !text.is_empty()).map(label::parse_app) {
        None => (image.identifier.clone(), AppMetadata::default()),
        Some(Ok(metadata)) => (image.identifier.clone(), metadata),
        Some(Err(_)) => (String::new(), AppMetadata::default()),
    }
}

/// Extracts the layer of SBOM files. Its names are those of the build that made it, so where that had another layers
/// folder there is nothing to restore.
fn restore_sbom(effects: &Effects<'_>, inputs: &Inputs<'_>, image: &ImageRecord, sbom: &DiffId) -> Result<(), Error> {
    effects.emit(AnalyzeEvent::SbomRestored);
    let work = effects.begin(Work::RestoreLayer(SBOM_LAYER.to_owned()));
    let layer = effects.images.layer(image, sbom).map_err(|error| Error::Sbom(error.to_string()))?;
    match archive::extract(layer, &inputs.extract_root, &inputs.layers.sbom()) {
        Ok(extracted) => {
            let facts = Facts { bytes: Some(extracted.bytes), files: Some(extracted.files), ..Facts::default() };
            work.end(Outcome::Success, facts);
            Ok(())
        }
        Err(error @ archive::Error::Outside { .. }) => {
            work.end(Outcome::Skip, Facts::default());
            effects.emit(AnalyzeEvent::SbomSkipped(error.to_string()));
            Ok(())
        }
        Err(error) => Err(Error::Sbom(error.to_string())),
    }
}

/// What analyzed.toml says of the run image.
fn describe(effects: &Effects<'_>, inputs: &Inputs<'_>, opened: Option<Opened>) -> Result<AnalyzedRunImage, Error> {
    let name = inputs.run_image.clone();
    let (reference, target) = match opened {
        None => return Ok(AnalyzedRunImage::default()),
        Some(Opened::Found(image)) => {
            effects.emit(AnalyzeEvent::ImageFound(image.identifier.clone()));
            let target = target(&image);
            (image.identifier, target)
        }
        Some(Opened::Missing) => {
            effects.emit(AnalyzeEvent::ImageNotFound(name.clone()));
            if effects.images.kind() == StoreKind::Registry {
                return Err(Error::RunImageMissing(name));
            }
            (String::new(), RunTarget { distro: None, ..os_release::target(None) })
        }
        Some(Opened::Corrupt(reason)) => return Err(Error::RunImageCorrupt { name, reason }),
    };
    if !inputs.api.has(PlatformFeature::RunImageTarget) {
        return Ok(AnalyzedRunImage { reference, ..AnalyzedRunImage::default() });
    }
    if target.os.is_empty() {
        return Err(Error::NoOperatingSystem);
    }
    Ok(AnalyzedRunImage { reference, image: name, extend: false, target: Some(target) })
}

/// The target of an image: from its configuration, and its distribution from labels.
pub fn target(image: &ImageRecord) -> RunTarget {
    let label = |key: &str| image.label(key).map(ToOwned::to_owned);
    let distro = match (label("io.buildpacks.base.distro.name"), label("io.buildpacks.base.distro.version")) {
        (None, None) => None,
        (name, version) => Some(Distro { name: name.unwrap_or_default(), version: version.unwrap_or_default() }),
    };
    RunTarget {
        id: label("io.buildpacks.base.id").unwrap_or_default(),
        os: image.config.os.clone(),
        arch: image.config.architecture.clone(),
        variant: image.config.variant.clone(),
        distro,
    }
}
