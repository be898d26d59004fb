//! Media types of the documents and layers that are written and understood, by family.
//!
//! Clauses: OCI image specification, media types; distribution of docker's image manifest v2, schema 2; policy P7.

use std::sync::LazyLock;

use oci_spec::image::{MediaType, ToDockerV2S2 as _};

use crate::model::image::MediaFamily;

static MANIFEST: MediaType = MediaType::ImageManifest;
static INDEX: MediaType = MediaType::ImageIndex;
static CONFIG: MediaType = MediaType::ImageConfig;
static LAYER: MediaType = MediaType::ImageLayerGzip;

/// What all media types of docker begin with.
const DOCKER: &str = "application/vnd.docker.";

/// The media type of a manifest.
pub fn manifest(family: MediaFamily) -> &'static str {
    name(&MANIFEST, family)
}

/// The media type of a configuration.
pub fn config(family: MediaFamily) -> &'static str {
    name(&CONFIG, family)
}

/// The media type of a layer compressed with gzip.
pub fn layer(family: MediaFamily) -> &'static str {
    name(&LAYER, family)
}

/// The media type of a layer that is not compressed.
pub fn plain_layer(family: MediaFamily) -> &'static str {
    match family {
        MediaFamily::Docker => "application/vnd.docker.image.rootfs.diff.tar",
        MediaFamily::Oci => MediaType::ImageLayer.as_ref(),
    }
}

/// The media types of layers by their compression, docker's and OCI's: the bytes behind both are the same.
const LAYERS: [[&str; 2]; 5] = [
    ["application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"],
    ["application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"],
    ["application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+zstd"],
    ["application/vnd.docker.image.rootfs.foreign.diff.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"],
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ],
];

/// What a layer of this media type is called in an image of a family; what has no name there keeps its own.
pub(super) fn layer_in(family: MediaFamily, media_type: &str) -> &str {
    match (LAYERS.iter().find(|names| names.contains(&media_type)), family) {
        (Some([docker, _]), MediaFamily::Docker) => docker,
        (Some([_, oci]), MediaFamily::Oci) => oci,
        (None, _) => media_type,
    }
}

/// The family of an image whose manifest has this media type.
pub(super) fn family(manifest: &str) -> MediaFamily {
    if manifest.starts_with(DOCKER) { MediaFamily::Docker } else { MediaFamily::Oci }
}

/// The manifests and indexes that are understood, as a request asks for them.
pub(super) static ACCEPTED: LazyLock<String> = LazyLock::new(|| {
    let families = |kind| [MediaFamily::Oci, MediaFamily::Docker].map(|family| name(kind, family));
    [&MANIFEST, &INDEX].map(families).concat().join(", ")
});

fn name(media_type: &'static MediaType, family: MediaFamily) -> &'static str {
    match family {
        MediaFamily::Oci => media_type.as_ref(),
        // All that are asked for have one of docker's; a type without stands for itself.
        MediaFamily::Docker => media_type.to_docker_v2s2().unwrap_or_else(|_| media_type.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_names() {
        let names =
            [manifest, config, layer, plain_layer].map(|name| (name(MediaFamily::Docker), name(MediaFamily::Oci)));
        assert_eq!(
            names,
            [
                ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json",),
                ("application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"),
                ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip",),
                ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
            ]
        );
        assert_eq!(
            names.map(|(docker, oci)| (family(docker), family(oci)))[0],
            (MediaFamily::Docker, MediaFamily::Oci)
        );
    }

    #[test]
    fn a_layer_keeps_its_compression_under_the_name_of_another_family() {
        for [docker, oci] in LAYERS {
            for media_type in [docker, oci] {
                assert_eq!(layer_in(MediaFamily::Docker, media_type), docker);
                assert_eq!(layer_in(MediaFamily::Oci, media_type), oci);
            }
        }
        let nameless = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
        assert_eq!(layer_in(MediaFamily::Docker, nameless), nameless);
    }

    #[test]
    fn manifests_and_indexes_of_both_families_are_understood() {
        assert_eq!(
            *ACCEPTED,
            "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
             application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
        );
    }
}
