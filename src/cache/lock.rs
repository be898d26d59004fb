//! A lock on a folder: whoever holds it alone changes what is in it. It ends with the process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

/// How long to wait before looking at a busy lock again.
const PAUSE: Duration = Duration::from_millis(20);

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _folder: OwnedFd,
}

impl FolderLock {
    /// Waits at most `patience` for the lock; `None` if somebody else still holds it then.
    ///
    /// A file system that knows no locks counts as free: the reference never locks, so nothing is lost by that.
    pub(super) fn acquire(folder: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let fd = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let begun = Instant::now();
        loop {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if begun.elapsed() >= patience => return Ok(None),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE.min(patience)),
                Err(Errno::INTR) => {}
                Ok(()) | Err(_) => return Ok(Some(Self { _folder: fd })),
            }
        }
    }
}
