//! A folder that an archive may fill, and nothing but that folder.
//!
//! Every name is resolved from an open folder, one that lies in the place, and never through a link: so neither `..`
//! nor absolute names nor links, whether the archive made them or they were there before, lead out of it (policy P15).
//! The kernel does that in one step where it has `openat2`; elsewhere each component is opened by itself.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, fchmod, linkat, mkdirat, openat, openat2, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::error::Error;
use super::stream::path;

/// What it takes to fill a folder.
const OWNER_ALL: u32 = 0o700;

/// The folder, open. Names are below it: without a slash in front, without `.` and `..`.
pub(super) struct Place {
    /// Where it is in the file system.
    at: PathBuf,
    /// It was not there before.
    fresh: bool,
    anchor: OwnedFd,
    /// The folder used last, because entries of one folder follow each other; its name and itself.
    here: Option<(Vec<u8>, OwnedFd)>,
    /// Permissions that would hinder filling a folder: set at the end.
    late_modes: Vec<(Vec<u8>, u32)>,
    /// All that was made, if it is among things that were there before: else the whole contents can be removed.
    journal: Option<Vec<Vec<u8>>>,
    /// Permissions that new files do not get.
    umask: u32,
}

impl Place {
    /// Opens the folder, and makes it, if need be. A link with this very name is replaced; links above are followed.
    pub(super) fn open(at: &Path) -> Result<Self, Error> {
        let (fresh, anchor) = match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                std::fs::create_dir_all(parent).map_err(|cause| Error::system("mkdir", parent, cause))?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let above = openat(CWD, parent, flags, Mode::empty());
                let above = above.map_err(|cause| Error::system("open", parent, cause))?;
                make_folder(above.as_fd(), Path::new(name), 0o777).map_err(|cause| Error::system("mkdir", at, cause))?
            }
            _ => (false, open_folder(CWD, at).map_err(|cause| Error::system("open", at, cause))?),
        };
        let empty = fresh || std::fs::read_dir(at).is_ok_and(|mut entries| entries.next().is_none());
        Ok(Self {
            at: at.to_owned(),
            fresh,
            anchor,
            here: None,
            late_modes: Vec::new(),
            journal: (!empty).then(Vec::new),
            umask: umask().unwrap_or(0o777),
        })
    }

    /// Makes a folder with these permissions. One that is there stays as it is; anything else gives way.
    pub(super) fn directory(&mut self, name: &[u8], mode: u32) -> Result<(), Error> {
        if name.is_empty() {
            if self.fresh {
                self.late_modes.push((Vec::new(), mode));
            }
            return Ok(());
        }
        let base = self.enter_parent(name)?;
        let (made, fd) =
            make_folder(self.folder(), base, OWNER_ALL).map_err(|cause| self.error("mkdir", name, cause))?;
        if made {
            self.note(name);
            if mode & OWNER_ALL == OWNER_ALL {
                fchmod(&fd, Mode::from_raw_mode(mode)).map_err(|cause| self.error("chmod", name, cause))?;
            } else {
                self.late_modes.push((name.to_vec(), mode));
            }
        }
        self.here = Some((name.to_vec(), fd));
        Ok(())
    }

    /// Makes a file, and lets `fill` write it. Never writes to a file that was there: that may have other names.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        mode: u32,
        fill: impl FnOnce(&mut File) -> Result<(), FillError>,
    ) -> Result<(), Error> {
        let base = self.enter_parent(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = |folder: BorrowedFd<'_>| openat(folder, base, flags, Mode::from_raw_mode(mode & 0o777));
        let fd = self.replace(base, create).map_err(|cause| self.error("open", name, cause))?;
        self.note(name);
        let mut file = File::from(fd);
        fill(&mut file).map_err(|error| match error {
            FillError::Write(cause) => self.error("write", name, cause),
            FillError::Read(error) => error,
        })?;
        // Only now, because writing takes the bits for set-user-id away.
        if mode & (self.umask | 0o7000) != 0 {
            fchmod(&file, Mode::from_raw_mode(mode)).map_err(|cause| self.error("chmod", name, cause))?;
        }
        Ok(())
    }

    /// Makes a symbolic link. Where it points to does not matter: it is never followed here.
    pub(super) fn symlink(&mut self, name: &[u8], target: &[u8]) -> Result<(), Error> {
        let base = self.enter_parent(name)?;
        let link = |folder: BorrowedFd<'_>| symlinkat(path(target), folder, base);
        self.replace(base, link).map_err(|cause| self.error("symlink", name, cause))?;
        self.note(name);
        Ok(())
    }

    /// Gives a file of this place another name.
    pub(super) fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<(), Error> {
        if name == target {
            return Ok(());
        }
        let target_base = self.enter_parent(target)?;
        let from = openat(self.folder(), ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|cause| self.error("open", target, cause))?;
        let base = self.enter_parent(name)?;
        let link = |folder: BorrowedFd<'_>| linkat(&from, target_base, folder, base, AtFlags::empty());
        match self.replace(base, link) {
            Ok(()) => self.note(name),
            // Not every file system has hard links, and none has any number of them.
            Err(Errno::PERM | Errno::MLINK | Errno::NOTSUP | Errno::NOSYS | Errno::XDEV) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let open = openat(&from, target_base, flags, Mode::empty());
                let mut original = File::from(open.map_err(|cause| self.error("open", target, cause))?);
                let found = rustix::fs::fstat(&original).map_err(|cause| self.error("stat", target, cause))?;
                self.file(name, found.st_mode & 0o7777, |copy| {
                    io::copy(&mut original, copy).map(|_| ()).map_err(FillError::Write)
                })?;
            }
            Err(cause) => return Err(self.error("link", name, cause)),
        }
        Ok(())
    }

    /// Sets the permissions that had to wait, those of inner folders first.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        for (name, mode) in std::mem::take(&mut self.late_modes).into_iter().rev() {
            let base = if name.is_empty() { self.leave() } else { self.enter_parent(&name)? };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let set = openat(self.folder(), base, flags, Mode::empty())
                .and_then(|folder| fchmod(folder, Mode::from_raw_mode(mode)));
            set.map_err(|cause| self.error("chmod", &name, cause))?;
        }
        Ok(())
    }

    /// Removes what was made, as far as that is possible.
    pub(super) fn abandon(mut self) {
        match self.journal.take() {
            Some(made) => {
                for name in made.iter().rev() {
                    let Ok(base) = self.enter_parent(name) else { continue };
                    if unlinkat(self.folder(), base, AtFlags::empty()).is_err() {
                        let _ = unlinkat(self.folder(), base, AtFlags::REMOVEDIR);
                    }
                }
            }
            None if self.fresh => drop(std::fs::remove_dir_all(&self.at)),
            None => {
                for entry in std::fs::read_dir(&self.at).into_iter().flatten().flatten() {
                    if std::fs::remove_file(entry.path()).is_err() {
                        let _ = std::fs::remove_dir_all(entry.path());
                    }
                }
            }
        }
    }

    /// Opens the folder that a name is in, with those above it that are missing; returns the last component.
    fn enter_parent<'n>(&mut self, name: &'n [u8]) -> Result<&'n Path, Error> {
        let Some(slash) = name.iter().rposition(|&byte| byte == b'/') else {
            self.leave();
            return Ok(path(name));
        };
        self.enter(&name[..slash])?;
        Ok(path(&name[slash + 1..]))
    }

    /// Goes back to the place itself.
    fn leave(&mut self) -> &'static Path {
        self.here = None;
        Path::new(".")
    }

    /// Opens a folder below the place as the one to work in.
    fn enter(&mut self, folder: &[u8]) -> Result<(), Error> {
        let (from, rest) = match &self.here {
            Some((here, _)) if here == folder => return Ok(()),
            Some((here, fd)) if folder.starts_with(here) && folder[here.len()] == b'/' => {
                (fd.as_fd(), &folder[here.len() + 1..])
            }
            _ => (self.anchor.as_fd(), folder),
        };
        let (fd, made) = match resolve(from, rest) {
            Some(fd) => (fd, Vec::new()),
            None => resolve_by_steps(from, rest).map_err(|(length, cause)| {
                let at = &folder[..folder.len() - rest.len() + length];
                match cause {
                    Errno::LOOP | Errno::NOTDIR => Error::InTheWay { path: self.at.join(path(at)) },
                    cause => self.error("open", at, cause),
                }
            })?,
        };
        for length in made {
            self.note(&folder[..folder.len() - rest.len() + length]);
        }
        self.here = Some((folder.to_vec(), fd));
        Ok(())
    }

    /// The folder to work in.
    fn folder(&self) -> BorrowedFd<'_> {
        self.here.as_ref().map_or(self.anchor.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// Makes something in the folder to work in; a file or link with its name gives way.
    fn replace<T>(&self, base: &Path, make: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
        match make(self.folder()) {
            Err(Errno::EXIST) => {
                unlinkat(self.folder(), base, AtFlags::empty())?;
                make(self.folder())
            }
            made => made,
        }
    }

    fn note(&mut self, name: &[u8]) {
        if let Some(journal) = &mut self.journal {
            journal.push(name.to_vec());
        }
    }

    fn error(&self, operation: &'static str, name: &[u8], cause: impl Into<io::Error>) -> Error {
        Error::system(operation, self.at.join(path(name)), cause)
    }
}

/// Why a file was not filled.
pub(super) enum FillError {
    /// It cannot be written.
    Write(io::Error),
    /// There is nothing more to write into it.
    Read(Error),
}

/// Opens a folder in one step, if the kernel can, and if the folder is there and no link on the way.
fn resolve(from: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(from, path(name), flags, Mode::empty(), resolve).ok()
}

/// Opens a folder one component after the other, and makes those that are missing: returns the lengths of their names.
/// An error comes with the length of the name that it is about.
fn resolve_by_steps(from: BorrowedFd<'_>, name: &[u8]) -> Result<(OwnedFd, Vec<usize>), (usize, Errno)> {
    let mut made = Vec::new();
    let mut folder: Option<OwnedFd> = None;
    let mut start = 0;
    for component in name.split(|&byte| byte == b'/') {
        let at = folder.as_ref().map_or(from, AsFd::as_fd);
        let end = start + component.len();
        let mut next = open_folder(at, path(component));
        if next.as_ref().is_err_and(|cause| *cause == Errno::NOENT) {
            match mkdirat(at, path(component), Mode::from_raw_mode(0o777)) {
                Ok(()) => made.push(end),
                Err(Errno::EXIST) => {}
                Err(cause) => return Err((end, cause)),
            }
            next = open_folder(at, path(component));
        }
        folder = Some(next.map_err(|cause| (end, cause))?);
        start = end + 1;
    }
    folder.map(|folder| (folder, made)).ok_or((0, Errno::NOENT))
}

/// Opens a folder by one component. A link is none.
fn open_folder(at: impl AsFd, name: &Path) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Makes a folder or opens the one that is there; anything else with that name gives way. Tells whether it was made:
/// then it is open for [`fchmod`] too.
fn make_folder(at: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<(bool, OwnedFd), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match mkdirat(at, name, mode) {
        Err(Errno::EXIST) => match open_folder(at, name) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                unlinkat(at, name, AtFlags::empty())?;
                mkdirat(at, name, mode)?;
            }
            found => return Ok((false, found?)),
        },
        made => made?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok((true, openat(at, name, flags, Mode::empty())?))
}

/// The process's mask for new files. It can only be asked for by changing it, which other threads would notice, so it is
/// read from the system's table of processes.
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn resolving_by_steps_finds_makes_and_refuses_what_the_kernel_would() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::create_dir(root.path().join("outside")).unwrap();
        std::fs::write(root.path().join("a/file"), "").unwrap();
        symlink("../outside", root.path().join("a/link")).unwrap();
        let anchor = open_folder(CWD, root.path()).unwrap();
        let steps = |name: &str| resolve_by_steps(anchor.as_fd(), name.as_bytes()).map(|(_, made)| made);
        let kernel = |name: &str| resolve(anchor.as_fd(), name.as_bytes()).is_some();

        assert_eq!((steps("a/b"), kernel("a/b")), (Ok(vec![]), true));
        for name in ["a/link", "a/link/x", "a/file", "a/file/x"] {
            assert!(!kernel(name));
            let (length, cause) = steps(name).unwrap_err();
            assert_eq!(&name[..length], name.trim_end_matches("/x"));
            assert!(matches!(cause, Errno::NOTDIR | Errno::LOOP));
        }
        assert!(!kernel("a/c/d"));
        assert_eq!((steps("a/c/d"), kernel("a/c/d")), (Ok(vec![3, 5]), true));
        assert!(!kernel("../a") && !kernel("/"));
        assert_eq!(std::fs::read_dir(root.path().join("outside")).unwrap().count(), 0);
    }

    #[test]
    fn the_mask_for_new_files_is_known() {
        let root = tempfile::tempdir().unwrap();
        let file = File::create(root.path().join("file")).unwrap();
        let mode = rustix::fs::fstat(&file).unwrap().st_mode & 0o777;
        assert_eq!(umask().map(|umask| 0o666 & !umask), Some(mode));
    }
}
