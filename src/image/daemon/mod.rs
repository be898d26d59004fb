//! Images in a docker daemon, or another program that serves its API: podman.
//!
//! Clause: Docker Engine API; catalogue 1, section 1.8, catalogue 2, section 4.3; policy P29 and B32. The daemon is
//! connected to before privileges are dropped, and its connections are kept. It has no manifests: layers of its images
//! have diff ids and no descriptors.

mod address;
mod awake;
mod client;
mod error;
#[cfg(test)]
mod fake;
mod http;
mod launch_cache;
mod load;
mod pool;
mod save;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

pub use awake::Awake;
pub use client::{Daemon, DaemonConfig};
pub use error::Error;

use crate::effect::cache::Cache;
use crate::effect::events::{Facts, Listener, Outcome, Work};
use crate::effect::images::{ImageDraft, ImageError, Images, Opened, StoreKind, WrittenImage};
use crate::model::digest::DiffId;
use crate::model::image::{History, ImageRecord, MediaFamily, StoredImageLayer};
use crate::schema::image::{Inspected, parse_history, parse_inspect};
use client::{Answer, Call};
use launch_cache::LaunchCache;

/// The most that a daemon may say about an image, in bytes.
const DOCUMENT_LIMIT: u64 = 16 << 20;

/// Images in a daemon.
pub struct DaemonImages {
    daemon: Daemon,
    architecture: String,
    temp_dir: PathBuf,
    listener: Listener,
    launch_cache: Option<LaunchCache>,
}

impl DaemonImages {
    /// The images of a daemon; of one for several platforms, those for Linux on `architecture`. `listener`
    /// hears of each request. Layers of an image lie in `temp_dir` while they are read, and have no name there.
    pub fn new(daemon: Daemon, architecture: &str, temp_dir: PathBuf, listener: Listener) -> Self {
        Self { daemon, architecture: architecture.to_owned(), temp_dir, listener, launch_cache: None }
    }

    /// Layers are looked for in this cache first, and those of every image that is written are kept in it.
    #[must_use]
    pub fn with_launch_cache(self, cache: Arc<dyn Cache>) -> Self {
        Self { launch_cache: Some(LaunchCache(cache)), ..self }
    }

    /// Asks the daemon; `about` is a fixed word for what.
    fn call(&self, about: &'static str, call: Call<'_>) -> Result<Answer, Error> {
        let work = self.listener.begin(Work::Request { method: call.method, about });
        let answer = self.daemon.call(call);
        let (outcome, status, error_type) = match &answer {
            Ok(answer) => (Outcome::Success, Some(answer.status), None),
            Err(error) => match error.status() {
                Some(404) => (Outcome::Success, Some(404), None),
                Some(status) => (Outcome::Error, Some(status), Some("http")),
                None => (Outcome::Error, None, Some("io")),
            },
        };
        work.end(outcome, Facts { status, error_type, ..Facts::default() });
        answer
    }

    /// Reads a document about an image; `None` when there is no such image.
    fn document(
        &self,
        about: &'static str,
        path: String,
        query: Vec<(&'static str, String)>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let answer =
            match self.call(about, Call { method: "GET", path: path.clone(), query, content: None, works: false }) {
                Ok(answer) => answer,
                Err(error) if error.status() == Some(404) => return Ok(None),
                Err(error) => return Err(error),
            };
        answer.read(DOCUMENT_LIMIT).map(Some).map_err(|cause| Error::Transport { method: "GET", path, cause })
    }

    fn find(&self, name: &str) -> Result<Option<ImageRecord>, Error> {
        let Some(found) = self.inspect(name, None)? else { return Ok(None) };
        // The id without a platform names the image everywhere; the rest is that of the platform, if it is there.
        let id = found.0.id.clone();
        let platform = self.platform(&self.architecture);
        let of_platform = match platform {
            Some(platform) => self.inspect(name, Some(&platform))?,
            None => None,
        };
        let (inspected, history) = of_platform.unwrap_or(found);
        let mut config = inspected.config;
        config.history = history;
        let layers = config.diff_ids.iter().cloned();
        Ok(Some(ImageRecord {
            name: name.to_owned(),
            identifier: id.strip_prefix("sha256:").unwrap_or(&id).to_owned(),
            family: MediaFamily::Docker,
            manifest_media_type: String::new(),
            config_media_type: String::new(),
            annotations: BTreeMap::new(),
            artifact_type: String::new(),
            layers: layers.map(|diff_id| StoredImageLayer { diff_id, descriptor: None }).collect(),
            config,
        }))
    }

    fn inspect(&self, name: &str, platform: Option<&str>) -> Result<Option<(Inspected, Vec<History>)>, Error> {
        let query = || platform.iter().map(|platform| ("platform", (*platform).to_owned())).collect::<Vec<_>>();
        let path = format!("/images/{name}/json");
        let Some(json) = self.document("image", path.clone(), query())? else { return Ok(None) };
        let unreadable =
            |path, error: crate::schema::Error| Error::Answer { method: "GET", path, cause: error.to_string() };
        let inspected = parse_inspect(&json).map_err(|error| unreadable(path, error))?;
        let path = format!("/images/{name}/history");
        let Some(json) = self.document("history", path.clone(), query())? else { return Ok(None) };
        let history = parse_history(&json).map_err(|error| unreadable(path, error))?;
        Ok(Some((inspected, history)))
    }

    /// Says whether the daemon keeps images with containerd: it then needs all their bytes.
    fn is_containerd(&self) -> Result<bool, Error> {
        let path = "/info".to_owned();
        let Some(json) = self.document("info", path.clone(), Vec::new())? else { return Ok(false) };
        let info: serde_json::Value = serde_json::from_slice(&json).map_err(|error| Error::Answer {
            method: "GET",
            path,
            cause: error.to_string(),
        })?;
        let is_containerd =
            |pair: &serde_json::Value| pair[0] == "driver-type" && pair[1] == "io.containerd.snapshotter.v1";
        Ok(info["DriverStatus"].as_array().is_some_and(|pairs| pairs.iter().any(is_containerd)))
    }

    /// Gives an image a name.
    fn tag(&self, id: &str, repository: &str, tag: &str) -> Result<(), Error> {
        let query = vec![("repo", repository.to_owned()), ("tag", tag.to_owned())];
        let path = format!("/images/{id}/tag");
        let answer =
            self.call("tag", Call { method: "POST", path: path.clone(), query, content: None, works: false })?;
        answer.read(DOCUMENT_LIMIT).map(drop).map_err(|cause| Error::Transport { method: "POST", path, cause })
    }

    /// How a daemon that knows platforms is asked for one.
    fn platform(&self, architecture: &str) -> Option<String> {
        self.daemon
            .has_platforms()
            .then(|| serde_json::json!({ "architecture": architecture, "os": "linux" }).to_string())
    }

    /// Takes layers of an image out of the daemon.
    fn save(&self, image: &ImageRecord, wanted: &[DiffId]) -> Result<BTreeMap<DiffId, save::Saved>, Error> {
        let mut query = vec![("names", image.identifier.clone())];
        query.extend(self.platform(&image.config.architecture).map(|platform| ("platform", platform)));
        let call = Call { method: "GET", path: "/images/get".to_owned(), query, content: None, works: true };
        save::layers(self.call("save", call)?.body, image, wanted, &self.temp_dir)
    }
}

impl Images for DaemonImages {
    fn kind(&self) -> StoreKind {
        StoreKind::Daemon
    }

    fn open(&self, name: &str) -> Result<Opened, ImageError> {
        let found = self.find(name).map_err(|error| {
            let error = ImageError::from(error);
            ImageError { message: format!("inspecting image \"{name}\": {}", error.message), ..error }
        })?;
        Ok(found.map_or(Opened::Missing, |image| Opened::Found(Box::new(image))))
    }

    /// A daemon that answered lets everything be read; an image that is not there is no fault.
    fn check_read(&self, _: &str) -> Result<(), ImageError> {
        Ok(())
    }

    /// A daemon that answered takes every image.
    fn check_write(&self, _: &str) -> Result<(), ImageError> {
        Ok(())
    }

    fn layer(&self, image: &ImageRecord, diff_id: &DiffId) -> Result<Box<dyn Read + Send>, ImageError> {
        if !image.layers.iter().any(|layer| &layer.diff_id == diff_id) {
            let error = Error::NoLayer { image: image.identifier.clone(), diff_id: diff_id.clone() };
            return Err(error.into());
        }
        if let Some(layer) = self.launch_cache.as_ref().and_then(|cache| cache.read(diff_id)) {
            return Ok(layer);
        }
        let mut saved = self.save(image, std::slice::from_ref(diff_id))?;
        match saved.remove(diff_id) {
            Some(saved) => Ok(Box::new(saved.file)),
            None => Err(Error::NoLayer { image: image.identifier.clone(), diff_id: diff_id.clone() }.into()),
        }
    }

    fn write(&self, draft: &ImageDraft, names: &[String]) -> Result<WrittenImage, ImageError> {
        Ok(load::write(self, draft, names)?)
    }
}
