//! Labels of app images and cache images: JSON inside the image configuration, in the reference's key order and escaping (policy P8).

use super::Error;
use crate::api::PlatformApi;
use crate::model::app_metadata::{AppMetadata, CacheMetadata};
use crate::model::build_metadata::BuildMetadata;

/// The label with the metadata of layers.
pub const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";
/// The label with the metadata of the build.
pub const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
/// The label with the metadata of the source.
pub const PROJECT_METADATA: &str = "io.buildpacks.project.metadata";
/// The label with the metadata of a cache image.
pub const CACHE_METADATA: &str = "io.buildpacks.lifecycle.cache.metadata";
/// The label with the execution environment.
pub const EXEC_ENV: &str = "io.buildpacks.exec-env";

/// What the build metadata label says of this lifecycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleInfo {
    /// Its version.
    pub version: String,
    /// Where its source is.
    pub repository: String,
    /// Which commit it was built from.
    pub commit: String,
}

/// Reads `io.buildpacks.lifecycle.metadata`.
pub fn parse_app(_json: &str) -> Result<AppMetadata, Error> {
    unimplemented!()
}
/// Writes `io.buildpacks.lifecycle.metadata`.
pub fn render_app(_metadata: &AppMetadata) -> Result<String, Error> {
    unimplemented!()
}
/// Reads the cache metadata; its `store` keys are dropped.
pub fn parse_cache(_json: &str) -> Result<CacheMetadata, Error> {
    unimplemented!()
}
/// Writes the cache metadata, without a newline.
pub fn render_cache(_metadata: &CacheMetadata) -> Result<String, Error> {
    unimplemented!()
}
/// Writes `io.buildpacks.build.metadata`.
pub fn render_build(_metadata: &BuildMetadata, _lifecycle: &LifecycleInfo, _api: PlatformApi) -> Result<String, Error> {
    unimplemented!()
}
