//! What every image store must do, whatever it is: run against each of them.
//!
//! Writes an image twice, reads it back and counts everything again: layers, history, diff ids, tars. What is left on
//! disk or in a registry is looked at by each store's own tests.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::memory::{diff_id, new_layer};
use crate::effect::events::{Event, Events, Listener, Outcome, Work};
use crate::effect::images::Measured;
use crate::effect::images::{DraftLayer, ImageDraft, Images, NewLayer, Opened, TarSource, WrittenImage};
use crate::model::digest::DiffId;
use crate::model::image::{ContainerConfig, History, ImageConfig, ImageRecord};

/// Keeps what it hears.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Event>>);

impl Events for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    pub(crate) fn listener(self: &Arc<Self>) -> Listener {
        Listener { events: Arc::clone(self) as Arc<dyn Events>, parent: None }
    }

    /// The layers that were written, with their sizes in bytes.
    pub(crate) fn written(&self) -> Vec<(String, Option<u64>)> {
        let heard = self.0.lock().unwrap();
        let layers = heard.iter().filter_map(|event| match event {
            Event::Begin { id, work: Work::WriteLayer(layer), .. } => Some((*id, layer.clone())),
            _ => None,
        });
        let ended = |wanted| {
            heard.iter().find_map(|event| match event {
                Event::End { id, outcome: Outcome::Success, facts } if *id == wanted => facts.bytes,
                _ => None,
            })
        };
        layers.map(|(id, layer)| (layer, ended(id))).collect()
    }
}

/// A configuration to start from, as a small run image has it.
pub(crate) fn run_config() -> ImageConfig {
    ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: "2024-01-02T03:04:05Z".to_owned(),
        config: ContainerConfig {
            env: vec!["PATH=/bin".to_owned()],
            user: "1000:1000".to_owned(),
            ..ContainerConfig::default()
        },
        ..ImageConfig::default()
    }
}

/// A history entry.
pub(crate) fn made_by(who: &str) -> History {
    History { created: "1980-01-01T00:00:01Z".to_owned(), created_by: who.to_owned(), ..History::default() }
}

/// Some bytes that do not compress to nothing.
pub(crate) fn tar(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0] & 0x1f
    })
    .take(size)
    .collect()
}

/// A new layer of [`tar`].
pub(crate) fn layer(id: &str, seed: u64, size: usize) -> NewLayer {
    new_layer(id, tar(seed, size))
}

/// A draft: all layers of `base`, and new ones; two of the new ones are equal.
pub(crate) fn draft(base: &ImageRecord, previous: Option<&ImageRecord>, label: &str) -> ImageDraft {
    let mut config = base.config.clone();
    config.config.labels.insert("label".to_owned(), label.to_owned());
    let mut layers: Vec<_> =
        (0..base.layers.len()).map(|index| (DraftLayer::Base(index), made_by("run image"))).collect();
    for (id, seed, size) in [("app", 1, 200_000), ("empty", 2, 1024), ("launcher", 3, 20_000), ("empty", 2, 1024)] {
        let new = layer(id, seed, size);
        let old = previous.is_some_and(|image| image.layers.iter().any(|old| old.diff_id == new.diff_id));
        let layer = if old { DraftLayer::Reuse(new.diff_id) } else { DraftLayer::New(new) };
        layers.push((layer, made_by(id)));
    }
    ImageDraft { base: base.clone(), previous: previous.cloned(), config, layers }
}

pub(crate) fn found(images: &dyn Images, name: &str) -> ImageRecord {
    match images.open(name) {
        Ok(Opened::Found(image)) => *image,
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn read(images: &dyn Images, image: &ImageRecord, diff_id: &DiffId) -> Vec<u8> {
    let mut bytes = Vec::new();
    images.layer(image, diff_id).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn written(images: &dyn Images, draft: &ImageDraft, names: &[String]) -> WrittenImage {
    let written = images.write(draft, names).unwrap();
    assert_eq!(written.names.len(), names.len());
    assert!(written.names.iter().all(|(_, result)| result.is_ok()), "{written:?}");
    assert!(written.manifest_size > 0);
    written
}

fn check(images: &dyn Images, name: &str, draft: &ImageDraft) -> ImageRecord {
    let image = found(images, name);
    assert_eq!(image.name, name);
    assert_eq!(image.layers.len(), draft.layers.len());
    assert_eq!(image.config.diff_ids.len(), draft.layers.len());
    assert_eq!(image.config.history.len(), draft.layers.len());
    assert_eq!(image.config.config, draft.config.config);
    assert_eq!(image.family, draft.base.family);
    for (layer, diff) in image.layers.iter().zip(&image.config.diff_ids) {
        assert_eq!(&layer.diff_id, diff);
        let tar = read(images, &image, diff);
        assert_eq!(&diff_id(&tar), diff);
    }
    // Its identifier is the same image.
    let again = found(images, &image.identifier);
    assert_eq!(again.identifier, image.identifier);
    assert_eq!(again.config, image.config);
    image
}

/// Checks a store that has the run image `base`, whose layers can all be read, by writing `names`.
pub(crate) fn conforms(images: &dyn Images, base: &str, names: &[String]) {
    let name = names[0].as_str();
    assert_eq!(images.open(name).unwrap(), Opened::Missing);
    images.check_read(name).unwrap();
    images.check_write(name).unwrap();
    assert_eq!(images.open(name).unwrap(), Opened::Missing, "a check leaves nothing");

    let base = found(images, base);
    let first = draft(&base, None, "one");
    let id = written(images, &first, names);
    let image = check(images, name, &first);
    for other in names {
        check(images, other, &first);
    }
    assert_eq!(written(images, &first, names), id, "the same draft gives the same image");

    let second = draft(&base, Some(&image), "two");
    assert!(second.layers[base.layers.len()..].iter().all(|(layer, _)| matches!(layer, DraftLayer::Reuse(_))));
    let other = written(images, &second, names);
    assert_ne!(other.id, id.id);
    let next = check(images, name, &second);
    assert_eq!(next.layers, image.layers);
    // The image that was there before is still there.
    assert_eq!(found(images, &image.identifier).config, image.config);

    let missing = ImageDraft { layers: vec![(DraftLayer::Reuse(diff_id(b"?")), made_by("?"))], ..second.clone() };
    assert!(images.write(&missing, names).is_err());
    let beyond = ImageDraft { layers: vec![(DraftLayer::Base(99), made_by("?"))], ..second.clone() };
    assert!(images.write(&beyond, names).is_err());
    let mut lying = layer("lying", 5, 2000);
    lying.diff_id = diff_id(b"?");
    let lying = ImageDraft { layers: vec![(DraftLayer::New(lying), made_by("?"))], ..second };
    assert!(images.write(&lying, names).is_err());
    assert_eq!(found(images, name), next, "a failed write changes nothing");

    keeps_layers_ahead(images, name, &base, names);
    let next = found(images, name);
    assert!(images.layer(&next, &diff_id(b"?")).is_err());
}

/// A source that can be read once.
#[derive(Debug)]
pub(crate) struct Once(pub(crate) Vec<u8>, pub(crate) AtomicBool);

impl TarSource for Once {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.1.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("read again"));
        }
        out.write_all(&self.0)
    }
}

#[derive(Debug)]
struct Gone;

impl TarSource for Gone {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&vec![0; 3 << 20])?;
        Err(io::Error::other("open /layers/a/b: gone"))
    }
}

/// What a store keeps ahead is in the image under all its names, and is not read again for it.
fn keeps_layers_ahead(images: &dyn Images, name: &str, base: &ImageRecord, names: &[String]) {
    let error = match images.keep(name, "gone", &Gone) {
        Ok(None) => return,
        Ok(Some(_)) => panic!("kept a layer that is gone"),
        Err(error) => error,
    };
    assert_eq!(error.to_string(), "open /layers/a/b: gone");
    let mut draft = draft(base, None, "kept");
    for (id, seed, size) in [("big", 11, 5_000_000), ("small", 12, 3000), ("exact", 13, 2 << 20)] {
        let once = Arc::new(Once(tar(seed, size), AtomicBool::new(false)));
        let Measured { diff_id, size, .. } = images.keep(name, id, once.as_ref()).unwrap().unwrap();
        assert_eq!((diff_id.clone(), size), (super::memory::diff_id(&once.0), once.0.len() as u64));
        let layer = NewLayer { id: id.to_owned(), diff_id, size, tar: once };
        draft.layers.push((DraftLayer::New(layer), made_by(id)));
    }
    written(images, &draft, names);
    for name in names {
        check(images, name, &draft);
    }
}
