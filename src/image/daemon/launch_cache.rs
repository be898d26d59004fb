//! The launch cache: layers of the app image, kept where the lifecycle can read them.
//!
//! Catalogue 2, section 3.5; policy P28. To get one layer out of a daemon the whole image must be saved, so layers that a
//! later build may want are kept beside it too. Whatever goes wrong with the cache only costs time.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::archive::Heard;
use crate::effect::cache::{Cache, CacheError};
use crate::effect::events::{CacheEvent, Events};
use crate::effect::images::{NewLayer, TarSource};
use crate::image::sha256::{Sha256, Verified};
use crate::model::app_metadata::CacheMetadata;
use crate::model::digest::DiffId;

/// Layers of app images beside a daemon.
pub(super) struct LaunchCache(pub(super) Arc<dyn Cache>);

/// A layer of the cache that was found to be sound.
struct Cached {
    cache: Arc<dyn Cache>,
    diff_id: DiffId,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cached({})", self.diff_id)
    }
}

impl TarSource for Cached {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        io::copy(&mut self.read()?, out).map(drop)
    }
}

impl Cached {
    fn read(&self) -> io::Result<Box<dyn Read + Send>> {
        let layer = self.cache.layer(&self.diff_id).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Box::new(Verified::new(layer, self.diff_id.as_str(), None)))
    }
}

impl LaunchCache {
    /// A layer, if the cache has it and it is sound.
    pub(super) fn layer(&self, diff_id: &DiffId) -> Option<NewLayer> {
        let mut hash = Sha256::new();
        io::copy(&mut self.0.layer(diff_id).ok()?, &mut hash).ok()?;
        let size = hash.bytes();
        let tar = Cached { cache: Arc::clone(&self.0), diff_id: diff_id.clone() };
        let layer = NewLayer { id: diff_id.to_string(), diff_id: diff_id.clone(), size, tar: Arc::new(tar) };
        (DiffId::from_sha256(&hash.finish()) == *diff_id).then_some(layer)
    }

    /// Reads a layer, if the cache has it and it is sound.
    pub(super) fn read(&self, diff_id: &DiffId) -> Option<Box<dyn Read + Send>> {
        self.layer(diff_id)?;
        Cached { cache: Arc::clone(&self.0), diff_id: diff_id.clone() }.read().ok()
    }

    /// Sends a new layer to `out`, and in the same pass to where [`Self::keep`] finds it, if the cache does not have it and
    /// has room.
    pub(super) fn send(&self, layer: &NewLayer, out: &mut dyn Write) -> io::Result<()> {
        let is_here = self.0.size(&layer.diff_id) == Some(layer.size);
        let Some(mut draft) = (!is_here).then(|| self.0.draft()).flatten() else { return layer.tar.write_tar(out) };
        layer.tar.write_tar(&mut Heard::new(out, |bytes| draft.write(bytes)))?;
        draft.keep(&layer.diff_id, layer.size);
        Ok(())
    }

    /// Keeps the layers of an image that was written, and no others. Of a layer whose bytes are not at hand the daemon
    /// alone has a copy.
    pub(super) fn keep(&self, layers: &[(&DiffId, Option<&NewLayer>)], events: &dyn Events) {
        let has = |diff_id: &DiffId| self.0.layer(diff_id).is_ok();
        if layers.iter().all(|(diff_id, layer)| layer.is_none() || has(diff_id)) {
            return;
        }
        if let Err(error) = self.replace(layers) {
            events.emit(CacheEvent::LaunchCacheFailed(error.to_string()).into());
        }
    }

    fn replace(&self, layers: &[(&DiffId, Option<&NewLayer>)]) -> Result<(), CacheError> {
        for (diff_id, layer) in layers {
            match (self.0.reuse(diff_id), layer) {
                // What is damaged is as good as missing: it goes, and comes again when its bytes are at hand.
                (Ok(()), _) | (Err(CacheError::Missing(_) | CacheError::Corrupt { .. }), None) => {}
                (Err(_), Some(layer)) => self.0.add(layer)?,
                (Err(error), None) => return Err(error),
            }
        }
        self.0.commit(&CacheMetadata::default())
    }
}
