//! The rebased image: the run image's layers below, the app's own above, and the app's configuration changed where it
//! speaks of the run image.
//!
//! Clause: platform.md#rebaser, outputs; catalogue 2, section 5.4; policy P31.

use super::{App, Error};
use crate::api::{PlatformApi, PlatformFeature};
use crate::effect::events::Misfit;
use crate::effect::images::{DraftLayer, ImageDraft};
use crate::model::app_metadata::{AppMetadata, RunImageMetadata};
use crate::model::image::{ContainerConfig, History, ImageConfig, ImageRecord, StoredImageLayer};
use crate::model::run_image::RunImageRef;
use crate::phase::{history, run_image};
use crate::schema::label;

/// What the history of extensions' layers says.
const CREATED_BY_EXTENSION: &str = "Created by extension: ";

/// The index of the first layer that is not the old run image's.
pub(super) fn own_layers(app: &App) -> Result<usize, Error> {
    let is_top = |layer: &StoredImageLayer| layer.diff_id.as_str() == app.metadata.run_image.top_layer;
    let layers = &app.record.layers;
    // Layers may be equal: run images have several empty ones. It is the last one below what the app is known to have.
    let history = history::of_layers(&app.record.config, layers.len());
    let is_own = |(layer, entry): (&StoredImageLayer, &History)| {
        app.metadata.has(&layer.diff_id) || entry.created_by.contains(CREATED_BY_EXTENSION)
    };
    let below = layers.iter().zip(&history).position(is_own).unwrap_or(layers.len());
    let found = layers[..below].iter().rposition(is_top).or_else(|| layers.iter().position(is_top));
    let top = found.ok_or_else(|| Error::Other("rebase app image: could not find base layer in image".to_owned()))?;
    Ok(top + 1)
}

/// What the app image will remember: the new run image, and its name where that is `forced` on it.
pub(super) fn metadata(
    api: PlatformApi,
    app: &AppMetadata,
    run: &ImageRecord,
    name: &str,
    forced: impl Fn(Misfit) -> Result<(), Error>,
) -> Result<AppMetadata, Error> {
    let mut metadata = app.clone();
    metadata.run_image = RunImageMetadata {
        top_layer: run.top_layer().map(ToString::to_string).unwrap_or_default(),
        reference: run.identifier.clone(),
        names: metadata.run_image.names,
    };
    let knows = |names: &RunImageRef| run_image::contains(names, name);
    if !api.has(PlatformFeature::RebaseTargets)
        || knows(&metadata.run_image.names)
        || metadata.stack.as_ref().is_some_and(knows)
    {
        return Ok(metadata);
    }
    let known = match &metadata.stack {
        _ if !metadata.run_image.names.image.is_empty() => label::render_run_image(&metadata.run_image),
        Some(stack) => label::render_stack_run_image(stack),
        None => "not found".to_owned(),
    };
    forced(Misfit::Name { name: name.to_owned(), known })?;
    let names = RunImageRef { image: name.to_owned(), mirrors: Vec::new() };
    metadata.run_image.names = names.clone();
    metadata.stack = Some(names);
    Ok(metadata)
}

/// Makes the draft; `own` is the index of the app's first own layer.
pub(super) fn draft(
    api: PlatformApi,
    app: ImageRecord,
    own: usize,
    run: ImageRecord,
    metadata: &AppMetadata,
) -> Result<ImageDraft, Error> {
    let config = config(api, &app.config, &run.config, metadata)?;
    let below = history::of_run_image(api, &run.config, run.layers.len(), history::CREATED);
    let below = below.into_iter().enumerate().map(|(index, entry)| (DraftLayer::Base(index), entry));
    let above = app.layers.iter().zip(history::of_layers(&app.config, app.layers.len())).skip(own);
    let above = above.map(|(layer, entry)| {
        let entry = History { created: history::CREATED.to_owned(), ..entry };
        (DraftLayer::Reuse(layer.diff_id.clone()), entry)
    });
    let layers = below.chain(above).collect();
    let base = ImageRecord {
        family: app.family,
        manifest_media_type: app.manifest_media_type.clone(),
        config_media_type: app.config_media_type.clone(),
        annotations: app.annotations.clone(),
        artifact_type: app.artifact_type.clone(),
        ..run
    };
    Ok(ImageDraft { base, previous: Some(app), config, layers })
}

/// The app image's configuration on another system.
fn config(
    api: PlatformApi,
    app: &ImageConfig,
    run: &ImageConfig,
    metadata: &AppMetadata,
) -> Result<ImageConfig, Error> {
    let before = app.config.labels.get(label::LIFECYCLE_METADATA).filter(|text| !text.is_empty());
    let text = label::render_rebased(metadata, before.map_or("{}", String::as_str))
        .map_err(|error| Error::Other(format!("marshall metadata: {error}")))?;
    let is_of_run_image = |key: &str| {
        key.starts_with("io.buildpacks.stack.")
            || (key.starts_with("io.buildpacks.base.") && api.has(PlatformFeature::RebaseTargets))
    };
    let mut labels = app.config.labels.clone();
    labels.retain(|key, _| !is_of_run_image(key));
    labels.insert(label::LIFECYCLE_METADATA.to_owned(), text);
    let theirs = run.config.labels.iter().filter(|(key, _)| is_of_run_image(key));
    labels.extend(theirs.map(|(key, value)| (key.clone(), value.clone())));
    // A variant means something with its architecture only.
    let same_system = (&app.os, &app.architecture) == (&run.os, &run.architecture);
    let variant = if run.variant.is_empty() && same_system { &app.variant } else { &run.variant };
    Ok(ImageConfig {
        architecture: run.architecture.clone(),
        variant: variant.clone(),
        os: run.os.clone(),
        os_version: run.os_version.clone(),
        os_features: run.os_features.clone(),
        created: history::CREATED.to_owned(),
        config: ContainerConfig { labels, ..app.config.clone() },
        history: Vec::new(),
        diff_ids: Vec::new(),
        ..app.clone()
    })
}
