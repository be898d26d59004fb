//! Every well-known path under `<layers>`, in one place.

use std::path::{Path, PathBuf};

use super::id::{LayerName, ModuleId};

/// The `<layers>` folder of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayersDir(PathBuf);

impl LayersDir {
    /// Takes the folder that the platform names.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `<layers>/<buildpack>`.
    pub fn buildpack(&self, id: &ModuleId) -> PathBuf {
        self.0.join(id.escaped())
    }

    /// `<layers>/<buildpack>/<layer>`.
    pub fn layer(&self, id: &ModuleId, name: &LayerName) -> PathBuf {
        self.buildpack(id).join(name.as_str())
    }

    /// `<layers>/<buildpack>/<layer>.toml`.
    pub fn layer_toml(&self, id: &ModuleId, name: &LayerName) -> PathBuf {
        self.buildpack(id).join(format!("{name}.toml"))
    }

    /// `<layers>/<buildpack>/<layer>.sha`, which early lifecycles left behind.
    pub fn layer_sha(&self, id: &ModuleId, name: &LayerName) -> PathBuf {
        self.buildpack(id).join(format!("{name}.sha"))
    }

    /// `<layers>/<buildpack>/store.toml`.
    pub fn store_toml(&self, id: &ModuleId) -> PathBuf {
        self.buildpack(id).join("store.toml")
    }

    /// `<layers>/sbom`.
    pub fn sbom(&self) -> PathBuf {
        self.0.join("sbom")
    }

    /// `<layers>/config`: a layer of the image.
    pub fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    /// `<layers>/config/metadata.toml`.
    pub fn metadata_toml(&self) -> PathBuf {
        self.config().join("metadata.toml")
    }

    /// `<layers>/tracing`: telemetry, never part of an image or cache.
    pub fn tracing(&self) -> PathBuf {
        self.0.join("tracing")
    }
}
