//! What is left of a spool in the end. It lies where programs of the build may be the same user: they can do anything to it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Rest {
    /// Nothing waits, and the file is gone.
    Nothing,
    /// So many spans and log records wait in the file.
    Kept { path: PathBuf, records: u64 },
    /// They did, but somebody removed, replaced or shortened the file.
    Gone { path: PathBuf, records: u64 },
}

/// Says whether a path still names an open file, as far as this user may look, and the file has all of its `length` bytes.
pub(super) fn is_whole(file: &File, path: &Path, length: u64) -> bool {
    let Ok(open) = file.metadata() else { return false };
    let is_named = match fs::symlink_metadata(path) {
        Ok(named) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        // Root may have made it where the user of the build sees nothing.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    is_named && open.len() >= length
}
