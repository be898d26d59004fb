//! launch.toml. Clause: buildpack.md#launchtoml-toml.

use super::Error;
use crate::api::BuildpackApi;
use crate::model::launch::Launch;

/// Reads launch.toml of a buildpack of a Buildpack API version.
pub fn parse(_text: &str, _api: BuildpackApi) -> Result<Launch, Error> {
    unimplemented!()
}
