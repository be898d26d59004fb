//! What an app image remembers of its layers: the label `io.buildpacks.lifecycle.metadata`, and its half in a cache.
//!
//! Clause: platform.md#iobuildpackslifecyclemetadata-json.

use std::collections::BTreeMap;

use super::digest::DiffId;
use super::layer::LayerTypes;
use super::run_image::RunImageRef;
use super::value::Value;

/// A layer of a buildpack, as an earlier build left it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLayer {
    /// The diff id of its tar.
    pub sha: Option<DiffId>,
    /// What it is for.
    pub types: LayerTypes,
    /// `[metadata]` of its toml; [`Value::Null`] when there was none.
    pub data: Value,
}

/// A buildpack, as an earlier build left it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredBuildpack {
    /// Its id.
    pub key: String,
    /// Its version.
    pub version: String,
    /// Its layers by name.
    pub layers: BTreeMap<String, StoredLayer>,
    /// `[metadata]` of its store.toml, [`Value::Null`] if there was none in it; `None` when it had no store.toml.
    pub store: Option<Value>,
}

/// The label `io.buildpacks.lifecycle.metadata`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppMetadata {
    /// Slices of the app directory.
    pub app: Vec<DiffId>,
    /// The layer of SBOM files.
    pub sbom: Option<DiffId>,
    /// Every buildpack of the group.
    pub buildpacks: Vec<StoredBuildpack>,
    /// The layer of `<layers>/config`.
    pub config: Option<DiffId>,
    /// The layer of the launcher.
    pub launcher: Option<DiffId>,
    /// The layer of links to the launcher.
    pub process_types: Option<DiffId>,
    /// The run image below the app.
    pub run_image: RunImageMetadata,
    /// The same for platforms that read `stack`.
    pub stack: Option<RunImageRef>,
}

/// The run image an app image was made on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunImageMetadata {
    /// The diff id of its last layer; empty if unknown.
    pub top_layer: String,
    /// Where its very bytes are; empty if unknown.
    pub reference: String,
    /// Its name and mirrors, from run.toml or stack.toml.
    pub names: RunImageRef,
}

/// The metadata of a cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheMetadata {
    /// The layer of SBOM files of cached layers.
    pub sbom: Option<DiffId>,
    /// Buildpacks with their cached layers; `store` is never set.
    pub buildpacks: Vec<StoredBuildpack>,
}

impl AppMetadata {
    /// Says whether a layer was made for the app.
    pub fn has(&self, diff_id: &DiffId) -> bool {
        let of_buildpacks = self.buildpacks.iter().flat_map(|buildpack| buildpack.layers.values());
        let alone = [&self.sbom, &self.config, &self.launcher, &self.process_types];
        self.app.contains(diff_id)
            || alone
                .into_iter()
                .flatten()
                .chain(of_buildpacks.filter_map(|layer| layer.sha.as_ref()))
                .any(|it| it == diff_id)
    }

    /// Finds what a buildpack left; its version does not matter.
    pub fn buildpack(&self, id: &str) -> Option<&StoredBuildpack> {
        self.buildpacks.iter().find(|buildpack| buildpack.key == id)
    }
}

impl CacheMetadata {
    /// Finds what a buildpack left; its version does not matter.
    pub fn buildpack(&self, id: &str) -> Option<&StoredBuildpack> {
        self.buildpacks.iter().find(|buildpack| buildpack.key == id)
    }
}
