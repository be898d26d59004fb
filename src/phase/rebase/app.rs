//! The image to rebase, and what it remembers of its run image.

use super::Error;
use crate::api::{PlatformApi, PlatformFeature};
use crate::effect::images::{Images, Opened};
use crate::model::app_metadata::AppMetadata;
use crate::model::image::ImageRecord;
use crate::model::reference::Reference;
use crate::model::run_image::RunImageRef;
use crate::schema::label;

/// An app image.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// The image.
    pub record: ImageRecord,
    /// Its label `io.buildpacks.lifecycle.metadata`; empty if it has none.
    pub metadata: AppMetadata,
}

impl App {
    /// Opens an app image.
    ///
    /// # Errors
    /// It is not there, cannot be read or does not fit together, or its label is none.
    pub fn open(images: &dyn Images, name: &str) -> Result<Self, Error> {
        let unusable = |cause: &str| Error::App(format!("failed to access image to rebase: image '{name}' {cause}"));
        let record = match images.open(name) {
            Ok(Opened::Found(record)) => *record,
            Ok(Opened::Missing) => return Err(unusable("not found")),
            Ok(Opened::Corrupt(reason)) => return Err(unusable(&format!("is corrupt: {reason}"))),
            Err(error) => return Err(Error::ReadApp(error)),
        };
        let metadata = match record.label(label::LIFECYCLE_METADATA).filter(|text| !text.is_empty()) {
            None => AppMetadata::default(),
            Some(text) => label::parse_app(text).map_err(|error| {
                let key = label::LIFECYCLE_METADATA;
                Error::App(format!("failed to unmarshal context of label '{key}': {error}"))
            })?,
        };
        Ok(Self { record, metadata })
    }

    /// The run image that it is on and that image's mirrors, if it names one. Below Platform API 0.12 only `stack` counts.
    ///
    /// Clause: platform.md#rebaser, `<run-image>`.
    pub fn run_image_names(&self, api: PlatformApi) -> Option<&RunImageRef> {
        let run_image = Some(&self.metadata.run_image.names).filter(|_| api.has(PlatformFeature::RunToml));
        let named = |names: &&RunImageRef| !names.image.is_empty();
        run_image.filter(named).or_else(|| self.metadata.stack.as_ref().filter(named))
    }

    /// Its registry; empty where its name is none.
    pub(super) fn registry(&self) -> String {
        Reference::parse(&self.record.name).map(|name| name.registry().to_owned()).unwrap_or_default()
    }
}
