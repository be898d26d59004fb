//! Folders for tests, with the modes and ancestors that the golden digests of catalogue 2, section 2.3 stand for.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::directory::{Ancestor, Origin, plan};
use super::error::Error;
use super::tar::{Owner, Tar};
use crate::effect::images::TarSource;

/// A file system of its own: folders have mode 0755, and those above a layer belong to root.
pub(super) struct Fixture {
    root: TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// Where something with this absolute name is.
    pub(super) fn at(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.origin().locate(Path::new(name.as_ref()))
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        let ancestors = Some(Ancestor { mode: 0o755, owner: Owner { uid: 0, gid: 0 } });
        Origin { prefix: self.root.path(), ancestors }
    }

    pub(super) fn folder(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let at = self.at(name);
        for folder in at.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if folder.starts_with(self.root.path()) && !folder.exists() {
                fs::create_dir(folder).unwrap();
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        at
    }

    pub(super) fn file(&self, name: impl AsRef<OsStr>, contents: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let at = self.at(name);
        self.folder(Path::new("/").join(at.parent().unwrap().strip_prefix(self.root.path()).unwrap()));
        fs::write(&at, contents).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        at
    }

    pub(super) fn link(&self, name: &str, target: &str) -> PathBuf {
        let at = self.at(name);
        self.folder(Path::new(name).parent().unwrap());
        symlink(target, &at).unwrap();
        at
    }

    /// Plans the layer of a folder.
    pub(super) fn directory(&self, name: &str, owner: Owner) -> Result<Tar, Error> {
        plan(&self.origin(), Path::new(name), owner)
    }

    /// Compares the layer of a folder with a golden digest.
    pub(super) fn expect_directory(&self, name: &str, owner: Owner, sha256: &str, size: usize) {
        expect(&self.directory(name, owner).unwrap(), sha256, Some(size));
    }
}

/// The names in a layer, as they follow each other.
pub(super) fn listing(tar: &Tar) -> Vec<String> {
    let mut bytes = Vec::new();
    tar.write_tar(&mut bytes).unwrap();
    let mut names = Vec::new();
    let mut rest = &bytes[..];
    while rest[0] != 0 {
        let end = rest[..100].iter().position(|&byte| byte == 0).unwrap_or(100);
        names.push(String::from_utf8(rest[..end].to_vec()).unwrap());
        let size = usize::from_str_radix(std::str::from_utf8(&rest[124..135]).unwrap(), 8).unwrap();
        rest = &rest[512 + size.div_ceil(512) * 512..];
    }
    assert_eq!(rest, [0; 1024]);
    names
}

/// Compares a layer with a golden digest.
pub(super) fn expect(tar: &Tar, sha256: &str, size: Option<usize>) {
    let mut bytes = Vec::new();
    tar.write_tar(&mut bytes).unwrap();
    if let Some(size) = size {
        assert_eq!(bytes.len(), size);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let found: crate::model::digest::DiffId =
        crate::model::digest::DiffId::from_sha256(digest.as_ref().try_into().unwrap());
    assert_eq!(found.hex(), sha256);
}
