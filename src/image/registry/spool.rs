//! A compressed layer in a file without name: one thread writes it while another sends as much of it as there is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use super::client::lock;
use super::connection::is_broken;
use super::error::Error;

/// A file that grows.
pub(super) struct Spool {
    file: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
struct State {
    written: u64,
    end: Option<End>,
}

/// Why a file grows no more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All of it is there.
    Whole,
    /// Nobody wants it any more, or there will never be more.
    CalledOff,
}

impl Spool {
    /// An empty one in a folder.
    pub(super) fn new(folder: &Path) -> Result<Self, Error> {
        let file = spool_file(folder)?;
        Ok(Self { file, state: Mutex::new(State { written: 0, end: None }), changed: Condvar::new() })
    }

    /// How many bytes are written.
    pub(super) fn written(&self) -> u64 {
        lock(&self.state).written
    }

    /// Its size, once all of it is there.
    pub(super) fn size(&self) -> Option<u64> {
        let state = lock(&self.state);
        (state.end == Some(End::Whole)).then_some(state.written)
    }

    /// Says that it grows no more; what was said first stays.
    pub(super) fn end(&self, end: End) {
        lock(&self.state).end.get_or_insert(end);
        self.changed.notify_all();
    }

    /// Tells whether nobody wants it.
    pub(super) fn is_called_off(&self) -> bool {
        lock(&self.state).end == Some(End::CalledOff)
    }

    /// Waits until so many bytes are written; tells whether there will be more.
    pub(super) fn grows_beyond(&self, bytes: u64) -> bool {
        self.wait(|state| state.written >= bytes).end.is_none()
    }

    /// Waits for something, or the end.
    fn wait(&self, enough: impl Fn(&State) -> bool) -> State {
        let waits = |state: &mut State| state.end.is_none() && !enough(state);
        *self.changed.wait_while(lock(&self.state), waits).unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, to be read without waiting.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The file alone.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Reads it from its start, waiting for what is yet to be written; `told` hears how far that got.
    pub(super) fn reader<'a>(&'a self, told: &'a dyn Fn(u64)) -> Growing<'a> {
        Growing { spool: self, offset: 0, told }
    }
}

/// Appends to a [`Spool`].
impl Write for &Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = (&self.file).write(bytes)?;
        lock(&self.state).written += count as u64;
        self.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a [`Spool`] as fast as it grows.
pub(super) struct Growing<'a> {
    spool: &'a Spool,
    offset: u64,
    told: &'a dyn Fn(u64),
}

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if is_broken() {
            return Ok(0);
        }
        let state = self.spool.wait(|state| state.written > self.offset);
        if state.end == Some(End::CalledOff) {
            return Err(io::Error::other(Error::CalledOff.to_string()));
        }
        let left = usize::try_from(state.written - self.offset).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let count = self.spool.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        (self.told)(self.offset);
        Ok(count)
    }
}

/// A file for a layer until the registry has it. It has no name, so that nobody need remove it.
pub(super) fn spool_file(folder: &Path) -> Result<File, Error> {
    tempfile::tempfile_in(folder).map_err(|cause| Error::Spool { path: folder.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn is_read_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path()).unwrap();
        let told = std::sync::atomic::AtomicU64::new(0);
        let read = thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut text = String::new();
                let hear = |at| told.store(at, std::sync::atomic::Ordering::Relaxed);
                spool.reader(&hear).read_to_string(&mut text).map(|_| text)
            });
            assert!(spool.size().is_none());
            for part in ["one ", "two ", "three"] {
                (&spool).write_all(part.as_bytes()).unwrap();
            }
            assert!(spool.grows_beyond(13));
            spool.end(End::Whole);
            reading.join().unwrap()
        });
        assert_eq!(read.unwrap(), "one two three");
        assert_eq!((told.into_inner(), spool.size()), (13, Some(13)));
        assert!(!spool.grows_beyond(1));
    }

    #[test]
    fn what_is_called_off_is_read_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path()).unwrap();
        (&spool).write_all(b"some").unwrap();
        spool.end(End::CalledOff);
        assert!(spool.reader(&|_| ()).read(&mut [0; 9]).is_err());
        spool.end(End::Whole);
        assert_eq!((spool.size(), spool.written()), (None, 4));
    }
}
