//! Labels of the app image.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 2.5 and 2.7; policy P39.

use super::{Error, Inputs};
use crate::api::PlatformFeature;
use crate::effect::Effects;
use crate::effect::events::ExportEvent;
use crate::model::app_metadata::{AppMetadata, StoredBuildpack};
use crate::schema::label;

/// containerd counts key and value together and refuses what is longer; its CRI part drops the label.
const MAX_BYTES: usize = 4096;

/// All labels in the order in which they are set: a buildpack's may replace one of the lifecycle's.
///
/// # Errors
/// A value cannot be written as JSON.
pub(super) fn all(inputs: &Inputs<'_>, metadata: &AppMetadata) -> Result<Vec<(String, String)>, Error> {
    let json = |error: crate::schema::Error| Error::Other(format!("marshall metadata: {error}"));
    let mut labels = vec![
        (label::LIFECYCLE_METADATA.to_owned(), label::render_app(metadata).map_err(json)?),
        (
            label::BUILD_METADATA.to_owned(),
            label::render_build(&inputs.metadata, &inputs.lifecycle, inputs.api).map_err(json)?,
        ),
        (label::PROJECT_METADATA.to_owned(), inputs.project_label.clone()),
    ];
    labels.extend(inputs.metadata.labels.iter().map(|label| (label.key.clone(), label.value.clone())));
    if inputs.api.has(PlatformFeature::ExecEnv) && !inputs.exec_env.is_empty() {
        labels.push((label::EXEC_ENV.to_owned(), inputs.exec_env.clone()));
    }
    Ok(labels)
}

/// Tells each label, and which are larger than some container runtimes take.
pub(super) fn tell(effects: &Effects<'_>, labels: &[(String, String)], metadata: &AppMetadata) {
    for (key, value) in labels {
        effects.emit(ExportEvent::Label(key.clone()));
        if key.len() + value.len() > MAX_BYTES {
            let largest = (key == label::LIFECYCLE_METADATA).then(|| largest(metadata)).flatten();
            effects.emit(ExportEvent::LabelTooLarge { key: key.clone(), bytes: value.len(), largest });
        }
    }
}

/// The buildpack whose layers and store take most of the metadata, and how many bytes those are.
fn largest(metadata: &AppMetadata) -> Option<(String, usize)> {
    let empty = AppMetadata::default();
    let size = |buildpack: &StoredBuildpack| {
        let alone = AppMetadata { buildpacks: vec![buildpack.clone()], ..empty.clone() };
        let bytes = label::render_app(&alone).ok()?.len();
        Some((buildpack.key.clone(), bytes.saturating_sub(label::render_app(&empty).ok()?.len())))
    };
    metadata.buildpacks.iter().filter_map(size).max_by_key(|(_, bytes)| *bytes)
}
