//! Labels of app images and cache images: JSON inside the image configuration, in the reference's key order and escaping
//! (policy P8; catalogue 2, section 2.7).

mod app;
mod build;

pub use app::{parse_app, parse_cache, render_app, render_cache};
pub(super) use build::LegacyBom;
pub use build::{LifecycleInfo, render_build};

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

/// An empty list is `null`.
fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    if items.is_empty() { None } else { Some(items) }
}
