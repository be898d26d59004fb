//! What a buildpack or extension says of itself: buildpack.toml and extension.toml.
//!
//! Clauses: buildpack.md#buildpacktoml-toml, image_extension.md#extensiontoml-toml.

use std::path::PathBuf;

use super::id::{ModuleId, ModuleKind};
use super::order::OrderGroup;
use super::target::ModuleTarget;

/// The contents of buildpack.toml or extension.toml, and where they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Buildpack or extension.
    pub kind: ModuleKind,
    /// The folder with `bin/`.
    pub root: PathBuf,
    /// The Buildpack API version it declares, as text; empty if it declares none.
    pub api: String,
    /// Its id.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
    /// Its name for people; may be empty.
    pub name: String,
    /// Its home page; may be empty.
    pub homepage: String,
    /// It wants no variables of the user.
    pub clear_env: bool,
    /// Execution environments it supports; empty means all.
    pub exec_env: Vec<String>,
    /// Media types of the SBOM files it may write, as declared.
    pub sbom_formats: Vec<String>,
    /// `[[order]]`: makes it a composite.
    pub order: Vec<OrderGroup>,
    /// `[[targets]]`.
    pub targets: Vec<ModuleTarget>,
    /// Ids of `[[stacks]]`.
    pub stacks: Vec<String>,
}

impl Descriptor {
    /// Says whether it stands for other buildpacks.
    pub fn is_composite(&self) -> bool {
        !self.order.is_empty()
    }
}
