//! Where buildpacks and extensions lie, and reading their descriptors.
//!
//! Clause: buildpack.md#buildpack-file-structure; platform.md#buildpacks-directory-layout.

use std::path::{Path, PathBuf};

use crate::model::descriptor::Descriptor;
use crate::model::id::{ModuleId, ModuleKind};
use crate::os::document;
use crate::schema;

/// The folders with buildpacks and extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Buildpacks: `<buildpacks>/<escaped id>/<version>/buildpack.toml`.
    pub buildpacks: PathBuf,
    /// Extensions: `<extensions>/<escaped id>/<version>/extension.toml`.
    pub extensions: PathBuf,
}

/// Why a descriptor could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or read.
    #[error("open {}: {}", path.display(), crate::os::error_text(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no descriptor.
    #[error("failed to read {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: schema::Error,
    },
}

impl Store {
    /// The folder of a module.
    pub fn root(&self, kind: ModuleKind, id: &ModuleId, version: &str) -> PathBuf {
        let dir = match kind {
            ModuleKind::Buildpack => &self.buildpacks,
            ModuleKind::Extension => &self.extensions,
        };
        dir.join(id.escaped()).join(version)
    }

    /// Reads the descriptor of a module.
    ///
    /// # Errors
    /// The file is missing, unreadable or no descriptor.
    pub fn descriptor(&self, kind: ModuleKind, id: &ModuleId, version: &str) -> Result<Descriptor, StoreError> {
        let root = self.root(kind, id, version);
        let path = root.join(match kind {
            ModuleKind::Buildpack => "buildpack.toml",
            ModuleKind::Extension => "extension.toml",
        });
        read(&path, kind, &root)
    }
}

fn read(path: &Path, kind: ModuleKind, root: &Path) -> Result<Descriptor, StoreError> {
    let text = document::read_file(path)
        .and_then(|text| text.ok_or_else(|| nix::errno::Errno::ENOENT.into()))
        .map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    schema::descriptor::parse(&text, kind, root).map_err(|source| StoreError::Parse { path: path.to_owned(), source })
}
