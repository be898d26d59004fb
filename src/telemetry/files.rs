//! Folders and files below `<layers>/tracing`: append-only, readable by the group, and never a way out of the folder.
//!
//! Telemetry T2, T3, T7, R2, R5, R9, R11, R14. Every name is opened relative to the descriptor of its folder and without
//! following symlinks: buildpacks can write here before a phase that is root does.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::os::error_text;

/// User and group id.
pub type Owner = Option<(u32, u32)>;

/// A file or folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("'{}' cannot be used: {reason}", .path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why a file or folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The operating system says no.
    #[error("{}", error_text(.0))]
    Io(io::Error),
    /// There is a folder, device, pipe or socket where a file should be.
    #[error("it is not a regular file")]
    NotAFile,
    /// It has a second name, which may lie anywhere.
    #[error("it has more than one hard link")]
    Linked,
}

impl From<Errno> for Reason {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    owner: Owner,
}

/// A file as it was at some moment: which file, and how long.
#[derive(Debug)]
pub struct Seen {
    /// Where it is.
    pub path: PathBuf,
    name: String,
    identity: (u64, u64),
    size: i64,
    /// While it is open no other file can have its identity: file systems give away the numbers of deleted ones.
    _held: OwnedFd,
}

impl Seen {
    /// How long it was, in bytes.
    pub fn size(&self) -> i64 {
        self.size
    }
}

/// A file of lines that is only ever appended to.
#[derive(Debug)]
pub struct LineFile {
    fd: OwnedFd,
    /// A second descriptor without `O_APPEND`: on Linux `pwrite` on an append-only one ignores its offset.
    patch: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder that the platform named, wherever it leads.
    pub fn given(path: &Path, owner: Owner) -> Result<Self, FileError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty()).map_err(|error| at(path, error))?;
        Ok(Self { fd, path: path.to_owned(), owner })
    }

    /// Opens a folder inside this one, and makes it where it is not there: 2775, or 0775 where the group cannot be kept.
    pub fn inside(&self, name: &str) -> Result<Self, FileError> {
        let path = self.path.join(name);
        let make = || -> Result<OwnedFd, Errno> {
            let made = match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o775)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(error),
            };
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            let fd = fs::openat(&self.fd, name, flags, Mode::empty())?;
            if made {
                give(&fd, self.owner)?;
                fs::fchmod(&fd, Mode::from_raw_mode(0o2775))?;
            }
            Ok(fd)
        };
        let fd = make().map_err(|error| at(&path, error))?;
        Ok(Self { fd, path, owner: self.owner })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for appending, and makes it where it is not there. A torn last line of an earlier run is made whole.
    pub fn append(&self, name: &str) -> Result<LineFile, FileError> {
        let (fd, path, _) = self.regular(name, OFlags::WRONLY | OFlags::APPEND)?;
        let (patch, ..) = self.regular(name, OFlags::RDWR)?;
        // Who has the file open holds a shared lock: while one does, its last line may just be on its way.
        let alone = !matches!(fs::flock(&fd, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
        let file = LineFile { fd, patch, path };
        if alone {
            file.heal().map_err(|error| at(&file.path, error))?;
        }
        // A file system without locks loses only the caution above.
        let _ = fs::flock(&file.fd, FlockOperation::LockShared);
        Ok(file)
    }

    /// Makes a file for another program to append to, and says how it is now.
    pub fn provide(&self, name: &str) -> Result<Seen, FileError> {
        let (held, path, stat) = self.regular(name, OFlags::WRONLY | OFlags::APPEND)?;
        Ok(Seen { path, name: name.to_owned(), identity: identity(&stat), size: stat.st_size, _held: held })
    }

    /// Says whether a file is still the one that was seen, and no shorter.
    pub fn kept(&self, seen: &Seen) -> bool {
        fs::statat(&self.fd, seen.name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| identity(&stat) == seen.identity && stat.st_size >= seen.size)
    }

    /// Opens a provided file for reading.
    pub fn reads(&self, seen: &Seen) -> Result<File, FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = || -> Result<OwnedFd, Reason> {
            let fd = fs::openat(&self.fd, seen.name.as_str(), flags, Mode::empty())?;
            if identity(&fs::fstat(&fd)?) == seen.identity { Ok(fd) } else { Err(Reason::NotAFile) }
        };
        open().map(File::from).map_err(|reason| FileError { path: seen.path.clone(), reason })
    }

    /// Reads a small file.
    pub fn read(&self, name: &str) -> Result<String, FileError> {
        self.read_part(name, 4096, |_| 0)
    }

    /// Reads the last lines of a file: what it has in its last [`END`] bytes.
    pub fn read_end(&self, name: &str) -> Result<String, FileError> {
        self.read_part(name, END, |size| size.saturating_sub(END as u64))
    }

    fn read_part(&self, name: &str, most: usize, start: impl FnOnce(u64) -> u64) -> Result<String, FileError> {
        let read = || -> Result<String, Errno> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let fd = fs::openat(&self.fd, name, flags, Mode::empty())?;
            let size = u64::try_from(fs::fstat(&fd)?.st_size).unwrap_or(0);
            let mut bytes = vec![0; most];
            let read = rustix::io::pread(&fd, &mut bytes, start(size))?;
            Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
        };
        read().map_err(|error| at(&self.path.join(name), error))
    }

    /// Puts a small file in its place as a whole. Where `replace` is false, an earlier file stays, and the answer is false.
    pub fn put(&self, name: &str, temporary: &str, text: &str, replace: bool) -> Result<bool, FileError> {
        let path = self.path.join(name);
        let put = || -> Result<bool, Errno> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = fs::openat(&self.fd, temporary, flags, Mode::from_raw_mode(0o664))?;
            give(&fd, self.owner)?;
            fs::fchmod(&fd, Mode::from_raw_mode(0o664))?;
            rustix::io::write(&fd, text.as_bytes())?;
            if !replace {
                // A link is made whole or not at all, and only where nothing is: O_EXCL for a file with its content.
                match fs::linkat(&self.fd, temporary, &self.fd, name, AtFlags::empty()) {
                    Ok(()) => return Ok(true),
                    Err(Errno::EXIST) => return Ok(false),
                    // File systems without links: the last one wins.
                    Err(_) => {}
                }
            }
            fs::renameat(&self.fd, temporary, &self.fd, name)?;
            Ok(true)
        };
        let result = put();
        // After a rename there is nothing to remove, and a leftover has a name that nobody reads.
        let _ = fs::unlinkat(&self.fd, temporary, AtFlags::empty());
        result.map_err(|error| at(&path, error))
    }

    /// Opens a regular file with one name, or makes it: 0664 whatever the umask, of the owner.
    fn regular(&self, name: &str, access: OFlags) -> Result<(OwnedFd, PathBuf, Stat), FileError> {
        let path = self.path.join(name);
        let open = || -> Result<(OwnedFd, Stat), Reason> {
            // NONBLOCK: a pipe without a reader must not hold up the build.
            let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
            let made = fs::openat(&self.fd, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o664));
            let fd = match made {
                Ok(fd) => {
                    give(&fd, self.owner)?;
                    fs::fchmod(&fd, Mode::from_raw_mode(0o664))?;
                    fd
                }
                Err(Errno::EXIST) => fs::openat(&self.fd, name, flags, Mode::empty()).map_err(|error| match error {
                    Errno::LOOP | Errno::NXIO | Errno::ISDIR => Reason::NotAFile,
                    error => error.into(),
                })?,
                Err(error) => return Err(error.into()),
            };
            let stat = fs::fstat(&fd)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Reason::NotAFile);
            }
            // Root must not be led to write into a file elsewhere.
            if stat.st_nlink > 1 {
                return Err(Reason::Linked);
            }
            Ok((fd, stat))
        };
        match open() {
            Ok((fd, stat)) => Ok((fd, path, stat)),
            Err(reason) => Err(FileError { path, reason }),
        }
    }
}

/// How much of the end of a file is read to know what it is about, in bytes.
const END: usize = 64 * 1024;

/// What stands where a torn line was: valid, and empty.
const NOTHING: &[u8] = br#"{"resourceSpans":[]}"#;

/// How far back a torn line can begin: more is no line of ours (R6).
const LONGEST_TAIL: u64 = 1 << 20;

impl LineFile {
    /// Appends one line, its end included, with one `write` where there is room for it.
    pub fn append(&self, line: &[u8]) -> Result<(), FileError> {
        let write = |bytes: &[u8]| rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, bytes));
        let count = write(line).map_err(|error| at(&self.path, error))?;
        let Some(rest) = line.get(count..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        // There is no room in the middle of the line: only the next write says why. Where it says nothing, there was.
        let why = match write(rest) {
            Ok(count) if count == rest.len() => return Ok(()),
            Ok(_) => Errno::NOSPC,
            Err(error) => error,
        };
        // Leave no torn line. The reason is more telling than what comes of that.
        let _ = self.heal();
        Err(at(&self.path, why))
    }

    /// Overwrites a torn last line by an empty one of the same length, so that the file never shrinks.
    fn heal(&self) -> Result<(), Errno> {
        let size = u64::try_from(fs::fstat(&self.patch)?.st_size).unwrap_or(0);
        let Some(start) = self.torn_from(size)? else { return Ok(()) };
        let length = usize::try_from(size - start).unwrap_or(0).max(NOTHING.len() + 1);
        let mut line = NOTHING.to_vec();
        line.resize(length - 1, b' ');
        line.push(b'\n');
        rustix::io::pwrite(&self.patch, &line, start)?;
        Ok(())
    }

    /// Where the torn last line begins; none where the last line is whole.
    fn torn_from(&self, size: u64) -> Result<Option<u64>, Errno> {
        let mut end = size;
        let mut buffer = [0; 8192];
        while end > 0 && size - end < LONGEST_TAIL {
            let start = end.saturating_sub(buffer.len() as u64);
            let chunk = &mut buffer[..usize::try_from(end - start).unwrap_or(0)];
            let read = rustix::io::pread(&self.patch, &mut *chunk, start)?;
            if let Some(newline) = chunk[..read].iter().rposition(|byte| *byte == b'\n') {
                let begin = start + newline as u64 + 1;
                return Ok((begin < size).then_some(begin));
            }
            end = start;
        }
        // A tail that is too long for us to have written is left alone but for its end.
        Ok((size > 0).then_some(if end == 0 { 0 } else { size }))
    }
}

/// Gives a new file or folder to its owner. Only root can, and only root needs to.
fn give(fd: &OwnedFd, owner: Owner) -> Result<(), Errno> {
    match owner {
        Some((user, group)) if rustix::process::geteuid().is_root() => {
            fs::fchown(fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
        }
        _ => Ok(()),
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn at(path: &Path, error: Errno) -> FileError {
    FileError { path: path.to_owned(), reason: error.into() }
}

#[cfg(test)]
mod tests;
