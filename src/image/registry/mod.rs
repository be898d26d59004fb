//! Images in registries.
//!
//! Clause: platform.md and the OCI distribution specification; catalogue 1, section 1.9, catalogue 2, sections 4.1 and
//! 4.2; policy P22 to P27. One client for the whole life of a phase: connections, tokens and what is known of each
//! registry are shared by all requests, from any thread.

mod ahead;
mod auth;
mod challenge;
mod client;
mod connection;
mod error;
#[cfg(test)]
mod fake;
mod helper;
mod http;
mod insecure;
mod pull;
mod push;
mod retry;
mod spool;
#[cfg(test)]
mod tests;
mod token;
mod upload;
mod url;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use auth::{Credential, DockerConfig, Keychain, RegistryAuthError, Secret};
pub use error::{Error, Refusal};
pub use helper::HELPER_BUDGET;
pub use http::Timeouts;
pub use retry::{Pause, RealPause, RetryPolicy};

use crate::effect::events::Listener;
use crate::effect::images::Measured;
use crate::effect::images::{
    Documents, ImageDraft, ImageError, Images, NewLayer, Opened, Registry, StoreKind, TarSource, WrittenImage,
};
use crate::image::blob::{self, Blob};
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::model::reference::Reference;
use crate::net::proxy::Proxies;
use crate::os::lookup::Lookup;
use client::{Client, Repository};
use http::Transport;
use insecure::Insecure;
use push::Stored;

/// What a platform decides about registries.
#[derive(Clone)]
pub struct RegistryConfig {
    /// The architecture that is chosen of an image for several, in Go's naming.
    pub architecture: String,
    /// Registries, or repository prefixes of them, that may be spoken to without TLS or with any certificate.
    pub insecure: Vec<String>,
    /// Who asks.
    pub keychain: Keychain,
    /// Where the addresses of hosts are found.
    pub lookup: Lookup,
    /// How the world is reached.
    pub proxies: Proxies,
    /// Where compressed layers lie until they are sent; they have no name there.
    pub temp_dir: PathBuf,
    /// When a request is tried again.
    pub retry: RetryPolicy,
    /// When a request has taken too long.
    pub timeouts: Timeouts,
}

/// Images in registries.
pub struct RegistryImages {
    client: Arc<Client>,
    architecture: String,
    temp_dir: PathBuf,
    /// Layers that were stored, so that none is compressed twice.
    stored: Mutex<BTreeMap<DiffId, Stored>>,
    /// Layers that were made ahead and not sent, as compressed files that have no name.
    kept: Mutex<BTreeMap<DiffId, (Blob, File)>>,
    /// Where and why sending ahead failed.
    refused: Mutex<Option<(Repository, Arc<Error>)>>,
}

impl RegistryConfig {
    /// No credentials, no proxies, nothing insecure.
    pub fn new(architecture: &str, temp_dir: PathBuf) -> Self {
        Self {
            architecture: architecture.to_owned(),
            insecure: Vec::new(),
            keychain: Keychain::anonymous(),
            lookup: Lookup::default(),
            proxies: Proxies::default(),
            temp_dir,
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl RegistryImages {
    /// A client that has not spoken to any registry yet. `listener` hears of each request.
    pub fn new(config: RegistryConfig, listener: Listener) -> Self {
        Self::with_pause(config, listener, Arc::new(RealPause))
    }

    /// The same with a time of its own, for tests.
    pub fn with_pause(config: RegistryConfig, listener: Listener, pause: Arc<dyn Pause>) -> Self {
        let client = Client {
            transport: Transport::new(config.lookup, config.proxies, config.timeouts),
            keychain: config.keychain,
            pause,
            insecure: config.insecure.iter().filter_map(|entry| Insecure::parse(entry)).collect(),
            retry: config.retry,
            listener,
            hosts: Mutex::default(),
            names: Mutex::default(),
        };
        Self {
            client: Arc::new(client),
            architecture: config.architecture,
            temp_dir: config.temp_dir,
            stored: Mutex::default(),
            kept: Mutex::default(),
            refused: Mutex::default(),
        }
    }
}

impl RegistryImages {
    /// The blob of a layer as it is stored.
    fn blob(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        let repository = self.client.repository(&Reference::parse(&image.identifier).map_err(Error::from)?);
        let layer = image.layers.iter().find(|layer| &layer.diff_id == diff_id);
        let Some(descriptor) = layer.and_then(|layer| layer.descriptor.as_ref()) else {
            return Err(ImageError::permanent(format!("{} has no layer {diff_id}", image.identifier)));
        };
        Ok(self.client.blob(image, repository, &push::blob_of(descriptor))?)
    }
}

impl Images for RegistryImages {
    fn kind(&self) -> StoreKind {
        StoreKind::Registry
    }

    fn open(&self, name: &str) -> Result<Opened, ImageError> {
        let reference = Reference::parse(name).map_err(Error::from)?;
        Ok(self.client.open(name, &reference, &self.architecture)?)
    }

    fn check_read(&self, name: &str) -> Result<(), ImageError> {
        let reference = Reference::parse(name).map_err(Error::from)?;
        let repository = self.client.repository(&reference);
        match self.client.head(&repository, reference.version(), repository.pull()) {
            // There are registries that know no HEAD. Who opens the image learns more.
            Err(error) if error.lasting_status().is_some_and(|status| !matches!(status, 401 | 403)) => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }

    fn check_write(&self, name: &str) -> Result<(), ImageError> {
        self.check_read(name)?;
        let reference = Reference::parse(name).map_err(Error::from)?;
        Ok(self.client.try_upload(&self.client.repository(&reference))?)
    }

    fn layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        blob::uncompress(self.blob(image, diff_id)?, diff_id).map_err(|error| ImageError::permanent(error.to_string()))
    }

    fn documents(&self, image: &ImageRecord) -> Result<Documents, ImageError> {
        Ok(self.client.documents(image)?)
    }

    fn keep(&self, name: &str, id: &str, tar: &dyn TarSource) -> std::io::Result<Option<Measured>> {
        self.make_ahead(name, id, tar)
    }

    fn write(&self, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, ImageError> {
        Ok(self.push(draft, names)?)
    }
}

impl Registry for RegistryImages {
    fn lost_layers(&self, image: &ImageRecord) -> Result<Vec<DiffId>, ImageError> {
        Ok(self.lost(image)?)
    }

    fn unverified_layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        blob::uncompress_unverified(self.blob(image, diff_id)?, diff_id)
            .map_err(|error| ImageError::permanent(error.to_string()))
    }

    fn store_layer(&self, name: &str, layer: &NewLayer) -> Result<(), ImageError> {
        Ok(self.store(name, layer)?)
    }

    fn delete(&self, image: &ImageRecord) -> Result<(), ImageError> {
        Ok(self.client.delete(image)?)
    }
}
