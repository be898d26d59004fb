//! What extensions added to the run image.

use super::*;
use crate::model::digest::Digest;
use crate::model::image::{Descriptor, ImageRecord, StoredImageLayer};

/// A tar without entries that is told from others by its length.
fn tar(blocks: usize) -> Vec<u8> {
    vec![0; blocks * 512]
}

/// The blob of each tar of an extended run image is its bytes.
fn stored(tar: &[u8]) -> StoredImageLayer {
    let diff_id = diff_id(tar);
    let digest = Digest::parse(diff_id.as_str()).unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
    let size = tar.len() as u64;
    let descriptor = Descriptor { media_type, size, digest, urls: vec![], annotations: BTreeMap::new() };
    StoredImageLayer { diff_id, descriptor: Some(descriptor) }
}

impl World {
    /// Extends the run image by layers; `kept` are the tars whose blobs the extender left.
    fn extend(&mut self, layers: &[&[u8]], kept: &[&[u8]]) {
        let run = self.images.get(RUN_IMAGE).unwrap();
        let folder = self.folder("layers/extended/run/sha256:1");
        for tar in kept {
            let hex = diff_id(tar).hex().to_owned();
            let path = folder.join("blobs/sha256").join(hex);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, tar).unwrap();
        }
        let mut history = vec![
            History { created_by: "base".into(), ..History::default() },
            History { created_by: "a step without layer".into(), empty_layer: true, ..History::default() },
        ];
        history.extend((1..=layers.len()).map(|n| {
            let created_by = format!("Layer: 'RUN {n}', Created by extension: ext");
            History { created_by, author: "kaniko".into(), ..History::default() }
        }));
        let mut container = run.config.config.clone();
        container.user = "2000".into();
        container.env = vec!["PATH=/ext:/usr/bin".into(), "E=1".into()];
        container.labels = [("io.buildpacks.rebasable".to_owned(), "false".to_owned())].into();
        let config = ImageConfig { config: container, history, ..run.config.clone() };
        let layers = run.layers.iter().cloned().chain(layers.iter().map(|tar| stored(tar))).collect();
        self.extended = Some(ExtendedRunImage { image: ImageRecord { config, layers, ..run }, folder });
        self.analyzed.run_image.as_mut().unwrap().extend = true;
    }
}

#[test]
fn layers_of_extensions_lie_between_the_run_images_and_those_of_buildpacks() {
    let mut world = World::new();
    world.layer("a", "launch");
    let (one, two) = (tar(2), tar(4));
    world.extend(&[&one, &two], &[&one, &two]);
    let run = world.export();
    let ids = ["from extensions:extended-layer-1", "from extensions:extended-layer-2", "some/bp:a"];
    assert_eq!(run.new_layers()[..3], ids);
    let config = &run.write().record.config;
    let history: Vec<_> = config.history.iter().map(|entry| entry.created_by.as_str()).take(3).collect();
    let by_extension = "Layer: 'RUN 1', Created by extension: ext";
    assert_eq!(history, ["base", by_extension, "Layer: 'RUN 2', Created by extension: ext"]);
    assert!(config.history.iter().all(|entry| entry.created == "1980-01-01T00:00:01Z" && entry.author.is_empty()));
    // The run image is still the base, and nothing of the label is about extensions.
    let base = world.images.get(RUN_IMAGE).unwrap();
    let metadata = run.metadata();
    assert_eq!(metadata.run_image.top_layer, base.top_layer().unwrap().to_string());
    assert_eq!(metadata.run_image.reference, base.identifier);
    assert_eq!(metadata.buildpacks.len(), 1);
    assert_eq!(run.heard.layers()[0], (ids[0].to_owned(), false));
}

#[test]
fn the_configuration_is_that_of_the_extended_run_image() {
    for (extend, user) in [(true, "2000"), (false, "1000")] {
        let mut world = World::new();
        world.extend(&[&tar(2)], &[&tar(2)]);
        world.analyzed.run_image.as_mut().unwrap().extend = extend;
        let run = world.export();
        let config = &run.write().record.config.config;
        assert_eq!((config.user.as_str(), run.label("io.buildpacks.rebasable").is_some()), (user, extend));
        assert_eq!(run.label("from.run.image").is_none(), extend);
        let path = if extend { "/ext:/usr/bin" } else { "/usr/bin" };
        assert!(config.env.contains(&format!("PATH=/cnb/process:/cnb/lifecycle:{path}")));
        assert_eq!(config.env.contains(&"E=1".to_owned()), extend);
        assert_eq!(config.cmd, None);
        assert_eq!(run.heard.export().contains(&ExportEvent::ExtendedConfig), extend);
        assert_eq!(run.new_layers()[0], "from extensions:extended-layer-1");
    }
}

#[test]
fn below_0_12_an_extended_run_image_is_nothing() {
    let mut world = World::new();
    world.extend(&[&tar(2)], &[&tar(2)]);
    world.api = "0.11";
    let run = world.export();
    assert_eq!(run.new_layers()[0], "slice-1");
    assert_eq!(run.write().record.config.config.user, "1000");
}

#[test]
fn a_layer_that_the_extender_left_out_is_one_that_it_began_with() {
    let mut world = World::new();
    world.extend(&[&tar(2), &tar(4)], &[&tar(4)]);
    let run = world.export();
    assert_eq!(run.new_layers()[..2], ["from extensions:extended-layer-2", "slice-1"]);
    let by_extension = "Layer: 'RUN 2', Created by extension: ext";
    assert_eq!(run.write().record.config.history[1].created_by, by_extension);
}

#[test]
fn a_layer_of_the_run_image_is_not_taken_again_when_an_extension_made_the_same() {
    let mut world = World::new();
    let config = world.images.get(RUN_IMAGE).unwrap().config;
    let run = world.images.insert(RUN_IMAGE, config, vec![tar(2)]);
    world.analyzed.run_image.as_mut().unwrap().reference = run.identifier;
    world.extend(&[&tar(2), &tar(2)], &[&tar(2)]);
    // The run image's own layer has a blob in the layout only because the extension's has the same bytes.
    world.extended.as_mut().unwrap().image.layers[0] = stored(&tar(2));
    let run = world.export();
    let ids = ["from extensions:extended-layer-1", "from extensions:extended-layer-2", "slice-1"];
    assert_eq!(run.new_layers()[..3], ids);
}

#[test]
fn the_next_build_reuses_layers_of_extensions_that_are_the_same() {
    let mut world = World::new();
    world.extend(&[&tar(2), &tar(4)], &[&tar(2), &tar(4)]);
    let first = world.export().write().record.identifier.clone();
    world.analyze();
    let run = world.export();
    assert!(run.heard.layers().contains(&("from extensions:extended-layer-2".to_owned(), true)));
    assert!(run.new_layers().is_empty());
    assert_eq!(run.write().record.identifier, first);
}

#[test]
fn a_layer_that_is_not_what_it_should_be_ends_the_export() {
    let mut world = World::new();
    world.extend(&[&tar(2)], &[&tar(2)]);
    let folder = world.extended.as_ref().unwrap().folder.clone();
    fs::write(folder.join("blobs/sha256").join(diff_id(&tar(2)).hex()), tar(3)).unwrap();
    let run = world.export();
    let expected = format!(
        "failed to create layer 'from extensions:extended-layer-1' of the extended run image: expected layer contents \
         to have SHA '{}'; found '{}'",
        diff_id(&tar(2)),
        diff_id(&tar(3))
    );
    assert_eq!(run.error(), expected);
    assert!(run.write.is_none());
}
