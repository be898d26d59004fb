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

/// An archive written by hand, as no sound program would.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    /// Where the last header is.
    last: usize,
}

impl Archive {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn entry(mut self, name: &str, letter: u8, mode: u32, link: &str, contents: &[u8]) -> Self {
        let mut header = [0; 512];
        let field = |header: &mut [u8; 512], at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        field(&mut header, 0, name);
        field(&mut header, 100, &format!("{mode:07o}"));
        field(&mut header, 124, &format!("{:011o}", contents.len()));
        field(&mut header, 157, link);
        field(&mut header, 257, "ustar\x0000");
        header[156] = letter;
        self.last = self.bytes.len();
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(contents);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.patch(|_| ())
    }

    pub(super) fn file(self, name: &str, contents: &str) -> Self {
        self.entry(name, b'0', 0o644, "", contents.as_bytes())
    }

    pub(super) fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(name, b'5', mode, "", b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', 0o777, target, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name, b'1', 0o644, target, b"")
    }

    pub(super) fn pax(self, records: &[(&str, &str)]) -> Self {
        let record = |(key, value): &(&str, &str)| {
            let others = key.len() + value.len() + 3;
            let digits = (1..=5).find(|digits| (others + digits).to_string().len() == *digits).unwrap();
            format!("{} {key}={value}\n", others + digits)
        };
        let contents: String = records.iter().map(record).collect();
        self.entry("PaxHeaders.0/x", b'x', 0, "", contents.as_bytes())
    }

    /// Changes the last header, and makes its checksum right again.
    pub(super) fn patch(mut self, change: impl Fn(&mut [u8])) -> Self {
        let header = &mut self.bytes[self.last..self.last + 512];
        change(header);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self
    }

    /// The whole, with its end marker.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }
}

/// Runs something as a user who may not read everything, also when tests run as root.
pub(super) fn without_privileges<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Holds for this thread alone.
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            run()
        });
        thread.join().unwrap()
    })
}
