//! Orders and groups of buildpacks and extensions.
//!
//! Clauses: platform.md#ordertoml-toml, platform.md#grouptoml-toml, platform.md#systemtoml-toml.

use std::fmt;

use super::id::{ModuleId, ModuleKind};

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupElement {
    /// Buildpack or extension.
    pub kind: ModuleKind,
    /// Its id.
    pub id: ModuleId,
    /// Its version, the name of a folder.
    pub version: String,
    /// The Buildpack API version it declares, as text; empty in order.toml.
    pub api: String,
    /// Its home page; may be empty.
    pub homepage: String,
    /// The group may pass without it.
    pub optional: bool,
}

impl fmt::Display for GroupElement {
    /// Prints `<id>@<version>`, as log lines and messages name a module.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

/// A group to try, in order.toml or a composite buildpack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderGroup {
    /// Its members, first to last.
    pub elements: Vec<GroupElement>,
}

/// The contents of order.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// `[[order]]`: groups of buildpacks, in the order of trial.
    pub buildpacks: Vec<OrderGroup>,
    /// `[[order-extensions]]`: groups of extensions, in the order of trial.
    pub extensions: Vec<OrderGroup>,
}

/// The contents of system.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemBuildpacks {
    /// Buildpacks before those of each group.
    pub pre: Vec<GroupElement>,
    /// Buildpacks after those of each group.
    pub post: Vec<GroupElement>,
}

/// The group that detection chose: group.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// `[[group]]`: buildpacks in the order in which they build.
    pub buildpacks: Vec<GroupElement>,
    /// `[[group-extensions]]`: extensions in the order in which they generate.
    pub extensions: Vec<GroupElement>,
}
