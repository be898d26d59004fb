//! The documents of the specification: wire forms, reading and writing. Version differences end here.
//!
//! Every reader takes text and never touches a file, so that whoever reads the file can name it in the error.

pub mod analyzed;
pub mod build;
pub mod build_metadata;
pub mod descriptor;
pub mod detect_plan;
pub mod dockerfile;
pub mod extend_config;
#[cfg(test)]
mod fuzz;
pub mod group;
pub mod image;
mod json;
pub mod label;
pub mod launch;
pub mod layer;
pub mod lifecycle;
pub mod order;
mod outline;
pub mod plan;
pub mod project;
#[cfg(test)]
mod properties;
mod read;
pub mod report;
pub mod run_image;
pub mod sbom;
mod syntax;
pub mod target;
mod value;
mod wire;
mod write;

/// Why a document could not be read. The text is the reference's where a client matches it, such as `toml: line 1: ...`,
/// and never names the file: who read the file does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);
