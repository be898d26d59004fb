//! Streams that are hashed while they are used: on the same thread, or on another one that reads ahead.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::measure::Sum;
use crate::model::digest::DiffId;

/// How much goes from thread to thread at once.
const CHUNK: usize = 256 * 1024;
/// How many chunks may wait.
const WAITING: usize = 4;

/// A reader that hashes what is read through it.
pub(super) struct Summed<R> {
    inner: R,
    sum: Sum,
}

impl<R: Read> Summed<R> {
    /// Nothing of `inner` is read yet.
    pub(super) fn new(inner: R) -> Self {
        Self { inner, sum: Sum::new() }
    }

    /// The digest and the size in bytes of what was read.
    pub(super) fn finish(self) -> (DiffId, u64) {
        self.sum.finish()
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sum.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// The side that reads what was hashed.
pub(super) struct Chunks {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    used: usize,
}

/// The side that hashes.
pub(super) struct Hashing {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

impl Chunks {
    /// Both sides.
    pub(super) fn channel() -> (Hashing, Self) {
        let (full, full_receiver) = sync_channel(WAITING);
        let (empty, empty_receiver) = channel();
        let chunks = Self { full: full_receiver, empty, chunk: Vec::new(), used: 0 };
        (Hashing { full, empty: empty_receiver }, chunks)
    }
}

impl Hashing {
    /// Reads all of `input`; returns its digest and its size in bytes. There is none if reading failed, or if nobody wanted to have it all.
    pub(super) fn run(self, mut input: impl Read) -> Option<(DiffId, u64)> {
        let mut sum = Sum::new();
        loop {
            let mut chunk = self.empty.try_recv().unwrap_or_default();
            chunk.resize(CHUNK, 0);
            match read_full(&mut input, &mut chunk) {
                Ok(0) => return Some(sum.finish()),
                Ok(count) => {
                    chunk.truncate(count);
                    sum.write_all(&chunk).ok()?;
                    self.full.send(Ok(chunk)).ok()?;
                }
                Err(cause) => {
                    let _ = self.full.send(Err(cause));
                    return None;
                }
            }
        }
    }
}

/// Reads until the buffer is full or nothing is left.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match input.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(count)
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.chunk.len() {
            // The other side ends when it has read all, and then nothing comes any more.
            if let Ok(next) = self.full.recv() {
                let used = std::mem::replace(&mut self.chunk, next?);
                self.used = 0;
                let _ = self.empty.send(used);
            }
        }
        Ok(&self.chunk[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
