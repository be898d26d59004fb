//! Values and rules of the specification: no serialisation, no input or output.
//!
//! One type per concept. Differences between API versions end at `schema`, which reads and writes the documents.

pub mod analyzed;
pub mod app_metadata;
pub mod build_metadata;
pub mod descriptor;
pub mod digest;
pub mod dockerfile;
pub mod duration;
pub mod env;
pub mod extend_config;
pub mod id;
pub mod image;
pub mod launch;
pub mod layer;
pub mod layers_dir;
pub mod order;
pub mod plan;
pub mod process;
pub mod reference;
pub mod report;
pub mod run_image;
pub mod seal;
pub mod target;
pub mod trace;
pub mod value;
