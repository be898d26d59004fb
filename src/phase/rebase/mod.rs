//! REBASE: an app image on another run image, its own layers untouched.
//!
//! Clauses: platform.md#rebase, platform.md#rebaser; catalogue 2, section 5; policy P31.
//!
//! Open both images, `check` that they fit, make the `draft` of the new image, write it. Nothing is written before all
//! of it is known, and no layer is read where the store does not need its bytes.

mod app;
mod check;
mod draft;
#[cfg(test)]
mod tests;

pub use app::App;

use super::run_image;
use super::save::{self, save};
use crate::api::PlatformApi;
use crate::effect::Effects;
use crate::effect::events::{Facts, Misfit, Outcome, RebaseEvent, Work};
use crate::effect::images::{ImageError, Images, Opened};
use crate::model::image::ImageRecord;
use crate::model::report::Report;

/// What a rebase works on.
pub struct Inputs {
    /// The Platform API.
    pub api: PlatformApi,
    /// Names for the rebased image, the first being *the* name.
    pub names: Vec<String>,
    /// The name of the image to rebase.
    pub previous_image: String,
    /// That image, if it was opened already.
    pub app: Option<App>,
    /// The name of the new run image; `None` for the best of those that the app image names.
    pub run_image: Option<String>,
    /// The new run image is taken even where it does not fit.
    pub force: bool,
}

/// Why a rebase failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The app image cannot be used, or names no run image that can. Exit code 72.
    #[error("failed to set app image: {0}")]
    App(String),
    /// The app image cannot be read. Exit code 72.
    #[error("failed to set app image: failed to access image to rebase: {0}")]
    ReadApp(ImageError),
    /// The new run image cannot be used (policy P31). Exit code 1.
    #[error("failed to access run image: {0}")]
    RunImage(String),
    /// The new run image cannot be read. Exit code 1.
    #[error("failed to access run image: {0}")]
    ReadRunImage(ImageError),
    /// The new run image does not fit, which `-force` overrides. Exit code 72.
    #[error("failed to rebase: {0}; please provide -force to override")]
    Misfit(#[from] Misfit),
    /// Anything else, also that the image could be written under no name at all. Exit code 72.
    #[error("failed to rebase: {0}")]
    Other(String),
    /// Some names could not be written, others were; report.toml tells which (policy P25). Exit code 72.
    #[error("failed to rebase: failed to write image to the following tags: {failed}")]
    Tags {
        /// `[<name>: <error>],[...]`.
        failed: String,
        /// What was written.
        report: Box<Report>,
    },
}

impl From<save::Error> for Error {
    fn from(error: save::Error) -> Self {
        match error {
            save::Error::Tags { failed, report } => Self::Tags { failed, report },
            save::Error::Image(_) | save::Error::Nowhere(_) => Self::Other(error.to_string()),
        }
    }
}

/// Rebases an image and writes it under all its names.
///
/// # Errors
/// See [`Error`].
pub fn rebase(effects: &Effects<'_>, inputs: Inputs) -> Result<Report, Error> {
    let app = match inputs.app {
        Some(app) => app,
        None => open_app(effects, &inputs.previous_image)?,
    };
    let name = match inputs.run_image {
        Some(name) => name,
        None => choose_run_image(effects.images, inputs.api, &app)?,
    };
    let run = open_run_image(effects, &name)?;
    effects.emit(RebaseEvent::Images {
        app: app.record.identifier.clone(),
        old: app.metadata.run_image.reference.clone(),
        new: run.identifier.clone(),
    });
    let forced = |misfit: Misfit| {
        if !inputs.force {
            return Err(Error::Misfit(misfit));
        }
        effects.emit(RebaseEvent::Forced(misfit));
        Ok(())
    };
    check::images(&app, &run, forced)?;
    let own = draft::own_layers(&app)?;
    let metadata = draft::metadata(inputs.api, &app.metadata, &run, &name, forced)?;
    let draft = draft::draft(inputs.api, app.record, own, run, &metadata)?;
    Ok(save(effects, &draft, &inputs.names, Vec::new(), || None)?)
}

fn open_app(effects: &Effects<'_>, name: &str) -> Result<App, Error> {
    let work = effects.begin(Work::ReadPreviousImage);
    let app = App::open(effects.images, name)?;
    work.end(Outcome::Success, Facts::default());
    Ok(app)
}

/// Chooses among the run images that an app image names: see [`run_image::choose`].
///
/// # Errors
/// The image names none, or none of them can be read. The reference finds out only by opening one that it is not denied
/// that this is not there.
pub fn choose_run_image(images: &dyn Images, api: PlatformApi, app: &App) -> Result<String, Error> {
    let names = app.run_image_names(api).ok_or_else(|| {
        let cause = "-run-image is required when there is no run image metadata available";
        Error::App(format!("failed to parse arguments: {cause}"))
    })?;
    run_image::choose(images, &app.registry(), names).map_err(|error| match &error {
        run_image::Error::NoneReadable(candidates) if candidates.iter().any(|candidate| !candidate.denied) => {
            Error::RunImage(error.to_string())
        }
        _ => Error::App(error.to_string()),
    })
}

fn open_run_image(effects: &Effects<'_>, name: &str) -> Result<ImageRecord, Error> {
    let work = effects.begin(Work::ReadRunImage);
    let image = match effects.images.open(name).map_err(Error::ReadRunImage)? {
        Opened::Found(image) => *image,
        Opened::Missing => return Err(Error::RunImage(format!("image '{name}' not found"))),
        Opened::Corrupt(reason) => return Err(Error::RunImage(format!("image '{name}' is corrupt: {reason}"))),
    };
    if image.layers.is_empty() {
        return Err(Error::RunImage(format!("image '{name}' has no layers")));
    }
    work.end(Outcome::Success, Facts::default());
    Ok(image)
}
