//! Places where images are, and how they become bytes.
//!
//! Each place implements [`crate::effect::images::Images`]; `cli::wire` alone chooses among them.

pub mod assemble;
pub mod blob;
pub mod memory;
mod sha256;
