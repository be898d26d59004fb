//! What a lifecycle says of itself to those who make builders: lifecycle.toml in its archive, labels on its image.
//!
//! Clause: platform.md#lifecycle, distribution.md; catalogue 3, sections C1 and C2. Everything comes from the tables of
//! [`crate::api`], so that what is offered and what is served cannot drift.

use serde::Serialize;

use super::json;
use super::write::Block;
use crate::api::{BuildpackApi, PlatformApi, Support, Version};

/// The label with the version.
pub const VERSION: &str = "io.buildpacks.lifecycle.version";
/// The label with the APIs.
pub const APIS: &str = "io.buildpacks.lifecycle.apis";
/// The label that builders have, too.
pub const BUILDER_METADATA: &str = "io.buildpacks.builder.metadata";

/// The kinds of SBOM that phases accept from buildpacks, by their media types.
const SBOM_FORMATS: [&str; 3] =
    ["application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.syft+json"];

/// Writes lifecycle.toml: versions in ascending order, as clients walk them in order.
pub fn render_descriptor(version: &str) -> String {
    let apis = |support: &Support<'_>| {
        let Lists { deprecated, supported } = Lists::of(support);
        Block::new().texts("deprecated", &deprecated).texts("supported", &supported)
    };
    let apis =
        Block::new().table("buildpack", apis(&BuildpackApi::SUPPORT)).table("platform", apis(&PlatformApi::SUPPORT));
    let Oldest { buildpack, platform } = Oldest::supported();
    let api = Block::new().text("platform", &platform).text("buildpack", &buildpack);
    let formats = SBOM_FORMATS.map(str::to_owned);
    let lifecycle = Block::new().text("version", version).texts("sbom-formats", &formats);
    Block::new().table("apis", apis).table("api", api).table("lifecycle", lifecycle).render()
}

/// Writes the label [`APIS`].
pub fn render_apis() -> String {
    json::render(&Apis { buildpack: Lists::of(&BuildpackApi::SUPPORT), platform: Lists::of(&PlatformApi::SUPPORT) })
}

/// Writes the label [`BUILDER_METADATA`].
pub fn render_builder_metadata(version: &str) -> String {
    json::render(&BuilderMetadata { lifecycle: Lifecycle { version }, api: Oldest::supported() })
}

#[derive(Serialize)]
struct Apis {
    buildpack: Lists,
    platform: Lists,
}

#[derive(Serialize)]
struct Lists {
    deprecated: Vec<String>,
    supported: Vec<String>,
}

impl Lists {
    fn of(support: &Support<'_>) -> Self {
        let texts = |versions: &[Version]| versions.iter().map(ToString::to_string).collect();
        Self { deprecated: texts(support.deprecated), supported: texts(support.supported) }
    }
}

#[derive(Serialize)]
struct BuilderMetadata<'a> {
    lifecycle: Lifecycle<'a>,
    api: Oldest,
}

#[derive(Serialize)]
struct Lifecycle<'a> {
    version: &'a str,
}

/// One version of each API, for clients that know no lists.
#[derive(Serialize)]
struct Oldest {
    buildpack: String,
    platform: String,
}

impl Oldest {
    fn supported() -> Self {
        let first = |support: &Support<'_>| support.supported.first().map(ToString::to_string).unwrap_or_default();
        Self { buildpack: first(&BuildpackApi::SUPPORT), platform: first(&PlatformApi::SUPPORT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_has_every_version_in_ascending_order() {
        assert_eq!(
            render_descriptor("0.22.0"),
            r#"[apis]
  [apis.buildpack]
    deprecated = []
    supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13"]
  [apis.platform]
    deprecated = []
    supported = ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16"]

[api]
  platform = "0.7"
  buildpack = "0.7"

[lifecycle]
  version = "0.22.0"
  sbom-formats = ["application/vnd.cyclonedx+json", "application/spdx+json", "application/vnd.syft+json"]
"#
        );
    }

    #[test]
    fn the_lists_are_those_that_are_served() {
        let descriptor: toml::Table = render_descriptor("1").parse().unwrap();
        let label: serde_json::Value = serde_json::from_str(&render_apis()).unwrap();
        let lists = |name: &str, served: Vec<String>| {
            let listed: Vec<&str> =
                descriptor["apis"][name]["supported"].as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
            assert_eq!(listed, served);
            assert_eq!(label[name]["supported"], serde_json::json!(served));
            assert_eq!(label[name]["deprecated"], serde_json::json!([]));
        };
        lists("platform", PlatformApi::all().map(|api| api.to_string()).collect());
        lists("buildpack", BuildpackApi::all().map(|api| api.to_string()).collect());
    }

    #[test]
    fn the_builders_label_has_the_oldest_versions() {
        assert_eq!(
            render_builder_metadata("0.22.0"),
            r#"{"lifecycle":{"version":"0.22.0"},"api":{"buildpack":"0.7","platform":"0.7"}}"#
        );
    }
}
