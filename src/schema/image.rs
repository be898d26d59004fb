//! Image configurations, manifests and indexes, byte for byte (catalogue 2, sections 2.5 and 2.6).

use super::Error;
use crate::model::image::{Descriptor, ImageConfig};
use std::collections::BTreeMap;

/// A manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type; empty if it has no such key.
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, first to last.
    pub layers: Vec<Descriptor>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}
/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Its platform as os, architecture and variant; `None` if it has none.
    pub platform: Option<(String, String, String)>,
}
/// A manifest or an index, as a registry or layout gives one for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several, by platform.
    Index(Vec<IndexEntry>),
}
/// Reads a manifest or an index.
pub fn parse_document(_json: &[u8]) -> Result<Document, Error> {
    unimplemented!()
}
/// Writes a manifest, compact and without a newline.
pub fn render_manifest(_manifest: &Manifest) -> Vec<u8> {
    unimplemented!()
}
/// Reads an image configuration.
pub fn parse_config(_json: &[u8]) -> Result<ImageConfig, Error> {
    unimplemented!()
}
/// Writes an image configuration, compact and without a newline.
pub fn render_config(_config: &ImageConfig) -> Vec<u8> {
    unimplemented!()
}
