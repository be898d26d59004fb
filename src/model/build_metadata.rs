//! The outcome of all buildpacks: metadata.toml, and the label `io.buildpacks.build.metadata` made of it.
//!
//! Clause: platform.md#metadatatoml-toml.

use super::launch::{BomEntry, Label, Slice};
use super::order::GroupElement;
use super::process::Process;

/// The contents of metadata.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildMetadata {
    /// Buildpacks of the group, in order.
    pub buildpacks: Vec<GroupElement>,
    /// Extensions of the group, in order.
    pub extensions: Vec<GroupElement>,
    /// Processes, sorted by type; `None` if metadata.toml does not speak of them.
    pub processes: Option<Vec<Process>>,
    /// The type of the default process, if any buildpack set one.
    pub default_process_type: Option<String>,
    /// Labels, in the order in which buildpacks gave them.
    pub labels: Vec<Label>,
    /// Slices of the app directory, in the order in which buildpacks gave them.
    pub slices: Vec<Slice>,
    /// Bill of materials for launch; only below Platform API 0.9.
    pub bom: Vec<BomEntry>,
}
