//! An image as others see it: fetched by skopeo, its digests recomputed by coreutils, unpacked by umoci.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::registry::Registry;
use super::tool;

/// A fetched image.
pub(crate) struct Image {
    /// The digest of its manifest.
    pub(crate) digest: String,
    /// Its manifest.
    pub(crate) manifest: Value,
    /// Its configuration.
    pub(crate) config: Value,
    /// The OCI layout it was fetched to.
    layout: PathBuf,
}

/// Of what an image is made, by digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Of the compressed bytes.
    pub(crate) digest: String,
    /// Of the tar.
    pub(crate) diff_id: String,
    /// Who made it, from the history.
    pub(crate) created_by: String,
}

impl Image {
    /// Fetches an image to the new folder `layout`, which fails unless skopeo finds it sound, and recomputes every digest
    /// and size.
    #[track_caller]
    pub(crate) fn fetch(registry: &Registry, image: &str, layout: &Path) -> Self {
        let mut skopeo = registry.skopeo(&["copy", "--quiet", "--preserve-digests", "--src-tls-verify=false"]);
        skopeo.args(registry.reader());
        tool(skopeo.arg(format!("docker://{image}")).arg(format!("oci:{}:app", layout.display())));
        Self::read_whole(layout)
    }

    /// Reads the only image of an OCI layout, and recomputes every digest and size.
    #[track_caller]
    pub(crate) fn read_whole(layout: &Path) -> Self {
        let image = Self::read(layout);
        image.conforms();
        image
    }

    /// Reads the only image of an OCI layout.
    #[track_caller]
    pub(crate) fn read(layout: &Path) -> Self {
        let index = json(&layout.join("index.json"));
        let digest = text(&index["manifests"][0]["digest"]);
        let manifest = json(&blob(layout, &digest));
        let config = json(&blob(layout, &text(&manifest["config"]["digest"])));
        Self { digest, manifest, config, layout: layout.to_owned() }
    }

    /// The layers from the lowest, with the history entry of each.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let history = list(&self.config["history"]);
        let history = history.iter().filter(|entry| entry["empty_layer"] != Value::Bool(true));
        let (layers, diff_ids) = (list(&self.manifest["layers"]), list(&self.config["rootfs"]["diff_ids"]));
        let layers = layers.iter().zip(diff_ids).zip(history).map(|((layer, diff_id), entry)| Layer {
            digest: text(&layer["digest"]),
            diff_id: text(diff_id),
            created_by: entry["created_by"].as_str().unwrap_or_default().to_owned(),
        });
        layers.collect()
    }

    /// A label that holds JSON.
    #[track_caller]
    pub(crate) fn label(&self, name: &str) -> Value {
        let label = &self.config["config"]["Labels"][name];
        let label = label.as_str().unwrap_or_else(|| panic!("there is no label {name}: {:#}", self.config));
        serde_json::from_str(label).unwrap_or_else(|error| panic!("label {name}: {error}: {label}"))
    }

    /// The entries of a layer as tar shows them: mode, owner, size, time, name.
    #[track_caller]
    pub(crate) fn listing(&self, layer: &Layer) -> Vec<String> {
        let mut tar = Command::new("tar");
        tar.env("TZ", "UTC").args(["--numeric-owner", "--full-time", "-P", "-tvzf"]);
        let listed = tool(tar.arg(blob(&self.layout, &layer.digest)));
        String::from_utf8(listed).unwrap().lines().map(str::to_owned).collect()
    }

    /// Unpacks the image as umoci does, and returns its root file system. Needs root.
    #[track_caller]
    pub(crate) fn unpack(&self, bundle: &Path) -> PathBuf {
        let image = format!("{}:app", self.layout.display());
        tool(Command::new("umoci").args(["unpack", "--image", &image]).arg(bundle));
        bundle.join("rootfs")
    }

    /// Recomputes every digest and size with programs that know nothing of this project.
    #[track_caller]
    fn conforms(&self) {
        assert_eq!(sum(&blob(&self.layout, &self.digest)), self.digest, "the manifest's digest");
        let layers = list(&self.manifest["layers"]);
        for descriptor in layers.iter().chain([&self.manifest["config"]]) {
            let path = blob(&self.layout, &text(&descriptor["digest"]));
            assert_eq!(sum(&path), text(&descriptor["digest"]), "{descriptor}");
            assert_eq!(fs::metadata(&path).unwrap().len(), descriptor["size"].as_u64().unwrap(), "{descriptor}");
        }
        let diff_ids = list(&self.config["rootfs"]["diff_ids"]);
        let history = list(&self.config["history"]);
        let with_layer = history.iter().filter(|entry| entry["empty_layer"] != Value::Bool(true)).count();
        assert_eq!((layers.len(), with_layer), (diff_ids.len(), diff_ids.len()), "layers, history and diff ids");
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let mut gzip = Command::new("gzip");
            gzip.arg("-dc").stdin(fs::File::open(blob(&self.layout, &text(&layer["digest"]))).unwrap());
            let mut gzip = gzip.stdout(Stdio::piped()).spawn().unwrap();
            let mut tar = Command::new("sha256sum");
            let found = first_word(&tool(tar.stdin(gzip.stdout.take().unwrap())));
            assert!(gzip.wait().unwrap().success(), "gzip cannot read {layer}");
            assert_eq!(format!("sha256:{found}"), text(diff_id), "{layer}");
        }
    }
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

#[track_caller]
fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn sum(path: &Path) -> String {
    format!("sha256:{}", first_word(&tool(Command::new("sha256sum").arg(path))))
}

fn first_word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().next().unwrap_or_default().to_owned()
}
