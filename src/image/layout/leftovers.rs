//! Files that a writer left in a layout when it was killed: whoever writes there next removes them.
//!
//! Writers share a lock on the layout's folder, which ends with their process. Who has it alone knows that nobody needs
//! what is unfinished there.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// What the names of unfinished files begin with.
pub(super) const UNFINISHED: &str = ".write-";

/// Says that this process writes into a layout, until it is dropped.
pub(super) struct Writing {
    _folder: Option<OwnedFd>,
}

impl Writing {
    /// Removes what others left in this folder, if nobody else writes there. Where the file system knows no locks, it
    /// stays.
    pub(super) fn begin(folder: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(fd) = open(folder, flags, Mode::empty()) else { return Self { _folder: None } };
        if flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_unfinished(folder);
        }
        // Waits while somebody else tidies up, which is soon done; no lock of others holds a build up.
        for _ in 0..100 {
            if flock(&fd, FlockOperation::NonBlockingLockShared).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        Self { _folder: Some(fd) }
    }
}

fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
