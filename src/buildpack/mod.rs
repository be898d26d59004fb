//! The contract with one buildpack or extension: where it lies, its environment, its programs and what they leave.

pub mod api;
pub mod build;
pub mod detect;
pub mod dockerfile;
pub mod environment;
pub mod generate;
pub mod layers;
mod prepared;
mod program;
pub mod sbom;
pub mod store;
