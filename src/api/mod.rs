//! What an API version promises: the only code in this crate that compares versions.
//!
//! A phase never asks "is this 0.12 or later"; it asks [`PlatformApi::has`] or [`BuildpackApi::has`] for a feature,
//! and a row of [`PLATFORM_FEATURES`] or [`BUILDPACK_FEATURES`] answers, with the clause it comes from.

mod buildpack;
mod platform;
mod support;
mod version;

pub use buildpack::{BUILDPACK_FEATURES, BuildpackApi, BuildpackFeature};
pub use platform::{PLATFORM_FEATURES, PlatformApi, PlatformFeature};
pub use support::{DeprecationMode, Gate, Negotiated, NegotiationError, Row, Support};
pub use version::{Version, VersionError};
