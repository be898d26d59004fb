//! Images in memory, for tests of phases.
//!
//! Behaves as a registry, a daemon or a layout does, keeps the bytes of every layer and remembers every write. Images
//! can be put in, made corrupt, and denied by name.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::media;
use super::sha256::{self, Sha256, Verified};
use crate::effect::images::{
    DraftLayer, ImageDraft, ImageError, Images, NewLayer, Opened, Registry, StoreKind, TarSource, WrittenImage,
};
use crate::model::digest::{DiffId, Digest};
use crate::model::image::{Descriptor, ImageConfig, ImageRecord, MediaFamily, StoredImageLayer};
use crate::model::reference::Reference;

/// Images in memory.
#[derive(Debug)]
pub struct MemoryImages {
    kind: StoreKind,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeMap<String, ImageRecord>,
    corrupt: BTreeMap<String, String>,
    tars: BTreeMap<DiffId, Arc<Vec<u8>>>,
    denied_reads: BTreeMap<String, String>,
    denied_writes: BTreeMap<String, String>,
    opened: Vec<String>,
    stored: Vec<String>,
    writes: Vec<MemoryWrite>,
}

/// A write that [`MemoryImages`] was asked for and did.
#[derive(Clone, Debug)]
pub struct MemoryWrite {
    /// The names that were asked for, also those that were denied.
    pub names: Vec<String>,
    /// The draft.
    pub draft: ImageDraft,
    /// What it became, as it would be opened under the first name.
    pub record: ImageRecord,
    /// The tar of each new layer, in the draft's order.
    pub new_tars: Vec<(String, Vec<u8>)>,
}

/// A tar in memory as the source of a new layer.
pub struct TarBytes(pub Vec<u8>);

impl fmt::Debug for TarBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TarBytes({} bytes)", self.0.len())
    }
}

impl TarSource for TarBytes {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.0)
    }
}

/// Makes a new layer of a tar in memory, with the right diff id and size.
pub fn new_layer(id: &str, tar: Vec<u8>) -> NewLayer {
    NewLayer { id: id.to_owned(), diff_id: diff_id(&tar), size: tar.len() as u64, tar: Arc::new(TarBytes(tar)) }
}

/// The diff id of a tar in memory.
pub fn diff_id(tar: &[u8]) -> DiffId {
    let mut hash = Sha256::new();
    hash.update(tar);
    DiffId::from_sha256(&hash.finish())
}

impl MemoryImages {
    /// An empty store that says it is of this kind.
    pub fn new(kind: StoreKind) -> Self {
        Self { kind, state: Mutex::default() }
    }

    /// Puts an image in: its history and diff ids are made of `tars`.
    pub fn insert(&self, name: &str, config: ImageConfig, tars: Vec<Vec<u8>>) -> ImageRecord {
        let mut state = self.lock();
        let diff_ids: Vec<DiffId> = tars
            .into_iter()
            .map(|tar| {
                let id = diff_id(&tar);
                state.tars.insert(id.clone(), Arc::new(tar));
                id
            })
            .collect();
        let config = ImageConfig { diff_ids, ..config };
        let layers = config.diff_ids.iter().map(|id| state.layer(id, MediaFamily::Docker)).collect();
        let record = self.record(name, MediaFamily::Docker, config, layers, BTreeMap::new());
        state.images.insert(record.identifier.clone(), record.clone());
        state.images.insert(name.to_owned(), record.clone());
        record
    }

    /// Puts an image in as it is. Its layers can be read where another image of this store has their bytes.
    pub fn insert_record(&self, record: ImageRecord) {
        let mut state = self.lock();
        state.images.insert(record.identifier.clone(), record.clone());
        state.images.insert(record.name.clone(), record);
    }

    /// Takes an image away, its name and its identifier.
    pub fn remove(&self, name: &str) {
        let mut state = self.lock();
        if let Some(image) = state.images.remove(name) {
            state.images.retain(|_, other| other.identifier != image.identifier);
        }
    }

    /// Makes the image of this name corrupt, for this reason.
    pub fn corrupt(&self, name: &str, reason: &str) {
        self.lock().corrupt.insert(name.to_owned(), reason.to_owned());
    }

    /// Denies reading the image of this name, with this message.
    pub fn deny_read(&self, name: &str, message: &str) {
        self.lock().denied_reads.insert(name.to_owned(), message.to_owned());
    }

    /// Denies writing the image of this name, storing the layer of this id, or deleting the image of this identifier,
    /// with this message.
    pub fn deny_write(&self, name: &str, message: &str) {
        self.lock().denied_writes.insert(name.to_owned(), message.to_owned());
    }

    /// The image of a name.
    pub fn get(&self, name: &str) -> Option<ImageRecord> {
        self.lock().images.get(name).cloned()
    }

    /// The tar of a layer, of whatever image.
    pub fn tar(&self, diff_id: &DiffId) -> Option<Vec<u8>> {
        self.lock().tars.get(diff_id).map(|tar| tar.as_ref().clone())
    }

    /// The names that were opened, in order.
    pub fn opened(&self) -> Vec<String> {
        self.lock().opened.clone()
    }

    /// The ids of the layers that were stored ahead of an image, in order.
    pub fn stored(&self) -> Vec<String> {
        self.lock().stored.clone()
    }

    /// Loses the bytes of a layer, of whatever image.
    pub fn lose(&self, diff_id: &DiffId) {
        self.lock().tars.remove(diff_id);
    }

    /// What was written, in order.
    pub fn writes(&self) -> Vec<MemoryWrite> {
        self.lock().writes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(
        &self,
        name: &str,
        family: MediaFamily,
        config: ImageConfig,
        layers: Vec<StoredImageLayer>,
        annotations: BTreeMap<String, String>,
    ) -> ImageRecord {
        let digest = sha256::digest(format!("{config:?} {layers:?}").as_bytes());
        let in_daemon = self.kind == StoreKind::Daemon;
        ImageRecord {
            name: name.to_owned(),
            identifier: self.identifier(name, &digest),
            family,
            manifest_media_type: if in_daemon { String::new() } else { media::manifest(family).to_owned() },
            config_media_type: if in_daemon { String::new() } else { media::config(family).to_owned() },
            annotations,
            artifact_type: String::new(),
            config,
            layers,
        }
    }

    fn identifier(&self, name: &str, digest: &Digest) -> String {
        match self.kind {
            StoreKind::Daemon => digest.hex().to_owned(),
            StoreKind::Layout => format!("{name}@{digest}"),
            StoreKind::Registry => match Reference::parse(name) {
                Ok(reference) => format!("{}@{digest}", reference.context()),
                Err(_) => format!("{name}@{digest}"),
            },
        }
    }
}

impl State {
    fn layer(&self, diff_id: &DiffId, family: MediaFamily) -> StoredImageLayer {
        let descriptor = Digest::parse(diff_id.as_str()).ok().map(|digest| Descriptor {
            media_type: media::plain_layer(family).to_owned(),
            size: self.tars.get(diff_id).map_or(0, |tar| tar.len() as u64),
            digest,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
        });
        StoredImageLayer { diff_id: diff_id.clone(), descriptor }
    }
}

fn denied(message: &str) -> ImageError {
    ImageError { message: message.to_owned(), retryable: false, denied: true }
}

impl Images for MemoryImages {
    fn kind(&self) -> StoreKind {
        self.kind
    }

    fn open(&self, name: &str) -> Result<Opened, ImageError> {
        let mut state = self.lock();
        state.opened.push(name.to_owned());
        if let Some(message) = state.denied_reads.get(name) {
            return Err(denied(message));
        }
        if let Some(reason) = state.corrupt.get(name) {
            return Ok(Opened::Corrupt(reason.clone()));
        }
        Ok(state.images.get(name).map_or(Opened::Missing, |image| {
            Opened::Found(Box::new(ImageRecord { name: name.to_owned(), ..image.clone() }))
        }))
    }

    fn check_read(&self, name: &str) -> Result<(), ImageError> {
        self.lock().denied_reads.get(name).map_or(Ok(()), |message| Err(denied(message)))
    }

    fn check_write(&self, name: &str) -> Result<(), ImageError> {
        self.check_read(name)?;
        self.lock().denied_writes.get(name).map_or(Ok(()), |message| Err(denied(message)))
    }

    fn layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        let tar = self.lock().tars.get(diff_id).cloned();
        match tar.filter(|_| image.layers.iter().any(|layer| &layer.diff_id == diff_id)) {
            Some(tar) => Ok(Box::new(Verified::new(Cursor::new(tar.as_ref().clone()), diff_id.as_str(), None))),
            None => Err(ImageError::permanent(format!("{} has no layer {diff_id}", image.identifier))),
        }
    }

    fn write(&self, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, ImageError> {
        let mut new_tars = Vec::new();
        let mut layers = Vec::new();
        let mut config = ImageConfig { history: Vec::new(), diff_ids: Vec::new(), ..draft.config.clone() };
        for (layer, history) in &draft.layers {
            let stored = match layer {
                DraftLayer::Base(index) => draft.base.layers.get(*index).cloned().ok_or_else(|| {
                    ImageError::permanent(format!("{} has no layer number {index}", draft.base.identifier))
                })?,
                DraftLayer::Reuse(diff_id) => draft
                    .previous
                    .as_ref()
                    .and_then(|image| image.layers.iter().find(|layer| &layer.diff_id == diff_id).cloned())
                    .ok_or_else(|| ImageError::permanent(format!("the previous image has no layer {diff_id}")))?,
                DraftLayer::New(new) => {
                    let mut tar = Vec::new();
                    new.tar.write_tar(&mut tar).map_err(|error| ImageError::permanent(error.to_string()))?;
                    let found = diff_id(&tar);
                    if found != new.diff_id || tar.len() as u64 != new.size {
                        return Err(ImageError::permanent(format!("layer {} is {found}, not {}", new.id, new.diff_id)));
                    }
                    new_tars.push((new.id.clone(), tar.clone()));
                    let mut state = self.lock();
                    state.tars.insert(found.clone(), Arc::new(tar));
                    state.layer(&found, draft.base.family)
                }
            };
            config.diff_ids.push(stored.diff_id.clone());
            config.history.push(history.clone());
            layers.push(stored);
        }
        let first = names.first().map_or("", String::as_str);
        let record = self.record(first, draft.base.family, config, layers, draft.base.annotations.clone());
        let digest = sha256::digest(format!("{:?} {:?}", record.config, record.layers).as_bytes());
        let mut state = self.lock();
        let mut results = Vec::new();
        for name in names {
            if let Some(message) = state.denied_writes.get(name) {
                results.push((name.clone(), Err(message.clone())));
                continue;
            }
            let identifier = self.identifier(name, &digest);
            let image = ImageRecord { name: name.clone(), identifier: identifier.clone(), ..record.clone() };
            state.images.insert(identifier, image.clone());
            state.images.insert(name.clone(), image);
            results.push((name.clone(), Ok(())));
        }
        let id = match self.kind {
            StoreKind::Registry => digest.to_string(),
            StoreKind::Daemon => digest.hex()[..12].to_owned(),
            StoreKind::Layout => record.identifier.clone(),
        };
        state.writes.push(MemoryWrite { names: names.to_vec(), draft: draft.clone(), record, new_tars });
        Ok(WrittenImage {
            id,
            image_id: (self.kind == StoreKind::Daemon).then(|| digest.hex().to_owned()),
            digest: (self.kind == StoreKind::Registry).then_some(digest),
            manifest_size: 1,
            names: results,
        })
    }
}

impl Registry for MemoryImages {
    fn lost_layers(&self, image: &ImageRecord) -> Result<Vec<DiffId>, ImageError> {
        let state = self.lock();
        let lost = image.layers.iter().filter(|layer| !state.tars.contains_key(&layer.diff_id));
        Ok(lost.map(|layer| layer.diff_id.clone()).collect())
    }

    fn unverified_layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        self.layer(image, diff_id)
    }

    fn store_layer(&self, name: &str, layer: &NewLayer) -> Result<(), ImageError> {
        let mut tar = Vec::new();
        layer.tar.write_tar(&mut tar).map_err(|error| ImageError::permanent(error.to_string()))?;
        let mut state = self.lock();
        if let Some(message) = state.denied_writes.get(name).or_else(|| state.denied_writes.get(&layer.id)) {
            return Err(ImageError { denied: state.denied_writes.contains_key(name), ..denied(message) });
        }
        state.stored.push(layer.id.clone());
        state.tars.insert(layer.diff_id.clone(), Arc::new(tar));
        Ok(())
    }

    fn delete(&self, image: &ImageRecord) -> Result<(), ImageError> {
        let mut state = self.lock();
        if let Some(message) = state.denied_writes.get(&image.identifier) {
            return Err(denied(message));
        }
        state.images.retain(|_, other| other.identifier != image.identifier);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::conforms::{conforms, run_config};
    use crate::model::image::History;

    #[test]
    fn does_what_every_store_does() {
        for kind in [StoreKind::Registry, StoreKind::Daemon, StoreKind::Layout] {
            let images = MemoryImages::new(kind);
            images.insert("a.io/run", run_config(), vec![b"one".to_vec(), b"two".to_vec()]);
            conforms(&images, "a.io/run", &["a.io/app".to_owned(), "a.io/app:two".to_owned()]);
        }
    }

    #[test]
    fn gives_back_what_was_written() {
        let images = MemoryImages::new(StoreKind::Registry);
        let base = images.insert("a.io/run", ImageConfig::default(), vec![b"base".to_vec()]);
        let draft = ImageDraft {
            base: base.clone(),
            previous: None,
            config: base.config.clone(),
            layers: vec![
                (DraftLayer::Base(0), History::default()),
                (DraftLayer::New(new_layer("app", b"app".to_vec())), History::default()),
            ],
        };
        images.deny_write("a.io/denied", "no");
        let written = images.write(&draft, &["a.io/app".to_owned(), "a.io/denied".to_owned()]).unwrap();
        assert_eq!(written.names[1].1, Err("no".to_owned()));
        let Opened::Found(app) = images.open("a.io/app").unwrap() else { panic!("missing") };
        assert_eq!(Some(app.identifier.as_str()), written.digest.map(|d| format!("a.io/app@{d}")).as_deref());
        let mut tar = Vec::new();
        images.layer(&app, &diff_id(b"app")).unwrap().read_to_end(&mut tar).unwrap();
        assert_eq!(tar, b"app");
        assert_eq!(images.open("a.io/denied").unwrap(), Opened::Missing);
    }
}
