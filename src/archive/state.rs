//! The state of a folder: one digest of what the file system tells of every entry in it (see [`super::seal`]).
//!
//! Each entry has a digest of its own, which tells its folder by that folder's number; the state is their sum. So entries
//! count in any order, and a folder of a million files is summed up in the memory of one.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ring::digest::{Context, SHA256};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::error::Error;
use super::stream::path;
use crate::model::digest::DiffId;

/// Times that are all whole multiples of this, in nanoseconds, come from a file system that keeps no others.
const COARSE: u64 = 1_000_000;

/// The state of a folder in the making.
#[derive(Default)]
pub(super) struct State {
    /// The sum of all digests, lowest part first.
    sum: [u64; 4],
    entries: u64,
    /// Some entry was changed at a time that no coarse clock would tell.
    is_exact: bool,
}

impl State {
    /// Adds an entry of the folder with this number. Its contents, its extended attributes and the target of a link cannot
    /// change without another time of change.
    pub(super) fn add(&mut self, folder: u64, name: &[u8], stat: &Stat) {
        let mut digest = Context::new(&SHA256);
        let mut numbers = [0; 15 * 8];
        let times = [stat.st_mtime, stat.st_ctime].map(i64::cast_unsigned);
        let parts = [stat.st_mtime_nsec, stat.st_ctime_nsec];
        let ids = [u64::from(stat.st_mode), u64::from(stat.st_uid), u64::from(stat.st_gid)];
        let places = [stat.st_dev, stat.st_ino, stat.st_rdev];
        let sizes = [stat.st_size.cast_unsigned(), folder, name.len() as u64];
        let all = [&times[..], &parts, &ids, &places, &sizes].concat();
        for (space, number) in numbers.chunks_exact_mut(8).zip(all) {
            space.copy_from_slice(&number.to_le_bytes());
        }
        digest.update(&numbers);
        digest.update(name);
        let mut carry = false;
        for (sum, part) in self.sum.iter_mut().zip(digest.finish().as_ref().chunks_exact(8)) {
            let part = part.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
            let (added, over) = sum.overflowing_add(part);
            let (carried, over_again) = added.overflowing_add(u64::from(carry));
            (*sum, carry) = (carried, over || over_again);
        }
        self.entries += 1;
        self.is_exact |= !parts[1].is_multiple_of(COARSE);
    }

    /// The state; `None` where the file system's clock is so coarse that a change soon after would look like none.
    pub(super) fn finish(self) -> Option<DiffId> {
        let mut digest = Context::new(&SHA256);
        for part in self.sum.iter().chain([&self.entries]) {
            digest.update(&part.to_le_bytes());
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.finish().as_ref());
        self.is_exact.then(|| DiffId::from_sha256(&sha256))
    }

    /// The state of a folder as it is now.
    ///
    /// # Errors
    /// Something cannot be listed.
    pub(super) fn of(folder: &Path) -> Result<Option<DiffId>, Error> {
        Self::sum_up(folder).map(Self::finish).map_err(|cause| Error::system("read", folder, cause))
    }

    fn sum_up(folder: &Path) -> Result<Self, Errno> {
        let mut state = Self::default();
        let found = statat(CWD, folder, AtFlags::SYMLINK_NOFOLLOW)?;
        state.add(0, b"", &found);
        let mut open = Vec::new();
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            open.push((list(CWD, folder.as_os_str().as_bytes())?, found.st_ino));
        }
        while let Some((listing, number)) = open.last_mut() {
            let Some(entry) = listing.read() else {
                open.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let found = statat(listing.fd()?, path(name), AtFlags::SYMLINK_NOFOLLOW)?;
            state.add(*number, name, &found);
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                let below = list(listing.fd()?, name)?;
                open.push((below, found.st_ino));
            }
        }
        Ok(state)
    }
}

/// Opens a folder to list what is in it.
fn list(at: impl AsFd, name: &[u8]) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Dir::new(openat(at, path(name), flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::tree::Tree;

    fn stat(of: &Path) -> Stat {
        statat(CWD, of, AtFlags::SYMLINK_NOFOLLOW).unwrap()
    }

    #[test]
    fn a_walk_alone_and_a_tree_find_the_same_state() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        for name in ["z", "a/y", "a/b/x", "a/b/c/w", "a/b.d"] {
            fs::write(root.path().join(name), name).unwrap();
        }
        let walked = State::of(root.path()).unwrap();
        assert!(walked.is_some());
        assert_eq!(walked, Tree::read(root.path()).unwrap().state);
        fs::write(root.path().join("a/b/c/w"), "other").unwrap();
        assert_ne!(walked, State::of(root.path()).unwrap());
    }

    #[test]
    fn entries_count_in_any_order_and_each_in_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let found = stat(root.path());
        let state = |entries: &[(u64, &[u8])]| {
            let mut state = State { is_exact: true, ..State::default() };
            for (folder, name) in entries {
                state.add(*folder, name, &found);
            }
            state.finish().unwrap()
        };
        assert_eq!(state(&[(1, b"a"), (2, b"b")]), state(&[(2, b"b"), (1, b"a")]));
        assert_ne!(state(&[(1, b"a"), (2, b"b")]), state(&[(2, b"a"), (1, b"b")]));
        assert_ne!(state(&[(1, b"a")]), state(&[(1, b"a"), (1, b"a")]));
    }

    #[test]
    fn a_clock_of_whole_seconds_gives_no_state() {
        let root = tempfile::tempdir().unwrap();
        let mut found = stat(root.path());
        let state = |found: &Stat| {
            let mut state = State::default();
            state.add(1, b"a", found);
            state.finish()
        };
        found.st_ctime_nsec = 0;
        assert_eq!(state(&found), None);
        found.st_ctime_nsec = 4_000_001;
        assert!(state(&found).is_some());
    }
}
