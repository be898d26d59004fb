//! What extensions added to the run image: layers between the run image's and those of buildpacks, and configuration.
//!
//! Clause: platform.md#exporter; catalogue 3, section A10. The run image itself stays the base of the app image, so that
//! a rebase exchanges it alone.

use std::path::PathBuf;

use super::plan::{Content, Part, Planned};
use super::{Error, Inputs};
use crate::api::PlatformFeature;
use crate::archive::Repacked;
use crate::model::image::{ContainerConfig, ImageRecord};
use crate::os::error_text;

/// The run image as the extender left it: an OCI layout with the layers of extensions alone.
#[derive(Clone, Debug)]
pub struct ExtendedRunImage {
    /// The image, the run image's own layers included.
    pub image: ImageRecord,
    /// The folder of its layout.
    pub folder: PathBuf,
}

/// The configuration that takes the place of the run image's, if extensions extended it.
pub(super) fn config<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ContainerConfig> {
    let is_extended = inputs.analyzed.run_image.as_ref().is_some_and(|image| image.extend);
    let extended = inputs.extended.as_ref().filter(|_| is_extended && inputs.api.has(PlatformFeature::ExtensionLayers));
    extended.map(|extended| &extended.image.config.config)
}

/// Plans the layers of extensions, in their order.
///
/// # Errors
/// The layout cannot be read.
pub(super) fn layers(inputs: &Inputs<'_>, run: &ImageRecord) -> Result<Vec<Planned>, Error> {
    let Some(extended) = inputs.extended.as_ref().filter(|_| inputs.api.has(PlatformFeature::ExtensionLayers)) else {
        return Ok(Vec::new());
    };
    let layers = &extended.image.layers;
    // An extension's layer may be the same as one of the run image, such as that of an instruction that changes no
    // file: the layout then has that one too.
    let own = layers.iter().zip(&run.layers).take_while(|(layer, of_run)| layer.diff_id == of_run.diff_id).count();
    let history: Vec<_> = extended.image.config.history.iter().filter(|entry| !entry.empty_layer).collect();
    let mut planned = Vec::new();
    for (index, layer) in layers.iter().enumerate().skip(own) {
        let Some(descriptor) = &layer.descriptor else { continue };
        let blob = extended.folder.join("blobs/sha256").join(descriptor.digest.hex());
        let is_there = blob.try_exists().map_err(|error| {
            Error::Other(format!("failed to get layer info: stat {}: {}", blob.display(), error_text(&error)))
        })?;
        // A layer of the image that the extender began with.
        if !is_there {
            continue;
        }
        planned.push(Planned {
            id: format!("from extensions:extended-layer-{index}"),
            created_by: history.get(index).map(|entry| entry.created_by.clone()).unwrap_or_default(),
            part: Part::Extension,
            content: Content::Repacked(Repacked::new(blob, layer.diff_id.clone())),
            previous: Vec::new(),
        });
    }
    Ok(planned)
}
