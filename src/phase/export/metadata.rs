//! The label `io.buildpacks.lifecycle.metadata`: what the next build, a rebase and the platform need of this one.
//!
//! Clause: platform.md#iobuildpackslifecyclemetadata-json; catalogue 2, section 2.7.

use super::Inputs;
use super::folders::Folder;
use super::make::Made;
use super::plan::Part;
use crate::api::PlatformFeature;
use crate::model::app_metadata::{AppMetadata, RunImageMetadata, StoredBuildpack, StoredLayer};
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::layer::LayerMetadata;
use crate::model::run_image::RunImageRef;

/// Gathers the metadata of all layers. Every buildpack of the group is in it, also one without layers.
pub(super) fn app(inputs: &Inputs<'_>, run: &ImageRecord, folders: &[Folder], made: &[Made<'_>]) -> AppMetadata {
    let names = inputs.run_image_names.clone();
    let mut metadata = AppMetadata {
        buildpacks: folders.iter().map(buildpack).collect(),
        run_image: RunImageMetadata {
            top_layer: run.top_layer().map(ToString::to_string).unwrap_or_default(),
            reference: run.identifier.clone(),
            names: if inputs.api.has(PlatformFeature::RunToml) { names.clone() } else { RunImageRef::default() },
        },
        // Platforms of before run.toml read this one, so it is there at every version.
        stack: Some(names),
        ..AppMetadata::default()
    };
    for layer in made {
        let sha = Some(layer.diff_id.clone());
        match &layer.planned.part {
            Part::Buildpack { index, name, metadata: layer } => {
                let stored = stored(sha, layer);
                metadata.buildpacks[*index].layers.insert(name.as_str().to_owned(), stored);
            }
            // The next build makes them anew, and a rebase leaves them out.
            Part::Extension => {}
            Part::Sbom => metadata.sbom = sha,
            Part::App => metadata.app.extend(sha),
            Part::Launcher => metadata.launcher = sha,
            Part::Config => metadata.config = sha,
            Part::ProcessTypes => metadata.process_types = sha,
        }
    }
    metadata
}

fn buildpack(folder: &Folder) -> StoredBuildpack {
    StoredBuildpack {
        key: folder.buildpack.id.as_str().to_owned(),
        version: folder.buildpack.version.clone(),
        store: folder.store.clone(),
        ..StoredBuildpack::default()
    }
}

/// A layer as an image or a cache remembers it.
pub(super) fn stored(sha: Option<DiffId>, metadata: &LayerMetadata) -> StoredLayer {
    StoredLayer { sha, types: metadata.types, data: metadata.metadata.clone() }
}
