//! OCI layouts for tests: written by hand, so that a fault of the lifecycle's own writer cannot hide behind its reader.

use std::fs;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// An image to be laid down as an OCI layout.
pub(crate) struct Image {
    /// Its configuration; `rootfs` and `history` are filled in.
    pub(crate) config: Value,
    /// The uncompressed tars of its layers.
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            config: json!({
                "architecture": cnb_lifecycle::os::os_release::architecture(),
                "os": "linux",
                "config": { "Env": ["PATH=/usr/bin:/bin"], "User": "1000", "Cmd": ["sh"] },
            }),
            layers: vec![empty_tar()],
        }
    }
}

/// A tar with nothing in it.
pub(crate) fn empty_tar() -> Vec<u8> {
    vec![0; 1024]
}

/// The digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String =
        digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("sha256:{hex}")
}

impl Image {
    /// Writes the layout; layers are not compressed, which a layout may have.
    pub(crate) fn write(&self, layout: &Path) {
        self.write_spoiled(layout, |_, _| {});
    }

    /// Writes the layout with a manifest and a configuration that `spoil` has changed.
    pub(crate) fn write_spoiled(&self, layout: &Path, spoil: impl FnOnce(&mut Value, &mut Value)) {
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let blob = |media_type: &str, bytes: &[u8]| {
            let digest = sha256(bytes);
            fs::write(blobs.join(&digest["sha256:".len()..]), bytes).unwrap();
            json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest })
        };
        let mut config = self.config.clone();
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| sha256(layer)).collect();
        config["history"] = self.layers.iter().map(|_| json!({ "created_by": "test" })).collect();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let layers: Vec<Value> =
            self.layers.iter().map(|layer| blob("application/vnd.oci.image.layer.v1.tar", layer)).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": layers,
        });
        spoil(&mut manifest, &mut config);
        manifest["config"] = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}
