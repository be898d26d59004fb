//! Base images for the extender: what the restorer leaves in `<kaniko>/cache/base`.
//!
//! Clause: platform.md#restorer; catalogue 1, section 4.2, items 4 and 6, catalogue 3, section A5; policy P32. Each image
//! has a layout of its own, named by the digest of its manifest. It is sparse: the extender runs in a container of that
//! image, which has the files of its layers.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::layout;
use crate::effect::images::{ImageError, Images, Opened};
use crate::model::image::ImageRecord;
use crate::os::error_text;

/// Why an image was not pulled. Each variant prints what the reference prints behind `failed to pull <image>: `.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder of the cache cannot be made.
    #[error("failed to create cache directory: mkdir {}: {}", path.display(), error_text(.cause))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The registry cannot be reached or refuses.
    #[error("failed to initialize remote image: {0}")]
    Open(#[from] ImageError),
    /// There is no such image.
    #[error("failed to get remote image")]
    Missing,
    /// It does not fit together.
    #[error("failed to initialize remote image: it is corrupt: {0}")]
    Corrupt(String),
    /// It cannot be written.
    #[error("failed to save layout image: {0}")]
    Save(#[from] layout::Error),
}

/// Reads an image without its layers, and keeps it for the extender. `saving` hears where before it is written.
///
/// # Errors
/// See [`Error`].
pub fn pull(kaniko: &Path, images: &dyn Images, name: &str, saving: impl FnOnce(&Path)) -> Result<ImageRecord, Error> {
    let base = base_dir(kaniko)?;
    let image = match images.open(name)? {
        Opened::Found(image) => *image,
        Opened::Missing => return Err(Error::Missing),
        Opened::Corrupt(reason) => return Err(Error::Corrupt(reason)),
    };
    let documents = images.documents(&image)?;
    let digest = super::sha256::digest(&documents.manifest);
    let folder = base.join(digest.as_str());
    saving(&folder);
    layout::write_sparse(&folder, &image, &documents)?;
    Ok(image)
}

/// Makes the folder of base images, if it is not there.
fn base_dir(kaniko: &Path) -> Result<PathBuf, Error> {
    let base = kaniko.join("cache/base");
    for path in [kaniko, &kaniko.join("cache"), &base] {
        let made = DirBuilder::new().mode(0o755).create(path);
        match made {
            Err(cause) if !path.is_dir() => return Err(Error::Folder { path: path.to_owned(), cause }),
            _ => {}
        }
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::effect::images::StoreKind;
    use crate::image::conforms::Heard;
    use crate::image::layout::LayoutImages;
    use crate::image::memory::MemoryImages;
    use crate::image::sha256;
    use crate::model::image::ImageConfig;

    /// A layout folder with the image `build` in it, as another program might have written it.
    fn build_image() -> (TempDir, LayoutImages, String) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("build");
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let blob = |text: &str| {
            let digest = sha256::digest(text.as_bytes());
            fs::write(folder.join("blobs/sha256").join(digest.hex()), text).unwrap();
            format!(r#""digest": "{digest}", "size": {}"#, text.len())
        };
        let layer = "a layer";
        let diff_id = sha256::digest(layer.as_bytes());
        let config = format!(r#"{{ "os": "linux", "vendor": 1, "rootfs": {{ "diff_ids": ["{diff_id}"] }} }}"#);
        let manifest = format!(
            r#"{{ "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {{ {} }}, "layers": [{{ {} }}] }}"#,
            blob(&config),
            blob(layer)
        );
        fs::write(folder.join("index.json"), format!(r#"{{ "manifests": [{{ {} }}] }}"#, blob(&manifest))).unwrap();
        let images = LayoutImages::new(dir.path().to_owned(), "amd64", Arc::new(Heard::default()).listener());
        let name = folder.display().to_string();
        (dir, images, name)
    }

    /// All files below a folder.
    fn files(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                found.extend(files(&path).into_iter().map(|below| format!("{name}/{below}")));
            } else {
                found.push(name);
            }
        }
        found.sort();
        found
    }

    #[test]
    fn keeps_an_image_byte_for_byte_without_its_layers() {
        let (dir, images, name) = build_image();
        let kaniko = dir.path().join("kaniko");
        let mut told = None;
        let image = pull(&kaniko, &images, &name, |path| told = Some(path.to_owned())).unwrap();
        let (_, digest) = image.identifier.rsplit_once('@').unwrap();
        let folder = kaniko.join("cache/base").join(digest);
        assert_eq!(told.as_deref(), Some(folder.as_path()));
        let hex = digest.strip_prefix("sha256:").unwrap();
        let documents = images.documents(&image).unwrap();
        let config = sha256::digest(&documents.config);
        let mut expected = [
            format!("blobs/sha256/{hex}"),
            format!("blobs/sha256/{}", config.hex()),
            "index.json".into(),
            "oci-layout".into(),
        ];
        expected.sort();
        assert_eq!(files(&folder), expected);
        assert_eq!(fs::read(folder.join("blobs/sha256").join(hex)).unwrap(), documents.manifest);
        let images_there = LayoutImages::new(PathBuf::new(), "amd64", Arc::new(Heard::default()).listener());
        let Opened::Found(kept) = images_there.open(&folder.display().to_string()).unwrap() else { panic!("not kept") };
        assert_eq!((&kept.config, &kept.layers), (&image.config, &image.layers));
        assert_eq!(kept.manifest_media_type, "application/vnd.docker.distribution.manifest.v2+json");
        // A second build finds it there.
        assert!(pull(&kaniko, &images, &name, |_| ()).is_ok());
        assert_eq!(fs::read_dir(kaniko.join("cache/base")).unwrap().count(), 1);
    }

    #[test]
    fn says_why_an_image_is_not_kept() {
        let (dir, images, name) = build_image();
        let error = |kaniko: &Path, images: &dyn Images, name: &str| pull(kaniko, images, name, |_| ()).unwrap_err();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let below = error(&file.join("kaniko"), &images, &name).to_string();
        assert_eq!(
            below,
            format!("failed to create cache directory: mkdir {}/kaniko: not a directory", file.display())
        );
        let kaniko = dir.path().join("kaniko");
        assert_eq!(error(&kaniko, &images, "a.io/none").to_string(), "failed to get remote image");
        let daemon = MemoryImages::new(StoreKind::Daemon);
        let image = daemon.insert("a.io/run", ImageConfig::default(), Vec::new());
        assert_eq!(
            error(&kaniko, &daemon, "a.io/run").to_string(),
            format!("failed to initialize remote image: image {} has no manifest", image.identifier)
        );
        daemon.corrupt("a.io/run", "no layers");
        let corrupt = error(&kaniko, &daemon, "a.io/run").to_string();
        assert_eq!(corrupt, "failed to initialize remote image: it is corrupt: no layers");
        daemon.deny_read("a.io/run", "401 Unauthorized");
        let denied = error(&kaniko, &daemon, "a.io/run").to_string();
        assert_eq!(denied, "failed to initialize remote image: 401 Unauthorized");
        let manifest = fs::read_dir(dir.path().join("build/blobs/sha256")).unwrap().count();
        assert_eq!((manifest, fs::read_dir(kaniko.join("cache/base")).unwrap().count()), (3, 0));
    }
}
