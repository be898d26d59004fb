//! Tests of registries, against one in this process.

mod credentials;
mod fuzz;
mod reading;
mod uploads;
mod writing;

use super::fake::FakeRegistry;
use super::retry::tests::NoPause;
use super::*;
use crate::effect::events::Event;
use crate::effect::images::DraftLayer;
use crate::image::conforms::{Heard, found, layer, made_by, run_config};
use crate::model::image::MediaFamily;

pub(super) struct World {
    pub(super) registry: FakeRegistry,
    pub(super) images: RegistryImages,
    pub(super) heard: Arc<Heard>,
    pub(super) pause: Arc<NoPause>,
    _temporary: tempfile::TempDir,
}

fn client(change: impl FnOnce(&mut RegistryConfig)) -> (RegistryImages, Arc<Heard>, Arc<NoPause>, tempfile::TempDir) {
    let temporary = tempfile::tempdir().unwrap();
    let mut config = RegistryConfig::new("amd64", temporary.path().to_owned());
    change(&mut config);
    let (heard, pause) = (Arc::new(Heard::default()), Arc::new(NoPause::new()));
    (RegistryImages::with_pause(config, heard.listener(), pause.clone()), heard, pause, temporary)
}

impl World {
    fn new() -> Self {
        Self::with(|_, _| ())
    }

    /// A registry with the image `run`, and a client.
    fn with(change: impl FnOnce(&mut RegistryConfig, &FakeRegistry)) -> Self {
        let registry = FakeRegistry::start();
        let (images, heard, pause, temporary) = client(|config| change(config, &registry));
        let world = Self { registry, images, heard, pause, _temporary: temporary };
        let auth = std::mem::take(&mut world.registry.state().auth);
        world.put_run("run", MediaFamily::Oci);
        world.registry.state().auth = auth;
        world.registry.seen();
        world
    }

    /// A client that knows nothing yet, of the same registry.
    fn another(&self, change: impl FnOnce(&mut RegistryConfig)) -> (RegistryImages, tempfile::TempDir) {
        let (images, _, _, temporary) = client(change);
        self.registry.seen();
        (images, temporary)
    }

    fn put_run(&self, name: &str, family: MediaFamily) {
        let (images, _, _, _temporary) = client(|_| ());
        let draft = ImageDraft {
            base: ImageRecord::nothing(family),
            previous: None,
            config: run_config(),
            layers: vec![
                (DraftLayer::New(layer("run1", 10, 5000)), made_by("base")),
                (DraftLayer::New(layer("run2", 11, 6000)), made_by("base")),
            ],
        };
        let written = images.write(&draft, &[self.registry.name(name)]).unwrap();
        assert_eq!(written.names[0].1, Ok(()));
    }

    fn name(&self, repository: &str) -> String {
        self.registry.name(repository)
    }

    fn run(&self) -> ImageRecord {
        let run = found(&self.images, &self.name("run"));
        self.registry.seen();
        run
    }

    fn error(&self, name: &str) -> ImageError {
        self.images.open(&self.name(name)).unwrap_err()
    }
}

fn written(images: &RegistryImages, draft: &ImageDraft, name: String) -> Result<(), String> {
    images.write(draft, &[name]).unwrap().names.remove(0).1
}

fn count(seen: &[String], start: &str) -> usize {
    seen.iter().filter(|line| line.starts_with(start)).count()
}
