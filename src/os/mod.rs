//! The thin real effects: processes, time, users, addresses of hosts, and reading small things of the operating system.

pub mod arena;
#[cfg(feature = "images")]
pub mod clock;
pub mod dir;
#[cfg(feature = "images")]
pub mod document;
pub mod env_dir;
#[cfg(feature = "images")]
pub mod lookup;
#[cfg(feature = "images")]
pub mod os_release;
#[cfg(feature = "images")]
pub mod process;
#[cfg(feature = "images")]
pub mod signal;
#[cfg(feature = "images")]
mod spawn;
#[cfg(feature = "images")]
pub mod terminal;
#[cfg(feature = "images")]
pub mod user;

use nix::errno::Errno;

/// The text of an operating system error as the reference words it: the same on every C library, lower case, without
/// Rust's `(os error N)`.
pub fn error_text(error: &std::io::Error) -> String {
    let code = error.raw_os_error().or_else(|| wrapped_code(error));
    let text = match code.map(Errno::from_raw) {
        Some(Errno::EPERM) => "operation not permitted",
        Some(Errno::ENOENT) => "no such file or directory",
        Some(Errno::ESRCH) => "no such process",
        Some(Errno::EINTR) => "interrupted system call",
        Some(Errno::EIO) => "input/output error",
        Some(Errno::ENXIO) => "no such device or address",
        Some(Errno::E2BIG) => "argument list too long",
        Some(Errno::ENOEXEC) => "exec format error",
        Some(Errno::EBADF) => "bad file descriptor",
        Some(Errno::ECHILD) => "no child processes",
        Some(Errno::EAGAIN) => "resource temporarily unavailable",
        Some(Errno::ENOMEM) => "cannot allocate memory",
        Some(Errno::EACCES) => "permission denied",
        Some(Errno::EFAULT) => "bad address",
        Some(Errno::EBUSY) => "device or resource busy",
        Some(Errno::EEXIST) => "file exists",
        Some(Errno::EXDEV) => "invalid cross-device link",
        Some(Errno::ENODEV) => "no such device",
        Some(Errno::ENOTDIR) => "not a directory",
        Some(Errno::EISDIR) => "is a directory",
        Some(Errno::EINVAL) => "invalid argument",
        Some(Errno::ENFILE) => "too many open files in system",
        Some(Errno::EMFILE) => "too many open files",
        Some(Errno::ETXTBSY) => "text file busy",
        Some(Errno::EFBIG) => "file too large",
        Some(Errno::ENOSPC) => "no space left on device",
        Some(Errno::EROFS) => "read-only file system",
        Some(Errno::EMLINK) => "too many links",
        Some(Errno::EPIPE) => "broken pipe",
        Some(Errno::ENAMETOOLONG) => "file name too long",
        Some(Errno::ENOSYS) => "function not implemented",
        Some(Errno::ENOTEMPTY) => "directory not empty",
        Some(Errno::ELOOP) => "too many levels of symbolic links",
        Some(Errno::ENOTSUP) => "operation not supported",
        Some(Errno::EADDRINUSE) => "address already in use",
        Some(Errno::EADDRNOTAVAIL) => "cannot assign requested address",
        Some(Errno::ENETUNREACH) => "network is unreachable",
        Some(Errno::ECONNABORTED) => "software caused connection abort",
        Some(Errno::ECONNRESET) => "connection reset by peer",
        Some(Errno::ENOTCONN) => "transport endpoint is not connected",
        Some(Errno::ETIMEDOUT) => "connection timed out",
        Some(Errno::ECONNREFUSED) => "connection refused",
        Some(Errno::EHOSTUNREACH) => "no route to host",
        Some(Errno::ESTALE) => "stale file handle",
        Some(Errno::EDQUOT) => "disk quota exceeded",
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            return if code.is_some() { text.to_ascii_lowercase() } else { text.to_owned() };
        }
    };
    text.to_owned()
}

/// The code of an error that a library wrapped, with a path for example: only its text is left.
fn wrapped_code(error: &std::io::Error) -> Option<i32> {
    let text = error.to_string();
    text.split_once("(os error ")?.1.split_once(')')?.0.parse().ok()
}

/// Gives a file a name that was made without one.
///
/// # Errors
/// The file system has no such thing, or `/proc` is not there; the name is another file system's, or taken.
pub fn give_name(file: &std::fs::File, path: &std::path::Path) -> std::io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

/// Opens a file for reading, and waits for nobody: what is no regular file, such as a pipe, is an error.
///
/// # Errors
/// It cannot be opened, or is no regular file.
#[cfg(feature = "images")]
pub fn open_regular(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = std::fs::File::from(openat(CWD, path, flags, Mode::empty())?);
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(Errno::EISDIR.into());
    }
    if found.is_file() { Ok(file) } else { Err(std::io::Error::other("not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_errors_as_the_reference_does() {
        for (code, wanted) in [
            (Errno::ELOOP, "too many levels of symbolic links"),
            (Errno::EAGAIN, "resource temporarily unavailable"),
            (Errno::ENOTBLK, "block device required"),
        ] {
            assert_eq!(error_text(&std::io::Error::from(code)), wanted);
        }
        assert_eq!(error_text(&std::io::Error::other("Mine (os error)")), "Mine");
        let wrapped = tempfile::tempdir_in("/no/such/folder").unwrap_err();
        assert_eq!(error_text(&wrapped), "no such file or directory");
    }
}
