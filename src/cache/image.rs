//! A cache that is an image in a registry, as the reference makes it (catalogue 2, section 3.2).
//!
//! Its layers are the cached layers, its label `io.buildpacks.lifecycle.cache.metadata` is their metadata. What did not
//! change is neither read nor sent again: the new image names the blobs of the old one. Every other layer is stored as
//! soon as it is added, so that one that cannot be stored is known by its name and only that one is lost. The image is
//! written last, by the commit: until then the tag has the old cache.
//!
//! A cache that cannot be read is told once and counts as empty (policy P28).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::effect::cache::{Cache, CacheError};
use crate::effect::events::{CacheEvent, Events};
use crate::effect::images::{DraftLayer, ImageDraft, NewLayer, Opened, Registry, TarSource};
use crate::model::app_metadata::CacheMetadata;
use crate::model::digest::{DiffId, EMPTY_LAYER};
use crate::model::image::{ContainerConfig, History, ImageConfig, ImageRecord, MediaFamily};
use crate::schema::label::{CACHE_METADATA, parse_cache, render_cache};

/// When every cache image was made.
const CREATED: &str = "1980-01-01T00:00:01Z";

/// A cache in an image.
pub struct ImageCache<'a> {
    registry: &'a dyn Registry,
    name: String,
    events: &'a dyn Events,
    keeps_old: bool,
    /// The last commit, if there is a usable one; it is opened when it is first asked for.
    old: OnceLock<Option<ImageRecord>>,
    next: Mutex<Next>,
}

/// The next commit.
#[derive(Default)]
struct Next {
    layers: BTreeMap<DiffId, DraftLayer>,
    /// Why the registry lets nothing be written.
    denied: Option<String>,
    is_committed: bool,
}

impl<'a> ImageCache<'a> {
    /// A cache in the image of this name. Nothing is asked of the registry yet. Unless `keeps_old`, a commit deletes the
    /// image that it replaces.
    pub fn new(registry: &'a dyn Registry, name: &str, events: &'a dyn Events, keeps_old: bool) -> Self {
        Self { registry, name: name.to_owned(), events, keeps_old, old: OnceLock::new(), next: Mutex::default() }
    }

    fn old(&self) -> Option<&ImageRecord> {
        self.old.get_or_init(|| self.open()).as_ref()
    }

    fn open(&self) -> Option<ImageRecord> {
        let name = || self.name.clone();
        let unusable = match self.registry.open(&self.name) {
            Ok(Opened::Found(image)) => match self.registry.lost_layers(&image) {
                Ok(lost) if lost.is_empty() => return Some(*image),
                Ok(lost) => {
                    let lost: Vec<_> = lost.iter().map(DiffId::as_str).collect();
                    let reason = format!("the registry has lost {}", lost.join(", "));
                    CacheEvent::ImageCorrupt { name: name(), reason }
                }
                Err(error) => CacheEvent::ImageUnreadable { name: name(), reason: error.to_string() },
            },
            Ok(Opened::Missing) => CacheEvent::ImageMissing,
            Ok(Opened::Corrupt(reason)) => CacheEvent::ImageCorrupt { name: name(), reason },
            Err(error) => CacheEvent::ImageUnreadable { name: name(), reason: error.to_string() },
        };
        self.events.emit(unusable.into());
        None
    }

    /// The last commit, if it has this layer.
    fn old_with(&self, diff_id: &DiffId) -> Result<&ImageRecord, CacheError> {
        let image = self.old().filter(|image| image.layers.iter().any(|layer| &layer.diff_id == diff_id));
        image.ok_or_else(|| CacheError::Missing(diff_id.clone()))
    }

    fn next(&self) -> Result<MutexGuard<'_, Next>, CacheError> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_committed {
            return Err(CacheError::Failed("cache cannot be modified after commit".to_owned()));
        }
        Ok(next)
    }

    /// The image of the next commit.
    fn draft(&self, layers: Vec<DraftLayer>, label: String) -> ImageDraft {
        let history = || History { created: CREATED.to_owned(), ..History::default() };
        ImageDraft {
            base: ImageRecord::nothing(MediaFamily::Oci),
            previous: self.old().cloned(),
            config: ImageConfig {
                os: "linux".to_owned(),
                created: CREATED.to_owned(),
                config: ContainerConfig {
                    labels: BTreeMap::from([(CACHE_METADATA.to_owned(), label)]),
                    ..ContainerConfig::default()
                },
                ..ImageConfig::default()
            },
            layers: layers.into_iter().map(|layer| (layer, history())).collect(),
        }
    }

    /// Says whether the last commit is what the next one would be. A layer that was added is another blob than that of
    /// the last commit, which nobody can read, perhaps.
    fn is_current(&self, diff_ids: &[DiffId], has_added: bool, metadata: &CacheMetadata) -> bool {
        self.old().is_some_and(|old| {
            !has_added
                && old.config.diff_ids == diff_ids
                && old.label(CACHE_METADATA).and_then(|label| parse_cache(label).ok()).as_ref() == Some(metadata)
        })
    }

    fn failed(&self, cause: &dyn std::fmt::Display) -> CacheError {
        CacheError::Failed(format!("committing cache: saving image '{}': {cause}", self.name))
    }
}

impl Cache for ImageCache<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn metadata(&self) -> CacheMetadata {
        let label = self.old().and_then(|image| image.label(CACHE_METADATA));
        label.and_then(|label| parse_cache(label).ok()).unwrap_or_default()
    }

    fn layer(&self, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, CacheError> {
        self.registry
            .unverified_layer(self.old_with(diff_id)?, diff_id)
            .map_err(|error| CacheError::Failed(format!("failed to get cache layer with SHA '{diff_id}': {error}")))
    }

    fn size(&self, diff_id: &DiffId) -> Option<u64> {
        let layer = self.old()?.layers.iter().find(|layer| &layer.diff_id == diff_id)?;
        Some(layer.descriptor.as_ref()?.size)
    }

    /// The bytes are not looked at: the registry has them, and whoever takes them out of the cache checks them.
    fn reuse(&self, diff_id: &DiffId) -> Result<(), CacheError> {
        self.old_with(diff_id)?;
        self.next()?.layers.insert(diff_id.clone(), DraftLayer::Reuse(diff_id.clone()));
        Ok(())
    }

    fn add(&self, layer: &NewLayer) -> Result<(), CacheError> {
        {
            let next = self.next()?;
            if next.layers.contains_key(&layer.diff_id) {
                return Ok(());
            }
            if let Some(reason) = &next.denied {
                return Err(CacheError::Failed(reason.clone()));
            }
        }
        let stored = self.registry.store_layer(&self.name, layer);
        let mut next = self.next()?;
        match stored {
            Ok(()) => {
                next.layers.entry(layer.diff_id.clone()).or_insert_with(|| DraftLayer::New(layer.clone()));
                Ok(())
            }
            Err(error) => {
                if error.denied {
                    next.denied = Some(error.to_string());
                }
                Err(CacheError::Failed(error.to_string()))
            }
        }
    }

    fn commit(&self, metadata: &CacheMetadata) -> Result<(), CacheError> {
        let mut next = self.next()?;
        let mut diff_ids = in_order(metadata);
        let mut layers = Vec::with_capacity(diff_ids.len());
        for diff_id in &diff_ids {
            let layer = next.layers.get(diff_id).cloned();
            layers.push(layer.ok_or_else(|| self.failed(&CacheError::Missing(diff_id.clone())))?);
        }
        let has_added = layers.iter().any(|layer| matches!(layer, DraftLayer::New(_)));
        if layers.is_empty() {
            let layer = empty_layer()?;
            diff_ids.push(layer.diff_id.clone());
            layers.push(DraftLayer::New(layer));
        }
        if self.is_current(&diff_ids, has_added, metadata) {
            next.is_committed = true;
            return Ok(());
        }
        let label = render_cache(metadata).map_err(|error| CacheError::Failed(error.to_string()))?;
        let written = self
            .registry
            .write(&self.draft(layers, label), std::slice::from_ref(&self.name))
            .map_err(|error| self.failed(&error))?;
        if let Some((name, Err(error))) = written.names.first() {
            return Err(self.failed(&format!("failed to write image to the following tags: [{name}: {error}]")));
        }
        next.is_committed = true;
        if let Some(old) = self.old().filter(|_| !self.keeps_old)
            && written.digest.is_some_and(|digest| !old.identifier.ends_with(digest.as_str()))
            && let Err(error) = self.registry.delete(old)
        {
            self.events.emit(CacheEvent::ImageNotDeleted(error.to_string()).into());
        }
        Ok(())
    }
}

/// The layers that metadata names, each once (policy P11), in the order in which the reference adds them.
fn in_order(metadata: &CacheMetadata) -> Vec<DiffId> {
    let layers = metadata.buildpacks.iter().flat_map(|buildpack| buildpack.layers.values());
    let mut diff_ids: Vec<DiffId> = Vec::new();
    for diff_id in layers.filter_map(|layer| layer.sha.as_ref()).chain(&metadata.sbom) {
        if !diff_ids.contains(diff_id) {
            diff_ids.push(diff_id.clone());
        }
    }
    diff_ids
}

/// The layer of a cache without layers: some registries and daemons take no image without any.
fn empty_layer() -> Result<NewLayer, CacheError> {
    let diff_id = DiffId::parse(EMPTY_LAYER).map_err(|error| CacheError::Failed(error.to_string()))?;
    Ok(NewLayer { id: "empty".to_owned(), diff_id, size: EMPTY_TAR.len() as u64, tar: Arc::new(EmptyTar) })
}

/// The end marker of a tar, and nothing before it.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

#[derive(Debug)]
struct EmptyTar;

impl TarSource for EmptyTar {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&EMPTY_TAR)
    }
}

#[cfg(test)]
mod tests;
