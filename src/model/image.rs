//! Images as values: configuration, history and layers, before they are bytes.
//!
//! `schema::image` reads and writes the documents; `image::assemble` turns a draft into bytes.

use std::collections::BTreeMap;

use super::digest::{DiffId, Digest};
use super::value::Table;

/// Media types of one family; an image's added layers follow those of its run image (policy P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaFamily {
    /// `application/vnd.docker.*`.
    Docker,
    /// `application/vnd.oci.*`.
    Oci,
}

/// A blob as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type, kept as it was found.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// Where else it is, for foreign layers.
    pub urls: Vec<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An entry of a configuration's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// RFC 3339; may be empty.
    pub created: String,
    /// Who made it; may be empty.
    pub author: String,
    /// How it was made; may be empty.
    pub created_by: String,
    /// A remark; may be empty.
    pub comment: String,
    /// It stands for no layer.
    pub empty_layer: bool,
}

/// The part of a configuration that a container starts with, with the keys that are kept.
///
/// Other keys of a base image are dropped, as the reference drops them (catalogue 2, section 2.5). Those that neither
/// the lifecycle nor a client looks into are kept in `other`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerConfig {
    /// `Env`, each `NAME=value`, in order.
    pub env: Vec<String>,
    /// `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `Cmd`.
    pub cmd: Option<Vec<String>>,
    /// `WorkingDir`; may be empty.
    pub working_dir: String,
    /// `User`; may be empty.
    pub user: String,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// Every other known key with its value as it was found: `Healthcheck`, `ExposedPorts`, `Volumes`, `OnBuild`, ...
    pub other: Table,
}

/// An image's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageConfig {
    /// Architecture in Go's naming.
    pub architecture: String,
    /// Variant of the architecture; may be empty.
    pub variant: String,
    /// Operating system.
    pub os: String,
    /// `os.version`; may be empty.
    pub os_version: String,
    /// `os.features`.
    pub os_features: Vec<String>,
    /// Who made it; may be empty.
    pub author: String,
    /// When it was made, RFC 3339; may be empty.
    pub created: String,
    /// The docker version that made it; may be empty.
    pub docker_version: String,
    /// What a container starts with.
    pub config: ContainerConfig,
    /// One entry for each layer, and more for steps without one.
    pub history: Vec<History>,
    /// The layers, first to last.
    pub diff_ids: Vec<DiffId>,
}

/// A layer of an image that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImageLayer {
    /// Its diff id.
    pub diff_id: DiffId,
    /// How the manifest names it; `None` in a daemon, which has no manifests.
    pub descriptor: Option<Descriptor>,
}

/// An image as it was found: facts, nothing intended.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRecord {
    /// The name under which it was opened, as the platform wrote it.
    pub name: String,
    /// Its very bytes: `<registry>/<repository>@<digest>`, `<layout path>@<digest>`, or a daemon's image id in hex.
    pub identifier: String,
    /// Docker's or OCI's media types.
    pub family: MediaFamily,
    /// The manifest's media type, kept as it was found; empty in a daemon.
    pub manifest_media_type: String,
    /// The config descriptor's media type; empty in a daemon.
    pub config_media_type: String,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The manifest's `artifactType`; empty if it has none.
    pub artifact_type: String,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, in the order of `config.diff_ids`.
    pub layers: Vec<StoredImageLayer>,
}

impl ImageRecord {
    /// An image without layers and configuration, to make one on; its documents have the usual types of the family.
    pub fn nothing(family: MediaFamily) -> Self {
        Self {
            name: String::new(),
            identifier: String::new(),
            family,
            manifest_media_type: String::new(),
            config_media_type: String::new(),
            annotations: BTreeMap::new(),
            artifact_type: String::new(),
            config: ImageConfig::default(),
            layers: Vec::new(),
        }
    }

    /// A label of the image.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.config.config.labels.get(key).map(String::as_str)
    }

    /// A variable of the image's environment.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.config.config.env.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// The diff id of the last layer, if there is a layer.
    pub fn top_layer(&self) -> Option<&DiffId> {
        self.layers.last().map(|layer| &layer.diff_id)
    }
}
