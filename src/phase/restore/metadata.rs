//! What buildpacks noted about their layers: `<layer>.toml` and store.toml.
//!
//! Catalogue 1, section 4.3, A and B.

use std::collections::BTreeMap;

use super::{Error, Inputs, write_new};
use crate::api::PlatformFeature;
use crate::effect::Effects;
use crate::effect::events::{NotRestored, Origin, RestoreEvent};
use crate::model::app_metadata::{CacheMetadata, StoredLayer};
use crate::model::digest::DiffId;
use crate::model::id::{LayerName, ModuleId};
use crate::schema;

/// The diff id that each written toml came with.
pub(super) type Written = BTreeMap<(ModuleId, String), Option<DiffId>>;

/// Writes the store.toml of each buildpack that had one.
pub(super) fn restore_stores(inputs: &Inputs<'_>) -> Result<(), Error> {
    for buildpack in &inputs.group.buildpacks {
        if let Some(store) =
            inputs.app_metadata.buildpack(buildpack.id.as_str()).and_then(|stored| stored.store.as_ref())
        {
            write_new(&inputs.layers.store_toml(&buildpack.id), &schema::layer::render_store(store))?;
        }
    }
    Ok(())
}

/// Writes the toml of each layer that a buildpack may find again, by the previous image and by the cache.
pub(super) fn restore(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    cache_metadata: &CacheMetadata,
) -> Result<Written, Error> {
    let mut written = Written::new();
    if inputs.skip_layers {
        effects.emit(RestoreEvent::SkippingLayers);
        return Ok(written);
    }
    let from_cache_alone = inputs.api.has(PlatformFeature::LaunchCacheLayersFromCache);
    let none = BTreeMap::new();
    for buildpack in &inputs.group.buildpacks {
        let id = &buildpack.id;
        let in_app = inputs.app_metadata.buildpack(id.as_str()).map_or(&none, |stored| &stored.layers);
        let in_cache = cache_metadata.buildpack(id.as_str()).map_or(&none, |stored| &stored.layers);
        for (name, layer) in in_app {
            let cached = in_cache.get(name).is_some_and(|cached| cached.types.cache);
            let verdict = from_app(layer, cached);
            write(effects, inputs, id, name, layer, verdict, &mut written)?;
        }
        for (name, layer) in in_cache {
            let verdict = from_cache(layer, in_app.contains_key(name), from_cache_alone);
            write(effects, inputs, id, name, layer, verdict, &mut written)?;
        }
    }
    Ok(written)
}

/// Decides on a layer of the previous image.
fn from_app(layer: &StoredLayer, cached: bool) -> Result<Origin, NotRestored> {
    if !layer.types.launch {
        Err(NotRestored::NotForLaunch)
    } else if layer.types.build && !layer.types.cache {
        // Its files must be there while building, and nobody has them: the buildpack makes it anew in any case.
        Err(NotRestored::BuildWithoutCache)
    } else if layer.types.cache && !cached {
        Err(NotRestored::NotInCache)
    } else {
        Ok(Origin::AppImage)
    }
}

/// Decides on a layer of the cache.
fn from_cache(layer: &StoredLayer, in_app: bool, from_cache_alone: bool) -> Result<Origin, NotRestored> {
    if !layer.types.cache {
        Err(NotRestored::NotForCache)
    } else if layer.types.launch && (in_app || !from_cache_alone) {
        Err(NotRestored::LaunchInCache)
    } else {
        Ok(Origin::Cache)
    }
}

fn write(
    effects: &Effects<'_>,
    inputs: &Inputs<'_>,
    id: &ModuleId,
    name: &str,
    layer: &StoredLayer,
    verdict: Result<Origin, NotRestored>,
    written: &mut Written,
) -> Result<(), Error> {
    // A label is what somebody wrote into an image: a name that is no file name could lead anywhere.
    let Ok(file_name) = LayerName::parse(name) else { return Ok(()) };
    let identifier = format!("{id}:{name}");
    match verdict {
        Err(reason) => effects.emit(RestoreEvent::NotMetadata { layer: identifier, reason }),
        Ok(origin) => {
            effects.emit(RestoreEvent::Metadata { layer: identifier, origin });
            let text = schema::layer::render_restored(&layer.data);
            write_new(&inputs.layers.layer_toml(id, &file_name), &text)?;
            written.insert((id.clone(), name.to_owned()), layer.sha.clone());
        }
    }
    Ok(())
}
