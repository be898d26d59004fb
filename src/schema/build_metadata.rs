//! metadata.toml. Clause: platform.md#metadatatoml-toml.

use super::Error;
use crate::api::PlatformApi;
use crate::model::build_metadata::BuildMetadata;

/// Reads metadata.toml.
pub fn parse(_text: &str) -> Result<BuildMetadata, Error> {
    unimplemented!()
}
/// Writes metadata.toml.
pub fn render(_metadata: &BuildMetadata, _api: PlatformApi) -> String {
    unimplemented!()
}
