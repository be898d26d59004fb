//! The cache for the next build.
//!
//! Clause: platform.md#exporter; catalogue 2, sections 3.3 and 3.4; policy P11, P14, P28. A cache is staged first, which
//! nobody sees, and committed after the image and report.toml are written: so a failed export never replaces a cache.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::folders::{self, Folder};
use super::metadata::stored;
use super::{Exported, Inputs, make};
use crate::effect::Effects;
use crate::effect::cache::Cache;
use crate::effect::events::{CacheEvent, Event, Facts, Outcome, Work};
use crate::effect::images::NewLayer;
use crate::model::app_metadata::{CacheMetadata, StoredBuildpack};
use crate::model::digest::DiffId;
use crate::model::id::LayerName;
use crate::model::layer::LayerMetadata;
use crate::phase::parallel;

/// What a cache is to hold, or why there is nothing to commit.
pub(super) type Staged = Result<CacheMetadata, String>;

/// A layer for the cache.
struct Candidate {
    id: String,
    path: PathBuf,
    place: Place,
    /// The layer, if the image took it.
    made: Option<NewLayer>,
    /// What the cache has in its place, if it can be used.
    before: Option<DiffId>,
}

/// Where a layer belongs in the metadata of the cache.
enum Place {
    Buildpack { index: usize, name: LayerName, metadata: LayerMetadata },
    Sbom,
}

/// Puts every layer for the cache into it. A layer that cannot be put is told and left out.
///
/// # Errors
/// The SBOM layer cannot be put, without which cached layers would lose their SBOMs; or `cancelled` was set.
pub(super) fn stage(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    cache: &dyn Cache,
    folders: &[Folder],
    made: &[NewLayer],
    cancelled: &AtomicBool,
) -> Staged {
    let before = cache.metadata();
    let source = super::source(inputs);
    let mut metadata = CacheMetadata { sbom: None, buildpacks: folders.iter().map(buildpack).collect() };
    let mut sbom_failed = None;
    parallel::in_order(
        &candidates(effects, inputs, folders, made, &before)?,
        |candidate| {
            if cancelled.load(Ordering::Relaxed) {
                return Err("the image was not exported".to_owned());
            }
            Ok(put(effects, cache, candidate, &source))
        },
        |candidate, (events, put)| {
            for event in events {
                effects.emit(event);
            }
            match (put, &candidate.place) {
                (Ok(sha), Place::Buildpack { index, name, metadata: layer }) => {
                    let layers = &mut metadata.buildpacks[*index].layers;
                    layers.insert(name.as_str().to_owned(), stored(Some(sha), layer));
                }
                (Err(reason), Place::Buildpack { .. }) => {
                    effects.emit(CacheEvent::LayerFailed { id: candidate.id.clone(), reason });
                }
                (Ok(sha), Place::Sbom) => metadata.sbom = Some(sha),
                (Err(reason), Place::Sbom) => sbom_failed = Some(reason),
            }
        },
    )?;
    sbom_failed.map_or(Ok(metadata), Err)
}

/// Stages, unless that was done beside the image, and makes what was staged the cache.
pub(super) fn finish(effects: &Effects<'_>, inputs: &Inputs<'_>, cache: &dyn Cache, exported: &Exported) {
    let staged = exported
        .staged
        .clone()
        .unwrap_or_else(|| stage(effects, inputs, cache, &exported.folders, &exported.layers, &AtomicBool::new(false)));
    if let Err(reason) = staged.and_then(|metadata| commit(effects, cache, &metadata)) {
        effects.emit(CacheEvent::Failed(reason));
    }
}

fn commit(effects: &Effects<'_>, cache: &dyn Cache, metadata: &CacheMetadata) -> Result<(), String> {
    let work = effects.begin(Work::CommitCache);
    cache.commit(metadata).map_err(|error| error.to_string())?;
    work.end(Outcome::Success, Facts::default());
    Ok(())
}

/// Finds every layer for the cache that has contents.
fn candidates(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    folders: &[Folder],
    made: &[NewLayer],
    before: &CacheMetadata,
) -> Result<Vec<Candidate>, String> {
    // What the restorer could not read is no use to the next build either.
    let is_sound = |diff_id: &DiffId| !inputs.analyzed.unsound_cache_layers.contains(diff_id);
    let mut candidates = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        let before = before.buildpack(folder.buildpack.id.as_str());
        for layer in &folder.layers {
            let Some(metadata) = layer.metadata.as_ref().ok().filter(|metadata| metadata.types.cache) else { continue };
            let id = folder.layer_id(layer);
            if !layer.has_contents {
                effects.emit(CacheEvent::NoContents { id });
                continue;
            }
            candidates.push(Candidate {
                made: made.iter().find(|made| made.id == id).cloned(),
                before: before
                    .and_then(|buildpack| buildpack.layers.get(layer.name.as_str())?.sha.clone())
                    .filter(is_sound),
                path: folder.layer_path(layer),
                place: Place::Buildpack { index, name: layer.name.clone(), metadata: metadata.clone() },
                id,
            });
        }
    }
    if let Some(path) =
        folders::sbom(inputs, "cache").map_err(|error| format!("failed to read layers SBOM: {error}"))?
    {
        effects.emit(CacheEvent::SbomFound(path.clone()));
        candidates.push(Candidate {
            id: "buildpacksio/lifecycle:cache.sbom".to_owned(),
            path,
            place: Place::Sbom,
            made: None,
            before: before.sbom.clone().filter(is_sound),
        });
    }
    Ok(candidates)
}

/// Keeps or adds one layer; gives what there is to tell about it, and its diff id or why it is not in the cache.
fn put(
    effects: &Effects<'_>,
    cache: &dyn Cache,
    candidate: &Candidate,
    source: &make::Source<'_>,
) -> (Vec<Event>, Result<DiffId, String>) {
    let id = &candidate.id;
    let work = effects.begin(Work::CacheLayer(id.clone()));
    let made = match &candidate.made {
        Some(layer) => Ok((layer.clone(), Vec::new())),
        None => make::for_cache(id, &candidate.path, source),
    };
    let (layer, mut events) = match made {
        Ok(made) => made,
        Err(error) => return (Vec::new(), Err(format!("creating layer '{id}': {error}"))),
    };
    let diff_id = layer.diff_id.clone();
    let facts = |reused| Facts { bytes: Some(layer.size), reused: Some(reused), ..Facts::default() };
    if candidate.before.as_ref() == Some(&diff_id) {
        match cache.reuse(&diff_id) {
            Ok(()) => {
                events.push(CacheEvent::Reusing { id: id.clone(), diff_id: diff_id.clone() }.into());
                work.end(Outcome::Success, facts(true));
                return (events, Ok(diff_id));
            }
            Err(error) => {
                events.push(CacheEvent::SkippingReuse { id: id.clone(), reason: error.to_string() }.into());
            }
        }
    }
    events.push(CacheEvent::Adding { id: id.clone(), diff_id: diff_id.clone() }.into());
    match cache.add(&layer) {
        Ok(()) => {
            work.end(Outcome::Success, facts(false));
            (events, Ok(diff_id))
        }
        Err(error) => (events, Err(error.to_string())),
    }
}

fn buildpack(folder: &Folder) -> StoredBuildpack {
    StoredBuildpack {
        key: folder.buildpack.id.as_str().to_owned(),
        version: folder.buildpack.version.clone(),
        ..StoredBuildpack::default()
    }
}
