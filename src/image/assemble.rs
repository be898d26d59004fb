//! From a draft to bytes: the configuration and the manifest of an image.
//!
//! Catalogue 2, sections 2.5 and 2.6. Pure: which blobs the new layers became is an argument. Nothing leaves here that
//! does not fit together (policy P26).

use std::collections::BTreeMap;

use super::blob::Blob;
use super::sha256;
use crate::effect::images::{DraftLayer, ImageDraft, ImageError};
use crate::model::digest::{DiffId, Digest};
use crate::model::image::{Descriptor, ImageConfig, ImageRecord, MediaFamily, StoredImageLayer};
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

/// The media type of a layer compressed with gzip (policy P7).
pub fn layer_media_type(family: MediaFamily) -> &'static str {
    match family {
        MediaFamily::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        MediaFamily::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
    }
}

/// The media type of a manifest.
pub fn manifest_media_type(family: MediaFamily) -> &'static str {
    match family {
        MediaFamily::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        MediaFamily::Oci => "application/vnd.oci.image.manifest.v1+json",
    }
}

/// The media type of a configuration.
pub fn config_media_type(family: MediaFamily) -> &'static str {
    match family {
        MediaFamily::Docker => "application/vnd.docker.container.image.v1+json",
        MediaFamily::Oci => "application/vnd.oci.image.config.v1+json",
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
    let (diff_ids, layers): (Vec<_>, Vec<_>) = layers.into_iter().unzip();

    let config = render_config(&ImageConfig { history, diff_ids, ..draft.config.clone() });
    let config_descriptor = describe(or(&draft.base.config_media_type, config_media_type(family)), &config);
    let mut all = draft.base.annotations.clone();
    all.extend(annotations.clone());
    let media_type = or(&draft.base.manifest_media_type, manifest_media_type(family));
    let manifest = render_manifest(&Manifest {
        media_type: media_type.to_owned(),
        config: config_descriptor.clone(),
        layers: layers.clone(),
        annotations: all,
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
                    media_type: layer_media_type(draft.base.family).to_owned(),
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
    let docker = manifest.media_type.starts_with("application/vnd.docker.");
    Ok(ImageRecord {
        name: name.to_owned(),
        identifier,
        family: if docker { MediaFamily::Docker } else { MediaFamily::Oci },
        manifest_media_type: manifest.media_type,
        config_media_type: manifest.config.media_type,
        annotations: manifest.annotations,
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
        if compressed && descriptor.digest.as_str() == diff_id.as_str() {
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
