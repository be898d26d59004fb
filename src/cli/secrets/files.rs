//! Files with secrets, read within a bound: whatever is there, a phase is neither filled by it nor waits for it.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::os::open_regular;

/// What a file counts besides its bytes: what is found in it takes memory of its own.
const EACH: u64 = 64;

/// Reads files until they have too many bytes together.
pub(super) struct Files {
    left: u64,
    /// The first file that was not read, or not to its end.
    beyond: Option<PathBuf>,
}

impl Files {
    /// Reads so many bytes at most.
    pub(super) fn up_to(bytes: u64) -> Self {
        Self { left: bytes, beyond: None }
    }

    /// The bytes of a regular file, or of one that a link leads to, as far as there is room for them. What cannot be read
    /// is left out: it cannot be in the build by our doing.
    pub(super) fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        // Not even opened: some devices mind that.
        if !path.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        if self.left > 0 {
            open_regular(path).ok()?.take(self.left + 1).read_to_end(&mut bytes).ok()?;
        }
        let length = bytes.len() as u64;
        if self.left == 0 || length > self.left {
            self.beyond.get_or_insert_with(|| path.to_owned());
        }
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left = self.left.saturating_sub(length + EACH);
        Some(bytes)
    }

    /// Says whether nothing more is read.
    pub(super) fn is_full(&self) -> bool {
        self.beyond.is_some()
    }

    /// The first file that was not read, or not to its end.
    pub(super) fn beyond(&self) -> Option<&Path> {
        self.beyond.as_deref()
    }
}

/// What is in a folder. Kubernetes keeps what it mounts in `..data`, and links to it: that is left out.
pub(super) fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    entries.filter(|path| !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"..")))
}
