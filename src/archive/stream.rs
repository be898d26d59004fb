//! The bytes of an archive on their way out: headers and contents, gathered in one bounded buffer.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::error::Error;
use super::header::{BLOCK, Header, padding};
use super::tree::Stamp;

/// How much is written at once: many small files go out together, and large files in few steps.
const BUFFER: usize = 256 * 1024;

/// An archive being written.
pub(super) struct Stream<'a> {
    out: &'a mut dyn Write,
    buffer: Box<[u8]>,
    filled: usize,
    header: Vec<u8>,
    /// Contents of files are left out.
    outlines: bool,
}

impl<'a> Stream<'a> {
    /// Begins an archive.
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, buffer: vec![0; BUFFER].into_boxed_slice(), filled: 0, header: Vec::new(), outlines: false }
    }

    /// Begins an archive without contents of files: its outline.
    pub(super) fn outline(out: &'a mut dyn Write) -> Self {
        Self { outlines: true, ..Self::new(out) }
    }

    /// Writes an entry without contents, or the header of one whose contents follow.
    pub(super) fn header(&mut self, header: &Header<'_>) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut self.header);
        bytes.clear();
        header.append_to(&mut bytes);
        let written = self.put(&bytes);
        self.header = bytes;
        written
    }

    /// Writes the contents of a file, which must be what it was when its layer was planned.
    pub(super) fn contents(&mut self, path: &Path, expected: &Stamp) -> Result<(), Error> {
        if self.outlines {
            return self.pad(expected.size);
        }
        let changed = || Error::Changed { path: path.to_owned() };
        // Not blocking, because a pipe may be where the file was.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = if expected.through_link { flags - OFlags::NOFOLLOW } else { flags };
        let file = match openat(CWD, path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::LOOP) => return Err(changed()),
            Err(cause) => return Err(Error::system("open", path, cause)),
        };
        let found = fstat(&file).map_err(|cause| Error::system("fstat", path, cause))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || !expected.fits(&found) {
            return Err(changed());
        }
        self.copy(&file, path, expected.size)?;
        // Who writes into it meanwhile may leave its size as it was.
        let after = fstat(&file).map_err(|cause| Error::system("fstat", path, cause))?;
        if expected.fits(&after) { Ok(()) } else { Err(changed()) }
    }

    /// Copies exactly `size` bytes of a file, and pads them.
    pub(super) fn copy(&mut self, file: &impl AsFd, path: &Path, size: u64) -> Result<(), Error> {
        let changed = || Error::Changed { path: path.to_owned() };
        let mut left = size;
        loop {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            // One byte more than expected tells that the file has grown, mostly without another read.
            let most = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX);
            let wanted = most.min(self.buffer.len() - self.filled);
            let space = &mut self.buffer[self.filled..self.filled + wanted];
            let read = match rustix::io::read(file, space) {
                Ok(read) => read,
                Err(rustix::io::Errno::INTR) => continue,
                Err(cause) => return Err(Error::system("read", path, cause)),
            };
            if read == 0 && left == 0 {
                break;
            }
            if read == 0 || read as u64 > left {
                return Err(changed());
            }
            self.filled += read;
            left -= read as u64;
            if left == 0 && read < wanted {
                break;
            }
        }
        self.zeros(padding(size))
    }

    /// Writes the end marker and hands everything over.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.zeros(2 * BLOCK)?;
        self.flush()
    }

    /// Writes a part of the contents of a file.
    pub(super) fn part(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.put(bytes)
    }

    /// Pads contents of this size that were written in parts.
    pub(super) fn pad(&mut self, size: u64) -> Result<(), Error> {
        self.zeros(padding(size))
    }

    fn zeros(&mut self, count: usize) -> Result<(), Error> {
        self.put(&[0; 2 * BLOCK][..count])
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.buffer.len() - self.filled));
            self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.out.write_all(&self.buffer[..self.filled]).map_err(Error::Output)?;
        self.filled = 0;
        Ok(())
    }
}

/// A path of raw bytes, as names in archives are.
pub(super) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
