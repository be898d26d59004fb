//! The build plan: what modules provide and require, and what was agreed.
//!
//! Clauses: buildpack.md#build-plan-toml, platform.md#plantoml-toml.

use super::id::{ModuleId, ModuleKind};
use super::value::Table;

/// A dependency that a module requires.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    /// The dependency's name.
    pub name: String,
    /// Kept when reading a plan.toml that has one; refused in the output of bin/detect.
    pub version: Option<String>,
    /// `[metadata]`; `None` when there is none.
    pub metadata: Option<Table>,
}

/// One alternative of a module's build plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanSection {
    /// Names of dependencies that the module provides.
    pub provides: Vec<String>,
    /// Dependencies that it requires.
    pub requires: Vec<Require>,
}

/// What bin/detect wrote: the alternatives in the order of preference, the top level first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectPlan {
    /// Never empty after parsing: an empty file has one empty section.
    pub alternatives: Vec<PlanSection>,
}

/// Who provides an entry of plan.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Buildpack or extension.
    pub kind: ModuleKind,
    /// Its id.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
}

/// One entry of plan.toml: everything that was agreed on one dependency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanEntry {
    /// Who provides it, in group order.
    pub providers: Vec<Provider>,
    /// Everything that is required of it, in group order.
    pub requires: Vec<Require>,
}

/// The resolved plan: plan.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Entries in the order in which their names were first required (policy P16).
    pub entries: Vec<PlanEntry>,
}
