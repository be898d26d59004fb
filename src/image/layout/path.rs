//! Where in the layout folder an image lies.
//!
//! Catalogue 1, section 2.2, "Layout path" and "Identifier forms".

use std::path::{Path, PathBuf};

use crate::model::digest::Digest;
use crate::model::reference::{Reference, ReferenceError, Version};

/// The folder of an image's layout: `<layout-dir>/<registry>/<repository>/<tag>`, or `.../sha256/<hex>` for a digest. A
/// name that is already a path below the layout folder, or `<path>@sha256:<hex>`, is taken as that path.
///
/// # Errors
/// The name is neither such a path nor an image name.
pub fn layout_path(layout_dir: &Path, name: &str) -> Result<PathBuf, ReferenceError> {
    Place::find(layout_dir, name).map(|place| place.folder)
}

/// An image in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The layout's folder.
    pub(super) folder: PathBuf,
    /// The manifest; `None` means the one that the index names.
    pub(super) digest: Option<Digest>,
}

impl Place {
    /// Finds the place that a name means; whether there is something is another question.
    pub(super) fn find(layout_dir: &Path, name: &str) -> Result<Self, ReferenceError> {
        let is_path = |text: &str| {
            let path = Path::new(text);
            path.is_absolute() || (!layout_dir.as_os_str().is_empty() && path.starts_with(layout_dir))
        };
        if let Some((folder, digest)) = name.rsplit_once('@')
            && is_path(folder)
            && let Ok(digest) = Digest::parse(digest)
        {
            return Ok(Self { folder: folder.into(), digest: Some(digest) });
        }
        if is_path(name) {
            return Ok(Self { folder: name.into(), digest: None });
        }
        let reference = Reference::parse(name)?;
        let folder = layout_dir.join(reference.registry()).join(reference.repository());
        match reference.version() {
            // These are tags by their grammar, and would lead out of the repository's folder.
            Version::Tag(tag) if tag == "." || tag == ".." => Err(ReferenceError(name.to_owned())),
            Version::Tag(tag) => Ok(Self { folder: folder.join(tag), digest: None }),
            Version::Digest(digest) => {
                Ok(Self { folder: folder.join("sha256").join(digest.hex()), digest: Some(digest.clone()) })
            }
        }
    }

    /// The place that an identifier `<path>@sha256:<hex>` means.
    pub(super) fn of_identifier(identifier: &str) -> Option<Self> {
        let (folder, digest) = identifier.rsplit_once('@')?;
        Some(Self { folder: folder.into(), digest: Some(Digest::parse(digest).ok()?) })
    }

    /// The text for `org.opencontainers.image.ref.name`: the tag, or the digest.
    pub(super) fn ref_name(&self) -> String {
        let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = last(&self.folder);
        match self.folder.parent() {
            Some(parent) if last(parent) == "sha256" && name.len() == 64 => format!("sha256:{name}"),
            _ => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> String {
        layout_path(Path::new("/layout"), name)
            .map_or_else(|error| error.to_string(), |path| path.display().to_string())
    }

    #[test]
    fn maps_names_to_folders() {
        let hex = "a".repeat(64);
        for (name, expected) in [
            ("busybox", "/layout/index.docker.io/library/busybox/latest".to_owned()),
            ("a.io:5000/my/app:1", "/layout/a.io:5000/my/app/1".to_owned()),
            (&format!("a.io/app@sha256:{hex}"), format!("/layout/a.io/app/sha256/{hex}")),
            ("/layout/Some/Where", "/layout/Some/Where".to_owned()),
            ("/elsewhere", "/elsewhere".to_owned()),
            (&format!("/layout/x@sha256:{hex}"), "/layout/x".to_owned()),
        ] {
            assert_eq!(path(name), expected, "{name}");
        }
    }

    #[test]
    fn knows_a_relative_layout_folder() {
        assert_eq!(layout_path(Path::new("out/layout"), "out/layout/x"), Ok(PathBuf::from("out/layout/x")));
        assert_eq!(layout_path(Path::new("out"), "my/app"), Ok(PathBuf::from("out/index.docker.io/my/app/latest")));
    }

    #[test]
    fn no_name_leads_out_of_its_repository() {
        for name in ["a.io/app:..", "a.io/app:.", "a.io/../app", "../app"] {
            assert_eq!(path(name), format!("could not parse reference: {name}"));
        }
    }

    #[test]
    fn names_the_ref_after_the_tag_or_the_digest() {
        let hex = "a".repeat(64);
        let name = |name: &str| Place::find(Path::new("/layout"), name).unwrap().ref_name();
        assert_eq!(name("app:v1"), "v1");
        assert_eq!(name(&format!("app@sha256:{hex}")), format!("sha256:{hex}"));
    }
}
