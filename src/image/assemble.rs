//! From a draft to bytes: the configuration and the manifest of an image.
//!
//! Catalogue 2, sections 2.5 and 2.6. Pure: which blobs the new layers became is an argument. Nothing leaves here that
//! does not fit together (policy P26).

use std::collections::BTreeMap;

use super::blob::Blob;
use super::{media, sha256};
use crate::effect::images::{DraftLayer, ImageDraft, ImageError};
use crate::model::digest::{DiffId, Digest, EMPTY_LAYER};
use crate::model::image::{Descriptor, ImageConfig, ImageRecord, StoredImageLayer};
use crate::schema::image::{Manifest, parse_config, render_config, render_manifest};

/// An image as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The configuration.
    pub config: Vec<u8>,
    /// How the manifest names it.
    pub config_descriptor: Descriptor,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// How an index names it.
    pub manifest_descriptor: Descriptor,
    /// The layers, first to last.
    pub layers: Vec<Descriptor>,
}

/// Why an image does not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A draft asks for a layer that its base does not have.
    #[error("the base image {image} has no layer number {index}")]
    NoBaseLayer {
        /// The base image.
        image: String,
        /// The layer's index.
        index: usize,
    },
    /// A draft asks for a layer that the previous image does not have.
    #[error("failed to get layer by diffID: unknown diffID {0}")]
    NoPreviousLayer(DiffId),
    /// A layer is of an image without manifest, as a daemon has them.
    #[error("layer {0} has no descriptor")]
    NoDescriptor(DiffId),
    /// A new layer was not stored.
    #[error("layer {id} was not stored")]
    NotStored {
        /// The layer.
        id: String,
    },
    /// A layer's history entry says that there is no layer.
    #[error("the history of layer {0} is one of an empty layer")]
    EmptyHistory(DiffId),
    /// The manifest and the configuration disagree on the number of layers.
    #[error("the manifest has {manifest} layers and the config has {config}")]
    Count {
        /// Layers in the manifest.
        manifest: usize,
        /// Diff ids in the configuration.
        config: usize,
    },
    /// A layer's blob is empty, which not even an empty archive is.
    #[error("layer {0} has an empty blob")]
    EmptyBlob(DiffId),
    /// A compressed layer has the digest of its own uncompressed bytes.
    #[error("layer {0} is compressed and has its diff id as digest")]
    DigestIsDiffId(DiffId),
    /// The same blob is there as two layers with different content.
    #[error("blob {0} stands for layers with different diff ids")]
    SharedBlob(Digest),
    /// A document cannot be read.
    #[error("{0}")]
    Document(String),
}

impl From<Error> for ImageError {
    fn from(error: Error) -> Self {
        Self::permanent(error.to_string())
    }
}

/// Makes the documents of an image. `stored` has the blobs of the draft's new layers, `annotations` go into the manifest
/// besides those of the base.
///
/// # Errors
/// The image would not fit together; see [`Error`].
pub fn assemble(
    draft: &ImageDraft,
    stored: &BTreeMap<DiffId, Blob>,
    annotations: &BTreeMap<String, String>,
) -> Result<Assembled, Error> {
    let family = draft.base.family;
    let mut layers = Vec::with_capacity(draft.layers.len());
    let mut history = Vec::with_capacity(draft.layers.len());
    for (layer, entry) in &draft.layers {
        let layer = find(layer, draft, stored)?;
        if entry.empty_layer {
            return Err(Error::EmptyHistory(layer.0));
        }
        layers.push(layer);
        history.push(entry.clone());
    }
    check_layers(&layers)?;
    let (diff_ids, mut layers): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
    // A layer may come from an image of the other family: one manifest with names of both is refused by some.
    for layer in &mut layers {
        layer.media_type = media::layer_in(family, &layer.media_type).to_owned();
    }

    let config = render_config(&ImageConfig { history, diff_ids, ..draft.config.clone() });
    let config_descriptor = describe(or(&draft.base.config_media_type, media::config(family)), &config);
    let mut all = draft.base.annotations.clone();
    all.extend(annotations.clone());
    let media_type = or(&draft.base.manifest_media_type, media::manifest(family));
    let manifest = render_manifest(&Manifest {
        media_type: media_type.to_owned(),
        config: config_descriptor.clone(),
        layers: layers.clone(),
        annotations: all,
        artifact_type: draft.base.artifact_type.clone(),
    });
    let manifest_descriptor = describe(media_type, &manifest);
    Ok(Assembled { config, config_descriptor, manifest, manifest_descriptor, layers })
}

/// The layer's descriptor of this very position: layers with the same content may be compressed differently.
fn find(
    layer: &DraftLayer,
    draft: &ImageDraft,
    stored: &BTreeMap<DiffId, Blob>,
) -> Result<(DiffId, Descriptor), Error> {
    let known = |layer: &StoredImageLayer| match &layer.descriptor {
        Some(descriptor) => Ok((layer.diff_id.clone(), descriptor.clone())),
        None => Err(Error::NoDescriptor(layer.diff_id.clone())),
    };
    match layer {
        DraftLayer::Base(index) => match draft.base.layers.get(*index) {
            Some(layer) => known(layer),
            None => Err(Error::NoBaseLayer { image: draft.base.identifier.clone(), index: *index }),
        },
        DraftLayer::Reuse(diff_id) => {
            let layers = draft.previous.iter().flat_map(|image| &image.layers);
            match layers.into_iter().find(|layer| &layer.diff_id == diff_id) {
                Some(layer) => known(layer),
                None => Err(Error::NoPreviousLayer(diff_id.clone())),
            }
        }
        DraftLayer::New(new) => match stored.get(&new.diff_id) {
            Some(blob) => {
                let descriptor = Descriptor {
                    media_type: media::layer(draft.base.family).to_owned(),
                    size: blob.size,
                    digest: blob.digest.clone(),
                    urls: Vec::new(),
                    annotations: BTreeMap::new(),
                };
                Ok((new.diff_id.clone(), descriptor))
            }
            None => Err(Error::NotStored { id: new.id.clone() }),
        },
    }
}

/// Makes a record of the documents of an image that was found.
///
/// # Errors
/// They do not fit together: the image is corrupt.
pub fn record(name: &str, identifier: String, manifest: Manifest, config: &[u8]) -> Result<ImageRecord, Error> {
    let config = parse_config(config).map_err(|error| Error::Document(format!("reading image config: {error}")))?;
    if manifest.layers.len() != config.diff_ids.len() {
        return Err(Error::Count { manifest: manifest.layers.len(), config: config.diff_ids.len() });
    }
    let layers: Vec<_> = config.diff_ids.iter().cloned().zip(manifest.layers).collect();
    check_layers(&layers)?;
    Ok(ImageRecord {
        name: name.to_owned(),
        identifier,
        family: media::family(&manifest.media_type),
        manifest_media_type: manifest.media_type,
        config_media_type: manifest.config.media_type,
        annotations: manifest.annotations,
        artifact_type: manifest.artifact_type,
        config,
        layers: layers
            .into_iter()
            .map(|(diff_id, descriptor)| StoredImageLayer { diff_id, descriptor: Some(descriptor) })
            .collect(),
    })
}

/// Refuses the faults of image libraries that others have shipped (policy B1, B2, B3).
fn check_layers(layers: &[(DiffId, Descriptor)]) -> Result<(), Error> {
    let mut seen: BTreeMap<&Digest, &DiffId> = BTreeMap::new();
    for (diff_id, descriptor) in layers {
        if descriptor.size == 0 {
            return Err(Error::EmptyBlob(diff_id.clone()));
        }
        let compressed = [".gzip", "+gzip", "+zstd"].iter().any(|end| descriptor.media_type.ends_with(end));
        // The reference writes caches without layers so: an empty tar, not compressed, called compressed.
        let is_empty_tar = diff_id.as_str() == EMPTY_LAYER;
        if compressed && !is_empty_tar && descriptor.digest.as_str() == diff_id.as_str() {
            return Err(Error::DigestIsDiffId(diff_id.clone()));
        }
        if seen.insert(&descriptor.digest, diff_id).is_some_and(|other| other != diff_id) {
            return Err(Error::SharedBlob(descriptor.digest.clone()));
        }
    }
    Ok(())
}

/// Whether a layer must not be passed on: it is fetched from elsewhere.
pub fn is_foreign(descriptor: &Descriptor) -> bool {
    descriptor.media_type.contains(".foreign.") || descriptor.media_type.contains(".nondistributable.")
}

fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        size: bytes.len() as u64,
        digest: sha256::digest(bytes),
        urls: Vec::new(),
        annotations: BTreeMap::new(),
    }
}

fn or<'a>(found: &'a str, default: &'a str) -> &'a str {
    if found.is_empty() { default } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::conforms::{draft, layer, made_by, run_config};
    use crate::image::memory::{diff_id, new_layer};
    use crate::model::image::MediaFamily;
    use crate::schema::image::{Document, parse_document};

    fn descriptor(content: &str, media_type: &str) -> Descriptor {
        describe(media_type, content.as_bytes())
    }

    /// A base image with the layers "one" and "two", compressed so that the blobs are "1" and "2".
    fn base(family: MediaFamily) -> ImageRecord {
        let media_type = media::layer(family);
        ImageRecord {
            name: "run".to_owned(),
            identifier: "a.io/run@sha256:00".to_owned(),
            family,
            manifest_media_type: media::manifest(family).to_owned(),
            config_media_type: media::config(family).to_owned(),
            annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            artifact_type: "application/x".to_owned(),
            config: ImageConfig { diff_ids: vec![diff_id(b"one"), diff_id(b"two")], ..run_config() },
            layers: [("one", "1"), ("two", "2")]
                .map(|(tar, blob)| StoredImageLayer {
                    diff_id: diff_id(tar.as_bytes()),
                    descriptor: Some(descriptor(blob, media_type)),
                })
                .into(),
        }
    }

    fn stored(draft: &ImageDraft) -> BTreeMap<DiffId, Blob> {
        let blob = |layer: &DraftLayer| match layer {
            DraftLayer::New(new) => {
                let digest = sha256::digest(new.diff_id.as_str().as_bytes());
                Some((new.diff_id.clone(), Blob { digest, size: 7 }))
            }
            _ => None,
        };
        draft.layers.iter().filter_map(|(layer, _)| blob(layer)).collect()
    }

    fn assembled(draft: &ImageDraft) -> Result<Assembled, Error> {
        assemble(draft, &stored(draft), &BTreeMap::new())
    }

    #[test]
    fn documents_are_read_back_as_they_were_meant() {
        for family in [MediaFamily::Docker, MediaFamily::Oci] {
            let draft = draft(&base(family), None, "x");
            let image = assembled(&draft).unwrap();
            let Document::Manifest(manifest) = parse_document(&image.manifest).unwrap() else { panic!("an index") };
            assert!(manifest.layers.iter().all(|layer| layer.media_type == media::layer(family)));
            assert_eq!(manifest.layers, image.layers);
            assert_eq!(manifest.config, image.config_descriptor);
            let record = record("app", "id".to_owned(), manifest, &image.config).unwrap();
            assert_eq!(record.family, family);
            assert_eq!(record.annotations, draft.base.annotations);
            assert_eq!(record.artifact_type, "application/x");
            assert_eq!(record.layers[..2], draft.base.layers);
            assert_eq!(record.config.history, draft.layers.iter().map(|(_, entry)| entry.clone()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn equal_layers_both_stay() {
        let draft = draft(&base(MediaFamily::Oci), None, "x");
        let image = assembled(&draft).unwrap();
        assert_eq!(image.layers.len(), 6);
        assert_eq!(image.layers[3], image.layers[5]);
    }

    #[test]
    fn a_reused_layer_keeps_its_blob_and_is_called_as_in_the_manifest() {
        let mut previous = base(MediaFamily::Docker);
        previous.layers.rotate_left(1);
        let reused = |previous: &ImageRecord| {
            let draft = ImageDraft {
                previous: Some(previous.clone()),
                layers: vec![(DraftLayer::Reuse(diff_id(b"two")), made_by("a"))],
                ..draft(&base(MediaFamily::Oci), None, "x")
            };
            assembled(&draft).unwrap()
        };
        let expected = descriptor("2", media::layer(MediaFamily::Oci));
        assert_eq!(reused(&previous).layers, [expected]);
        // Whatever the previous image was: the same layers give the same manifest.
        assert_eq!(reused(&previous).manifest, reused(&base(MediaFamily::Oci)).manifest);
    }

    #[test]
    fn layers_of_a_base_are_called_as_in_the_manifest() {
        // So it is in a rebase: the manifest stays the app image's, of another family than the new run image.
        let rebased = ImageRecord { layers: base(MediaFamily::Oci).layers, ..base(MediaFamily::Docker) };
        let image = assembled(&draft(&rebased, None, "x")).unwrap();
        assert!(image.layers.iter().all(|layer| layer.media_type == media::layer(MediaFamily::Docker)));
        assert_eq!(image.layers[0].digest, sha256::digest(b"1"));
    }

    #[test]
    fn refuses_what_does_not_fit_together() {
        let whole = draft(&base(MediaFamily::Oci), None, "x");
        let with = |layer: DraftLayer| {
            let mut draft = whole.clone();
            draft.layers.push((layer, made_by("x")));
            assembled(&draft).unwrap_err()
        };
        let unknown = diff_id(b"?");
        assert_eq!(with(DraftLayer::Base(2)), Error::NoBaseLayer { image: whole.base.identifier.clone(), index: 2 });
        assert_eq!(with(DraftLayer::Reuse(unknown.clone())), Error::NoPreviousLayer(unknown.clone()));
        let not_stored =
            ImageDraft { layers: vec![(DraftLayer::New(layer("a", 1, 9)), made_by("a"))], ..whole.clone() };
        let error = assemble(&not_stored, &BTreeMap::new(), &BTreeMap::new()).unwrap_err();
        assert_eq!(error, Error::NotStored { id: "a".to_owned() });
        let mut no_history = whole.clone();
        no_history.layers[0].1.empty_layer = true;
        assert_eq!(assembled(&no_history).unwrap_err(), Error::EmptyHistory(diff_id(b"one")));
    }

    #[test]
    fn refuses_the_faults_of_other_libraries_in_a_base_image() {
        let bad = |change: &dyn Fn(&mut Vec<StoredImageLayer>)| {
            let mut base = base(MediaFamily::Oci);
            change(&mut base.layers);
            assembled(&draft(&base, None, "x")).unwrap_err()
        };
        let one = diff_id(b"one");
        let of = |layers: &mut Vec<StoredImageLayer>| layers[0].descriptor.clone().unwrap();
        assert_eq!(
            bad(&|layers| layers[0].descriptor = Some(Descriptor { digest: sha256::digest(b"one"), ..of(layers) })),
            Error::DigestIsDiffId(one.clone())
        );
        assert_eq!(
            bad(&|layers| layers[0].descriptor = Some(Descriptor { size: 0, ..of(layers) })),
            Error::EmptyBlob(one.clone())
        );
        assert_eq!(bad(&|layers| layers[1].descriptor = Some(of(layers))), Error::SharedBlob(sha256::digest(b"1")));
        assert_eq!(bad(&|layers| layers[0].descriptor = None), Error::NoDescriptor(one));
    }

    #[test]
    fn a_record_has_as_many_layers_as_diff_ids() {
        let image = assembled(&draft(&base(MediaFamily::Oci), None, "x")).unwrap();
        let Document::Manifest(mut manifest) = parse_document(&image.manifest).unwrap() else { panic!("an index") };
        manifest.layers.pop();
        let error = record("app", "id".to_owned(), manifest, &image.config).unwrap_err();
        assert_eq!(error, Error::Count { manifest: 5, config: 6 });
    }

    #[test]
    fn a_configuration_need_not_say_of_what_its_root_is() {
        let image = assembled(&draft(&base(MediaFamily::Oci), None, "x")).unwrap();
        let Document::Manifest(mut manifest) = parse_document(&image.manifest).unwrap() else { panic!("an index") };
        manifest.layers.clear();
        assert_eq!(record("app", "id".to_owned(), manifest, b"{}").map(|record| record.layers), Ok(vec![]));
    }

    #[test]
    fn an_empty_tar_may_be_called_compressed() {
        let image = assembled(&draft(&base(MediaFamily::Oci), None, "x")).unwrap();
        let Document::Manifest(mut manifest) = parse_document(&image.manifest).unwrap() else { panic!("an index") };
        manifest.layers = vec![Descriptor {
            digest: Digest::parse(EMPTY_LAYER).unwrap(),
            size: 1024,
            ..descriptor("", "application/vnd.oci.image.layer.v1.tar+gzip")
        }];
        let config = ImageConfig { diff_ids: vec![DiffId::parse(EMPTY_LAYER).unwrap()], ..run_config() };
        let config = render_config(&config);
        assert!(record("cache", "id".to_owned(), manifest, &config).is_ok());
    }

    #[test]
    fn a_layer_that_is_not_compressed_may_have_its_diff_id_as_digest() {
        let mut base = base(MediaFamily::Oci);
        base.layers[0].descriptor = Some(descriptor("one", "application/vnd.oci.image.layer.v1.tar"));
        let mut draft = draft(&base, None, "x");
        draft.layers.push((DraftLayer::New(new_layer("b", b"b".to_vec())), made_by("b")));
        assert!(assembled(&draft).is_ok());
    }
}
