//! Labels of app images and cache images: JSON inside the image configuration, in the reference's key order and escaping
//! (policy P8; catalogue 2, section 2.7).

use super::{Error, read};

mod app;
mod build;

pub use app::{
    parse_app, parse_cache, render_app, render_cache, render_rebased, render_run_image, render_stack_run_image,
};
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

/// The label that says `false` where extensions did more than a rebase can keep.
pub const REBASABLE: &str = "io.buildpacks.rebasable";
/// The label with the id of the stack; below Platform API 0.12.
pub const STACK_ID: &str = "io.buildpacks.stack.id";
/// The label with the mixins of the stack, a JSON list; below Platform API 0.12.
pub const STACK_MIXINS: &str = "io.buildpacks.stack.mixins";

/// Reads `io.buildpacks.stack.mixins`.
pub fn parse_mixins(json: &str) -> Result<Vec<String>, Error> {
    // As if it were the only key of a document: so it is told about like every other list.
    read::json(format!(r#"{{"mixins":{json}}}"#).as_bytes(), |root| root.texts("mixins"))
}

/// An empty list is `null`.
fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    if items.is_empty() { None } else { Some(items) }
}
