//! What one buildpack wrote in launch.toml and build.toml.
//!
//! Clauses: buildpack.md#launchtoml-toml, buildpack.md#buildtoml-toml.

use super::id::ModuleId;
use super::process::Process;
use super::value::Table;

/// A label for the app image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A set of app files that get a layer of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Patterns below the app directory.
    pub paths: Vec<String>,
}

/// An entry of the bill of materials of the time before SBOM files.
#[derive(Clone, Debug, PartialEq)]
pub struct BomEntry {
    /// The dependency's name.
    pub name: String,
    /// Refused at the top level for every supported Buildpack API.
    pub version: Option<String>,
    /// Everything else known of it.
    pub metadata: Option<Table>,
    /// Who noted it; filled in by the lifecycle.
    pub buildpack: Option<BomSource>,
}

/// The buildpack that noted a [`BomEntry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BomSource {
    /// Its id.
    pub id: ModuleId,
    /// Its version.
    pub version: String,
}

/// The contents of launch.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Launch {
    /// `[[labels]]`.
    pub labels: Vec<Label>,
    /// `[[processes]]`.
    pub processes: Vec<Process>,
    /// `[[slices]]`.
    pub slices: Vec<Slice>,
    /// `[[bom]]`.
    pub bom: Vec<BomEntry>,
}

/// The contents of build.toml.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Build {
    /// Names of `[[unmet]]` requirements.
    pub unmet: Vec<String>,
    /// `[[bom]]`.
    pub bom: Vec<BomEntry>,
}
