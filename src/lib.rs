//! A Cloud Native Buildpacks lifecycle.
//!
//! Seen from the bottom: [`api`] knows what versions promise, [`model`] holds the values of the specification,
//! `schema` reads and writes its documents, [`effect`] names what phases need of the world, `buildpack` is the contract
//! with one buildpack, `phase` has one function for each phase, and `cli` makes programs of them. `launch` is the
//! program in every app image; it is built without the feature `images` and links nothing it does not need.
//!
//! Invariants, held by `tests/lifecycle/architecture.rs`:
//! - only [`api`] compares versions;
//! - `phase` sees no `image`, `cache`, `report` or `cli`, no environment, clock or socket;
//! - what a user reads is written in `report::text` alone;
//! - only `cli` knows that this is a program.

pub mod api;
#[cfg(feature = "images")]
pub mod archive;
#[cfg(feature = "images")]
pub mod buildpack;
#[cfg(feature = "images")]
pub mod cache;
#[cfg(feature = "images")]
pub mod cli;
#[cfg(feature = "images")]
pub mod effect;
#[cfg(all(test, feature = "images"))]
#[cfg(test)]
mod fuzz;
#[cfg(feature = "images")]
pub mod image;
pub mod launch;
pub mod model;
#[cfg(feature = "images")]
pub mod net;
pub mod os;
#[cfg(feature = "images")]
pub mod phase;
#[cfg(feature = "images")]
pub mod release;
#[cfg(feature = "images")]
pub mod report;
#[cfg(feature = "images")]
pub mod schema;
#[cfg(feature = "images")]
pub mod telemetry;
#[cfg(feature = "images")]
pub mod trace;
