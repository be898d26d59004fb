//! Places where images are, and how they become bytes.
//!
//! Each place implements [`crate::effect::images::Images`]; `cli::wire` alone chooses among them.

pub mod assemble;
pub mod blob;
#[cfg(test)]
pub(crate) mod conforms;
pub mod daemon;
pub(crate) mod gzip;
pub mod kaniko;
pub mod layout;
pub mod media;
pub mod memory;
mod platform;
pub mod registry;
pub(crate) mod sha256;
mod told;
