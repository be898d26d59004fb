//! Reading documents, and writing them so that nobody ever sees half of one.
//!
//! Policy P42: written beside and renamed; links are followed; where a rename cannot be (a bind-mounted file, a folder
//! that may not be written) the document is written in place.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// Reads a document that the platform names, which may be a pipe; `None` when there is none.
///
/// # Errors
/// It cannot be read, or is no text.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("it is no UTF-8 text")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a document that a buildpack may have left; `None` when there is none.
///
/// # Errors
/// As [`read`]; also when it is no file: a pipe would be waited for for ever.
pub fn read_file(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err(io::Error::other("not a regular file")),
        _ => read(path),
    }
}

/// Writes a document with mode 0666 less the umask; missing parent folders are made.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut path = Cow::from(path);
    let mut found = fs::symlink_metadata(&path);
    if found.as_ref().is_ok_and(fs::Metadata::is_symlink) {
        path = fs::canonicalize(&path).map_or(path, Cow::from);
        found = fs::metadata(&path);
    }
    match found {
        Ok(found) if !found.is_file() => write_in_place(&path, contents),
        _ => write_beside(&path, contents),
    }
}

/// Writes a document beside its place and renames it, or in place where that cannot be.
fn write_beside(path: &Path, contents: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let mut written = write_new(&beside, contents);
    // To ask for the folder only now saves two system calls for each document.
    if let (Err(error), Some(parent)) = (&written, path.parent())
        && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    {
        match fs::create_dir_all(parent) {
            Ok(()) => written = write_new(&beside, contents),
            // A file has the folder's name, and the first error says so.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    written.and_then(|()| fs::rename(&beside, path)).or_else(|error| {
        let _ = fs::remove_file(&beside);
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY | Errno::EXDEV | Errno::EACCES | Errno::EPERM) => write_in_place(path, contents),
            _ => Err(error),
        }
    })
}

/// A name in the same folder that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

/// Writes a new file, in place of what a process of the same id left.
fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let open = || fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        opened => opened?,
    };
    file.write_all(contents)
}

fn write_in_place(path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o666).open(path)?.write_all(contents)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn makes_parents_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.toml");
        write(&path, b"x").unwrap();
        write(&path, b"y").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"y");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_is_the_cause() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for name in ["file/a.toml", "file/b/a.toml"] {
            let path = dir.path().join(name);
            assert_eq!(write(&path, b"x").unwrap_err().kind(), io::ErrorKind::NotADirectory, "{name}");
        }
    }

    #[test]
    fn what_a_process_of_this_id_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        fs::write(beside(&path), b"half of a longer document").unwrap();
        write(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert!(!beside(&path).exists());
    }

    #[test]
    fn a_missing_document_is_none_and_one_that_is_no_text_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        assert_eq!(read_file(&path).unwrap(), None);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_file(&path).unwrap_err().to_string(), "it is no UTF-8 text");
        assert!(read_file(dir.path()).is_err());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_file(&pipe).unwrap_err().to_string(), "not a regular file");
    }

    #[test]
    fn follows_links() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("real"), b"old").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        write(&dir.path().join("link"), b"new").unwrap();
        assert_eq!(fs::read(dir.path().join("real")).unwrap(), b"new");
        assert!(fs::symlink_metadata(dir.path().join("link")).unwrap().is_symlink());
    }

    #[test]
    fn writes_devices_in_place() {
        write(Path::new("/dev/null"), b"x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        // A link that the system makes up: it leads to a pipe that no path names.
        let (_reader, writer) = io::pipe().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(format!("/proc/self/fd/{}", writer.as_raw_fd()), &link).unwrap();
        write(&link, b"x").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
