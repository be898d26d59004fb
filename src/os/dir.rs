//! Listing and reading folders.
//!
//! The launcher looks into every layer of an image before the app starts, so this asks the system as little as it can:
//! paths start at a folder that is open already, and names and contents pass through the stack. The directory streams
//! and file buffers of the standard library cost twice the time.

use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Result};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};
use rustix::io::{Errno, retry_on_intr};

/// What a folder has under one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it is; a link is no folder, wherever it leads.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A regular file.
    File,
    /// Anything else.
    Other,
}

impl From<FileType> for Kind {
    fn from(found: FileType) -> Self {
        match found {
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            FileType::RegularFile => Self::File,
            _ => Self::Other,
        }
    }
}

/// A folder that is open.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder; `None` if it is missing.
    ///
    /// # Errors
    /// It is no folder, or the system refuses.
    pub fn open(path: PathBuf) -> Result<Option<Self>> {
        let fd = opened(openat(CWD, &path, FOLDER, Mode::empty()))?;
        Ok(fd.map(|fd| Self { fd, path }))
    }

    /// Opens a folder below this one; `None` if it is missing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_below(&self, path: &Path) -> Result<Option<Self>> {
        let fd = opened(openat(&self.fd, path, FOLDER, Mode::empty()))?;
        Ok(fd.map(|fd| Self { fd, path: self.path.join(path) }))
    }

    /// The path by which the folder was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether there is something at a path below the folder. Links are followed.
    ///
    /// # Errors
    /// The system does not say.
    pub fn has(&self, path: &Path) -> Result<bool> {
        match statat(&self.fd, path, AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Says what a name stands for, when links are followed.
    ///
    /// # Errors
    /// There is no such name, or the system does not say.
    pub fn kind(&self, name: &OsStr) -> Result<Kind> {
        let stat = statat(&self.fd, name, AtFlags::empty())?;
        Ok(FileType::from_raw_mode(stat.st_mode).into())
    }

    /// Lists what is in the folder, sorted by the bytes of the names.
    ///
    /// # Errors
    /// The system refuses.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        // A heap sorts with a tenth of the code of `sort`: the launcher has to be small.
        let mut entries = BinaryHeap::new();
        let mut buffer = [MaybeUninit::uninit(); 8 << 10];
        let mut found = RawDir::new(&self.fd, &mut buffer);
        while let Some(entry) = found.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems keep it to themselves.
                FileType::Unknown => {
                    FileType::from_raw_mode(statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
                }
                known => known,
            };
            entries.push(Entry { name: name.to_owned(), kind: kind.into() });
        }
        Ok(entries.into_sorted_vec())
    }

    /// Reads what a name of the folder stands for; `kind` is what [`Self::entries`] says of it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn read(&self, name: &OsStr, kind: Kind) -> Result<Vec<u8>> {
        let file = retry_on_intr(|| openat(&self.fd, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))?;
        let mut contents = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 4 << 10];
        loop {
            match rustix::io::read(&file, &mut buffer) {
                Ok(([], _)) => return Ok(contents),
                Ok((read, rest)) => {
                    contents.extend_from_slice(read);
                    // A regular file gives as much as it has, so there is no need to ask whether it goes on.
                    if kind == Kind::File && !rest.is_empty() {
                        return Ok(contents);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How folders are opened.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn opened(result: rustix::io::Result<OwnedFd>) -> Result<Option<OwnedFd>> {
    match result {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn open(path: &Path) -> Folder {
        Folder::open(path.to_owned()).unwrap().unwrap()
    }

    #[test]
    fn lists_every_name_once_and_sorted() {
        let root = tempfile::tempdir().unwrap();
        // More than fits into what the system tells at once, and a name that is no text.
        let mut wanted: Vec<OsString> = (0..700).map(|index| format!("{index}{}", "x".repeat(100)).into()).collect();
        wanted.push(OsStr::from_bytes(b"\xff").to_owned());
        for name in &wanted {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        wanted.sort();
        let found = open(root.path()).entries().unwrap();
        assert!(found.iter().all(|entry| entry.kind == Kind::File));
        assert_eq!(found.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_link_is_listed_as_one_and_followed_when_asked() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dir")).unwrap();
        symlink("dir", root.path().join("link")).unwrap();
        symlink("nowhere", root.path().join("lost")).unwrap();
        let folder = open(root.path());
        let kinds: Vec<Kind> = folder.entries().unwrap().into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Folder, Kind::Link, Kind::Link]);
        assert_eq!(folder.kind(OsStr::new("link")).unwrap(), Kind::Folder);
        assert!(folder.has(Path::new("link")).unwrap());
        assert!(!folder.has(Path::new("lost")).unwrap());
    }

    #[test]
    fn reads_a_file_of_any_length() {
        let root = tempfile::tempdir().unwrap();
        let folder = open(root.path());
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let contents: Vec<u8> = (0..=255).cycle().take(length).collect();
            std::fs::write(root.path().join("file"), &contents).unwrap();
            for kind in [Kind::File, Kind::Other] {
                assert_eq!(folder.read(OsStr::new("file"), kind).unwrap(), contents);
            }
        }
    }

    #[test]
    fn a_missing_folder_is_none_and_a_file_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let folder = open(root.path());
        assert!(Folder::open(root.path().join("no")).unwrap().is_none());
        assert!(folder.open_below(Path::new("no/more")).unwrap().is_none());
        for path in ["file", "file/x"] {
            let error = folder.open_below(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotADirectory);
        }
    }
}
