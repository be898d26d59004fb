//! Image configurations, manifests and indexes, byte for byte (catalogue 2, sections 2.5 and 2.6).

mod config;
mod inspect;
mod manifest;
mod object;

pub use config::{parse_config, render_config};
pub use inspect::{Inspected, parse_history, parse_inspect};
pub use manifest::{Document, IndexEntry, Manifest, parse_document, render_manifest};
