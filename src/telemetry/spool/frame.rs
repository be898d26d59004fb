//! How a spool is written: a line that names it, then frames, one for each request.
//!
//! A frame has a head of 32 bytes, all numbers little-endian, and the request behind it:
//!
//! | bytes | what |
//! |---|---|
//! | 0-3 | `c5 6e 62 01` |
//! | 4 | 1: waits to be delivered; 2: delivered, and its place is not given back yet |
//! | 5 | 1: traces; 2: logs |
//! | 6 | 1: protobuf; 2: JSON |
//! | 7 | 0 |
//! | 8-11 | length of the request |
//! | 12-15 | how many spans or records it has |
//! | 16-23 | the program whose output it is, in the lifecycle's own counting |
//! | 24-27 | CRC-32 of the request |
//! | 28-31 | CRC-32 of the head up to here, with 1 in byte 4 |
//!
//! Places of delivered frames are holes: zeros. Readers step over them, and over damage to the next good head.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};

use crate::telemetry::otlp::{Form, Signal};

/// What a spool begins with.
pub(crate) const TITLE: &[u8; 16] = b"cnb-otlp-spool 1";
/// How long the head of a frame is, in bytes.
pub(crate) const HEAD: usize = 32;
/// The longest request, in bytes: OTLP's own limit.
pub(crate) const LONGEST: u32 = 64 << 20;

const MAGIC: [u8; 4] = [0xc5, b'n', b'b', 1];
const WAITING: u8 = 1;
const DELIVERED: u8 = 2;
/// Where in the head it says whether the frame is delivered.
const STATE: u64 = 4;

/// A request in a spool, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where its head begins.
    pub(crate) at: u64,
    pub(crate) signal: Signal,
    pub(crate) form: Form,
    /// How long the request is.
    pub(crate) length: u32,
    pub(crate) records: u32,
    pub(crate) process: u64,
    /// The request's checksum.
    pub(crate) sum: u32,
}

impl Frame {
    /// Where the next frame begins.
    pub(crate) fn end(&self) -> u64 {
        self.at + HEAD as u64 + u64::from(self.length)
    }

    /// Its head.
    pub(crate) fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&MAGIC);
        head[4] = WAITING;
        head[5] = if self.signal == Signal::Traces { 1 } else { 2 };
        head[6] = if self.form == Form::Protobuf { 1 } else { 2 };
        head[8..12].copy_from_slice(&self.length.to_le_bytes());
        head[12..16].copy_from_slice(&self.records.to_le_bytes());
        head[16..24].copy_from_slice(&self.process.to_le_bytes());
        head[24..28].copy_from_slice(&self.sum.to_le_bytes());
        let sum = libdeflater::crc32(&head[..28]);
        head[28..].copy_from_slice(&sum.to_le_bytes());
        head
    }

    /// Reads a head, and whether the frame still waits.
    fn parse(at: u64, head: &[u8; HEAD]) -> Option<(Self, bool)> {
        let number = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let mut waiting = *head;
        waiting[4] = WAITING;
        let waits = match head[4] {
            WAITING => true,
            DELIVERED => false,
            _ => return None,
        };
        let signal = match head[5] {
            1 => Signal::Traces,
            2 => Signal::Logs,
            _ => return None,
        };
        let form = match head[6] {
            1 => Form::Protobuf,
            2 => Form::Json,
            _ => return None,
        };
        let length = number(8);
        if head[..4] != MAGIC || length > LONGEST || number(28) != libdeflater::crc32(&waiting[..28]) {
            return None;
        }
        let process = u64::from(number(16)) | u64::from(number(20)) << 32;
        Some((Self { at, signal, form, length, records: number(12), process, sum: number(24) }, waits))
    }

    /// Says in the file that the frame is delivered. `file` does not append.
    pub(crate) fn mark(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&[DELIVERED], self.at + STATE)
    }

    /// Puts the request's bytes behind what is in `buffer`.
    ///
    /// # Errors
    /// The file cannot be read, or has something else in this place.
    pub(crate) fn read(&self, file: &File, buffer: &mut Vec<u8>) -> io::Result<()> {
        let start = buffer.len();
        buffer.resize(start + self.length as usize, 0);
        let read = file.read_exact_at(&mut buffer[start..], self.at + HEAD as u64);
        let read = read.and_then(|()| {
            let fits = libdeflater::crc32(&buffer[start..]) == self.sum;
            if fits { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum does not fit")) }
        });
        read.inspect_err(|_| buffer.truncate(start))
    }
}

/// What a reader comes across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A frame that waits to be delivered.
    Frame(Frame),
    /// Bytes that are no frame, from here on.
    Damage(u64),
    /// The writer was killed in the middle of the last frame, which has this many records as far as one can tell.
    Torn(u32),
}

/// Reads the frames of a spool one after the other, whatever is in it, in little memory.
pub(crate) struct Reader<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl<'a> Reader<'a> {
    /// Begins behind the title; what is added later is not read. None if the file is no spool.
    pub(crate) fn new(file: &'a File) -> io::Result<Option<Self>> {
        let mut title = [0; TITLE.len()];
        match file.read_exact_at(&mut title, 0) {
            Ok(()) if title == *TITLE => {}
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(Self { file, at: TITLE.len() as u64, end: file.metadata()?.len() }))
    }

    /// The next thing; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            let Some(at) = self.past_zeros(self.at)? else { return Ok(None) };
            self.at = at;
            if self.end - at < HEAD as u64 {
                self.at = self.end;
                return Ok(Some(Item::Torn(0)));
            }
            match self.head(at)? {
                Some((frame, _)) if frame.end() > self.end => {
                    self.at = self.end;
                    return Ok(Some(Item::Torn(frame.records)));
                }
                Some((frame, true)) => {
                    self.at = frame.end();
                    return Ok(Some(Item::Frame(frame)));
                }
                Some((frame, false)) => self.at = frame.end(),
                None => {
                    let next = self.next_head(at + 1)?;
                    self.at = next;
                    return Ok(Some(Item::Damage(next - at)));
                }
            }
        }
    }

    fn head(&self, at: u64) -> io::Result<Option<(Frame, bool)>> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, at)?;
        Ok(Frame::parse(at, &head))
    }

    /// The first byte that is not zero. Holes may be large, so the file system is asked for their ends.
    fn past_zeros(&self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        let mut buffer = [0; 4096];
        while at < self.end {
            let most = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.file.read_at(&mut buffer[..most], at)?;
            if let Some(found) = buffer[..read].iter().position(|byte| *byte != 0) {
                return Ok(Some(at + found as u64));
            }
            if read == 0 {
                return Ok(None);
            }
            at += read as u64;
            // Nothing but a hole up to the end, or a file system that does not know holes: then bytes tell.
            at = match seek(self.file, SeekFrom::Data(at)) {
                Ok(data) => data.max(at),
                Err(rustix::io::Errno::NXIO) => return Ok(None),
                Err(_) => at,
            };
        }
        Ok(None)
    }

    /// Where the next good head is; the end of the file where there is none.
    fn next_head(&self, from: u64) -> io::Result<u64> {
        let mut buffer = vec![0; 64 * 1024];
        let mut at = from;
        while at < self.end {
            let read = self.file.read_at(&mut buffer, at)?;
            for (offset, _) in buffer[..read].windows(MAGIC.len()).enumerate().filter(|(_, window)| **window == MAGIC) {
                let found = at + offset as u64;
                if self.end.saturating_sub(found) >= HEAD as u64 && self.head(found)?.is_some() {
                    return Ok(found);
                }
            }
            if read < MAGIC.len() {
                break;
            }
            // A head may begin at the end of this piece.
            at += (read - MAGIC.len() + 1) as u64;
        }
        Ok(self.end)
    }
}
