//! The images that an export starts from: the run image below the app, and the previous image that lends its layers.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 2.4 and 4.1; policy P4.

use super::{Error, Inputs};
use crate::effect::Effects;
use crate::effect::events::{ExportEvent, Facts, Outcome, Work};
use crate::effect::images::{ImageError, Opened, StoreKind};
use crate::model::image::ImageRecord;

/// The images that an export starts from.
#[derive(Clone, Debug)]
pub(super) struct Bases {
    /// The run image.
    pub run: ImageRecord,
    /// The image of an earlier build, if it is still there.
    pub previous: Option<ImageRecord>,
}

/// Opens both images.
///
/// # Errors
/// The run image is missing, or one of them cannot be read. A previous image that is gone or broken only costs time.
pub(super) fn open(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<Bases, Error> {
    let kind = effects.images.kind();
    let previous = &inputs.analyzed.previous_image;
    if !previous.is_empty() {
        effects.emit(ExportEvent::ReusingImage { kind, reference: previous.clone() });
    }
    if let (StoreKind::Layout, Some(name)) = (kind, inputs.names.first()) {
        effects.emit(ExportEvent::AppImagePath(name.clone()));
    }
    let run = open_run(effects, inputs)?;
    let previous = if previous.is_empty() { None } else { open_previous(effects, previous)? };
    Ok(Bases { run, previous })
}

fn open_run(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<ImageRecord, Error> {
    let analyzed = inputs.analyzed.run_image.clone().unwrap_or_default();
    let reference = analyzed.reference.as_str();
    if reference.is_empty() && !analyzed.image.is_empty() {
        // Analysis goes on without a run image that a daemon does not have.
        return Err(unusable(format!("run image '{}' not found", analyzed.image)));
    }
    if reference.is_empty() {
        return Err(unusable("run image not found in analyzed metadata"));
    }
    let work = effects.begin(Work::ReadRunImage);
    let image = match effects.images.open(reference).map_err(unreadable)? {
        Opened::Found(image) => *image,
        Opened::Missing => return Err(unusable(format!("run image '{reference}' not found"))),
        Opened::Corrupt(reason) => return Err(unusable(format!("run image '{reference}': {reason}"))),
    };
    if image.layers.is_empty() {
        return Err(unusable("image has no layers"));
    }
    work.end(Outcome::Success, Facts::default());
    Ok(image)
}

fn open_previous(effects: &Effects<'_>, reference: &str) -> Result<Option<ImageRecord>, Error> {
    let work = effects.begin(Work::ReadPreviousImage);
    let lost = match effects.images.open(reference).map_err(unreadable)? {
        Opened::Found(image) => {
            work.end(Outcome::Success, Facts::default());
            return Ok(Some(*image));
        }
        Opened::Missing => "it does not exist any more".to_owned(),
        Opened::Corrupt(reason) => reason,
    };
    work.end(Outcome::Failure, Facts::default());
    effects.emit(ExportEvent::PreviousImageLost { reference: reference.to_owned(), reason: lost });
    Ok(None)
}

fn unreadable(error: ImageError) -> Error {
    unusable(error.message)
}

fn unusable(cause: impl std::fmt::Display) -> Error {
    Error::Open(format!("create new app image: {cause}"))
}
