//! project-metadata.toml.

use super::Error;

/// Reads project-metadata.toml and writes the label `io.buildpacks.project.metadata`.
pub fn to_label(_text: &str) -> Result<String, Error> {
    unimplemented!()
}
