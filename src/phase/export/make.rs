//! Makes planned layers: their tars and diff ids, several at once, and tells which the previous image already has.
//!
//! Catalogue 2, sections 2.3 and 2.4. Where the previous image may have a layer, it is only hashed, and whoever writes it
//! reads its files again. Where it cannot, the image store keeps the layer in the same pass, if it can.

use std::path::Path;
use std::sync::Arc;

use super::Error;
use super::kept::Kept;
use super::plan::{Content, Part, Planned};
use crate::archive::{self, Notice, Owner, Tar};
use crate::effect::Effects;
use crate::effect::cache::{Cache, LayerDraft};
use crate::effect::events::{CacheEvent, Event, ExportEvent, Facts, LayerNotice, Outcome, Work};
use crate::effect::images::Measured;
use crate::effect::images::{DraftLayer, NewLayer, StoreKind, TarSource};
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::seal::Seals;
use crate::phase::parallel;

/// How many layers are made at the same time, at least: a registry that is sent some of them takes its time.
const AT_ONCE: usize = 4;

/// How layers of folders are made.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// To whom their contents belong.
    pub owner: Owner,
    /// Seals of those that were restored in this build.
    pub seals: &'a Seals,
    /// Where layers for the next build go.
    pub cache: Option<&'a dyn Cache>,
}

impl<'a> Source<'a> {
    /// What a layer comes to, if it was restored and not touched since.
    fn sealed(&self, path: &Path, tar: &Tar) -> Option<Measured> {
        self.seals.get(path)?.measured(tar)
    }

    /// A place in the cache for a layer that is about to be read. One that was restored and not touched is not: the cache
    /// has it.
    fn draft(&self, sealed: Option<&Measured>) -> Option<Box<dyn LayerDraft + 'a>> {
        self.cache.filter(|_| sealed.is_none())?.draft()
    }
}

/// A layer of the image whose diff id is known.
#[derive(Debug)]
pub(super) struct Made<'a> {
    /// What was planned.
    pub planned: &'a Planned,
    /// Its diff id.
    pub diff_id: DiffId,
    /// Its bytes; `None` when only the previous image has them.
    pub layer: Option<NewLayer>,
    /// The previous image has it.
    pub reused: bool,
    /// What to tell of its files.
    notices: Vec<Event>,
}

impl Made<'_> {
    /// The layer as the image store gets it. A daemon would have to give a layer out to get it back: it gets the one
    /// that was made, and takes no more of it than it needs.
    pub(super) fn draft(&self, kind: StoreKind) -> DraftLayer {
        match &self.layer {
            Some(layer) if !self.reused || kind == StoreKind::Daemon => DraftLayer::New(layer.clone()),
            _ => DraftLayer::Reuse(self.diff_id.clone()),
        }
    }
}

/// Makes all layers, in order, for the image of this name.
///
/// # Errors
/// A file cannot be read, or a layer must come from the previous image, which does not have it.
pub(super) fn all<'a>(
    effects: &Effects<'_>,
    planned: &'a [Planned],
    previous: Option<&ImageRecord>,
    name: Option<&str>,
    source: &Source<'_>,
) -> Result<Vec<Made<'a>>, Error> {
    let app_layers = planned.iter().filter(|layer| layer.part == Part::App).count();
    let mut app_made = 0;
    let mut app_reused = 0;
    let mut made = Vec::with_capacity(planned.len());
    parallel::in_order_by(
        AT_ONCE,
        planned,
        |planned| one(effects, planned, previous, name, source),
        |planned, mut layer| {
            for event in layer.notices.drain(..) {
                effects.emit(event);
            }
            let (id, diff_id, reused) = (planned.id.clone(), layer.diff_id.clone(), layer.reused);
            if planned.part == Part::App {
                if app_made == 0 {
                    effects.emit(ExportEvent::AppLayersBegin);
                }
                effects.emit(ExportEvent::AppLayer { id, diff_id });
                app_made += 1;
                app_reused += usize::from(reused);
                if app_made == app_layers {
                    effects.emit(ExportEvent::AppLayers { reused: app_reused, total: app_layers });
                }
            } else {
                effects.emit(ExportEvent::Layer { id, diff_id, reused });
            }
            made.push(layer);
        },
    )?;
    Ok(made)
}

fn one<'a>(
    effects: &Effects<'_>,
    planned: &'a Planned,
    previous: Option<&ImageRecord>,
    name: Option<&str>,
    source: &Source<'_>,
) -> Result<Made<'a>, Error> {
    let id = &planned.id;
    let is_there =
        |diff_id: &DiffId| previous.is_some_and(|image| image.layers.iter().any(|layer| layer.diff_id == *diff_id));
    let work = effects.begin(Work::HashLayer(id.clone()));
    let cached = matches!(&planned.part, Part::Buildpack { metadata, .. } if metadata.types.cache);
    let mut sealed = None;
    let (tar, notices): (Arc<dyn TarSource>, _) = match &planned.content {
        Content::Prepared(tar) => (Arc::clone(tar) as _, notices(id, tar, cached)),
        Content::Folder(path) => {
            let tar = folder(path, source.owner).map_err(|error| failed(planned, &error))?;
            let notices = notices(id, &tar, cached);
            sealed = source.sealed(path, &tar);
            (tar, notices)
        }
        Content::Repacked(layer) => (Arc::new(layer.clone()), Vec::new()),
        Content::Previous(diff_id) if is_there(diff_id) => {
            work.end(Outcome::Success, Facts { reused: Some(true), ..Facts::default() });
            return Ok(Made { planned, diff_id: diff_id.clone(), layer: None, reused: true, notices: Vec::new() });
        }
        Content::Previous(diff_id) => {
            return Err(Error::Refused(format!("reusing layer: '{id}': previous image has no layer {diff_id}")));
        }
    };
    // Labels do not name the layers of extensions; that it has the same bytes is enough.
    let is_extension = planned.part == Part::Extension;
    let may_be_there = if is_extension { previous.is_some() } else { planned.previous.iter().any(is_there) };
    let draft = if cached { source.draft(sealed.as_ref()) } else { None };
    let tar = Kept::new(tar, draft);
    let kept = match name.filter(|_| !may_be_there) {
        Some(name) => effects.images.keep(name, id, &tar),
        None => Ok(None),
    };
    let kept = kept.map_err(|error| failed(planned, &crate::os::error_text(&error)))?;
    let (layer, files) = measure(id, tar, kept.or(sealed)).map_err(|error| failed(planned, &error))?;
    let diff_id = layer.diff_id.clone();
    let is_named = is_extension || planned.previous.contains(&diff_id);
    let reused = is_named && is_there(&diff_id);
    let facts = Facts { bytes: Some(layer.size), files: Some(files), reused: Some(reused), ..Facts::default() };
    work.end(Outcome::Success, facts);
    Ok(Made { planned, diff_id, layer: Some(layer), reused, notices })
}

/// Makes a layer of a folder for a cache alone; also gives what to tell of its files.
///
/// # Errors
/// A file cannot be read.
pub(super) fn for_cache(id: &str, path: &Path, source: &Source<'_>) -> Result<(NewLayer, Vec<Event>), String> {
    let tar = folder(path, source.owner)?;
    let notices = notices(id, &tar, true);
    let sealed = source.sealed(path, &tar);
    let tar = Kept::new(tar, source.draft(sealed.as_ref()));
    measure(id, tar, sealed).map(|(layer, _)| (layer, notices))
}

fn folder(path: &Path, owner: Owner) -> Result<Arc<Tar>, String> {
    archive::directory(path, owner).map(Arc::new).map_err(|error| error.to_string())
}

/// What to tell of the files of a layer, which also goes into the cache if it is `cached`.
fn notices(id: &str, tar: &Tar, cached: bool) -> Vec<Event> {
    let told = |notice| Some(ExportEvent::LayerNotice { id: id.to_owned(), notice }.into());
    let event = |notice| match notice {
        Notice::CapabilityLost(path) => told(LayerNotice::CapabilityLost(path)),
        Notice::HardLinks(count) => told(LayerNotice::HardLinks(count)),
        Notice::SocketSkipped(path) => told(LayerNotice::SocketSkipped(path)),
        Notice::SpecialFile(path) => cached.then(|| CacheEvent::SpecialFile { id: id.to_owned(), path }.into()),
    };
    tar.notices().into_iter().filter_map(event).collect()
}

/// Makes a layer of a tar, which is hashed unless it is known what it comes to; and the number of its files.
fn measure(id: &str, tar: Kept<'_>, known: Option<Measured>) -> Result<(NewLayer, u64), String> {
    let measured = match known {
        Some(measured) => measured,
        None => archive::measure(&tar).map_err(|error| crate::os::error_text(&error))?,
    };
    let tar = tar.finish(&measured);
    let Measured { diff_id, size, files } = measured;
    Ok((NewLayer { id: id.to_owned(), diff_id, size, tar }, files))
}

/// Why a layer could not be made, in the words for its part of the image.
fn failed(planned: &Planned, error: &str) -> Error {
    Error::Other(match planned.part {
        Part::Extension => format!("failed to create layer '{}' of the extended run image: {error}", planned.id),
        Part::Buildpack { .. } | Part::Sbom => format!("creating layer: {error}"),
        Part::App => format!("exporting app layers: creating app layers: {error}"),
        Part::Launcher => format!("creating launcher layers: {error}"),
        Part::Config | Part::ProcessTypes => format!("creating layer '{}': {error}", planned.id),
    })
}
