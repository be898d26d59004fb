//! The contract with one buildpack or extension: where it lies, its environment, its programs and what they leave.

pub mod build;
pub mod environment;
pub mod layers;
pub mod sbom;
pub mod store;
