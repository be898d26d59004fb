//! Entries of an archive that anybody may have written.
//!
//! Reads POSIX ustar, pax, and GNU's long names and base-256 numbers. No size that the archive tells is believed before
//! the bytes are there, and nothing is kept but the entry at hand.

use std::io::{self, BufRead, ErrorKind, Read, Write as _};

use super::error::Error;
use super::header::{BLOCK, Device, Record, padding};
use super::measure::Sum;
use crate::model::digest::DiffId;

/// The longest pax header or GNU long name: more is no name that a file system could have.
const LONGEST: u64 = 1024 * 1024;

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends in the middle of an entry, or without its end marker.
    #[error("it is cut off")]
    CutOff,
    /// A header's checksum is wrong, or what should be a number is none.
    #[error("a header is damaged")]
    Header,
    /// A pax header is no list of records.
    #[error("an extended header is damaged")]
    Pax,
    /// A name is empty, has a NUL, or is longer or deeper than any real path.
    #[error("a name is no file name")]
    Name,
    /// A file is stored without its holes.
    #[error("it has sparse files, which are not supported")]
    Sparse,
    /// A type that no layer has. The text is what the reference prints.
    #[error("unknown file type in tar {0}")]
    Type(u8),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Symlink,
    HardLink,
    /// A device or a named pipe.
    Special,
}

/// One entry; the contents of a file are read from the [`Reader`].
#[derive(Debug)]
pub(super) struct Entry {
    /// The name as it stands in the archive.
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    /// Where a link points to.
    pub(super) link: Vec<u8>,
    /// Permissions with the bits for set-user-id, set-group-id and sticky.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// What of a [`EntryKind::Special`] it is: the letter of its type and, if it has such, its numbers.
    pub(super) special: (u8, Device),
    /// It is written as GNU's tar does.
    pub(super) is_gnu: bool,
    /// Its pax records, but for names of owners and times.
    pub(super) records: Vec<Record>,
}

/// Reads entries one after the other.
pub(super) struct Reader<R> {
    input: R,
    /// Bytes of the current file that are still to come.
    contents: u64,
    /// Bytes between the end of the current file and the next header.
    padding: u64,
    /// The sum of everything but contents of files; `None` if nobody asked, or if contents were passed over.
    outline: Option<Sum>,
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    has_pax: bool,
    records: Vec<Record>,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, contents: 0, padding: 0, outline: None }
    }

    /// A reader that sums up everything but contents of files.
    pub(super) fn with_outline(input: R) -> Self {
        Self { outline: Some(Sum::new()), ..Self::new(input) }
    }

    /// The input, and that sum, when everything is read.
    pub(super) fn into_parts(self) -> (R, Option<DiffId>) {
        (self.input, self.outline.map(Sum::diff_id))
    }

    /// Reads the next entry; what is left of the one before is passed over. `None` at the end marker.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        let mut extended = Extended::default();
        loop {
            if self.contents > 0 {
                self.outline = None;
            }
            let rest = self.contents + self.padding;
            self.pass_over(rest)?;
            let block = self.block()?;
            if block == [0; BLOCK] {
                // The second one is missing in some archives, and nobody misses it.
                return Ok(None);
            }
            let header = RawHeader(&block);
            header.check()?;
            let size = number(&block[124..136])?;
            match block[156] {
                b'x' => {
                    extended.has_pax = true;
                    extended.read_pax(&self.special(size)?)?;
                }
                b'g' => drop(self.special(size)?),
                b'L' => extended.name = Some(until_nul(&self.special(size)?).to_vec()),
                b'K' => extended.link = Some(until_nul(&self.special(size)?).to_vec()),
                letter => return self.entry(&header, letter, size, extended).map(Some),
            }
        }
    }

    /// Makes an entry of a header and what was said of it before.
    fn entry(&mut self, header: &RawHeader<'_>, letter: u8, size: u64, mut extended: Extended) -> Result<Entry, Error> {
        let name = extended.name.unwrap_or_else(|| header.name());
        let kind = match letter {
            0 if name.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' | b'4' | b'6' => EntryKind::Special,
            b'5' => EntryKind::Directory,
            b'S' => return Err(Malformed::Sparse.into()),
            other => return Err(Malformed::Type(other).into()),
        };
        self.contents = if kind == EntryKind::File { extended.size.unwrap_or(size) } else { 0 };
        if kind != EntryKind::File {
            extended.records.retain(|(key, _)| key != b"size");
        }
        self.padding = padding(self.contents) as u64;
        let link = extended.link.unwrap_or_else(|| until_nul(&header.0[157..257]).to_vec());
        let mode = u32::try_from(number(&header.0[100..108])? & 0o7777).unwrap_or(0);
        let id = |given: Option<u64>, field: &[u8]| {
            let found = number(field)?;
            u32::try_from(given.unwrap_or(found)).map_err(|_| Malformed::Header)
        };
        let device = match letter {
            b'3' | b'4' => Device { major: id(None, &header.0[329..337])?, minor: id(None, &header.0[337..345])? },
            _ => Device { major: 0, minor: 0 },
        };
        Ok(Entry {
            name,
            kind,
            link,
            mode,
            uid: id(extended.uid, &header.0[108..116])?,
            gid: id(extended.gid, &header.0[116..124])?,
            special: (letter, device),
            is_gnu: &header.0[257..265] == b"ustar  \0" && !extended.has_pax,
            records: extended.records,
        })
    }

    /// How many bytes of the current file are still to come.
    pub(super) fn size(&self) -> u64 {
        self.contents
    }

    /// The next bytes of the current file; empty at its end.
    pub(super) fn contents(&mut self) -> Result<&[u8], Error> {
        if self.contents == 0 {
            return Ok(&[]);
        }
        let ready = fill(&mut self.input)?;
        let most = usize::try_from(self.contents).unwrap_or(usize::MAX);
        Ok(&ready[..ready.len().min(most)])
    }

    /// Says that bytes given by [`Reader::contents`] were used.
    pub(super) fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.contents -= count as u64;
    }

    /// Reads to the end of the input: what checks the bytes has then seen them all.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        loop {
            match self.input.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(ready) => {
                    let count = ready.len();
                    add(&mut self.outline, ready);
                    self.input.consume(count);
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(Error::Input(cause)),
            }
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(cut_off)?;
        add(&mut self.outline, &block);
        Ok(block)
    }

    fn pass_over(&mut self, mut count: u64) -> Result<(), Error> {
        while count > 0 {
            let ready = fill(&mut self.input)?;
            let now = usize::try_from(count).unwrap_or(usize::MAX).min(ready.len());
            add(&mut self.outline, &ready[..now]);
            self.input.consume(now);
            count -= now as u64;
        }
        (self.contents, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads the contents of an extended header.
    fn special(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > LONGEST {
            return Err(Malformed::Pax.into());
        }
        let mut contents = Vec::new();
        (&mut self.input).take(size).read_to_end(&mut contents).map_err(cut_off)?;
        if contents.len() as u64 != size {
            return Err(Malformed::CutOff.into());
        }
        add(&mut self.outline, &contents);
        self.pass_over(padding(size) as u64)?;
        Ok(contents)
    }
}

/// A sum takes everything.
fn add(outline: &mut Option<Sum>, bytes: &[u8]) {
    if let Some(sum) = outline {
        let _ = sum.write_all(bytes);
    }
}

/// Bytes that are ready; there is at least one.
fn fill(input: &mut impl BufRead) -> Result<&[u8], Error> {
    loop {
        match input.fill_buf() {
            Ok([]) => return Err(Malformed::CutOff.into()),
            Ok(_) => break,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::Input(cause)),
        }
    }
    // Asked again because of the loop: nothing is read while something is ready.
    input.fill_buf().map_err(Error::Input)
}

fn cut_off(cause: io::Error) -> Error {
    if cause.kind() == ErrorKind::UnexpectedEof { Malformed::CutOff.into() } else { Error::Input(cause) }
}

/// A header block as it was read.
struct RawHeader<'a>(&'a [u8; BLOCK]);

impl RawHeader<'_> {
    /// Compares the checksum. Old programs added signed bytes.
    fn check(&self) -> Result<(), Malformed> {
        let expected = number(&self.0[148..156])?;
        let bytes = self.0.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { b' ' } else { byte });
        let unsigned: u64 = bytes.clone().map(u64::from).sum();
        let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
        if expected == unsigned || i64::try_from(expected) == Ok(signed) { Ok(()) } else { Err(Malformed::Header) }
    }

    /// The name, put together again if it was split.
    fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = match &self.0[257..263] {
            // The star program keeps times in the last part of the prefix.
            b"ustar\0" if &self.0[508..] == b"tar\0" => until_nul(&self.0[345..476]),
            b"ustar\0" => until_nul(&self.0[345..500]),
            _ => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }
}

impl Extended {
    /// Reads records `<length> <key>=<value>\n`.
    fn read_pax(&mut self, records: &[u8]) -> Result<(), Malformed> {
        let mut rest = records;
        while !rest.is_empty() {
            let space = rest.iter().position(|&byte| byte == b' ').ok_or(Malformed::Pax)?;
            let length = decimal(&rest[..space]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|&length| length <= rest.len() && length > space).ok_or(Malformed::Pax)?;
            let record = rest[space + 1..length].strip_suffix(b"\n").ok_or(Malformed::Pax)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or(Malformed::Pax)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            rest = &rest[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        // No value takes back what an earlier record said.
        let given = (!value.is_empty()).then_some(value);
        let number = || given.map(|value| decimal(value).ok_or(Malformed::Pax)).transpose();
        match key {
            b"path" => self.name = given.map(<[u8]>::to_vec),
            b"linkpath" => self.link = given.map(<[u8]>::to_vec),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"uname" | b"gname" | b"mtime" | b"atime" | b"ctime" => return Ok(()),
            key if key.starts_with(b"GNU.sparse.") => return Err(Malformed::Sparse),
            _ => {}
        }
        self.records.retain(|(other, _)| other != key);
        self.records.extend(given.map(|value| (key.to_vec(), value.to_vec())));
        Ok(())
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    // Nothing can be so long that sums of sizes would overflow.
    text.parse().ok().filter(|&value| value <= u64::MAX / 4)
}

/// Reads a number: octal digits among spaces and NULs, or GNU's big-endian bytes after a set top bit.
fn number(field: &[u8]) -> Result<u64, Malformed> {
    let value = match field.first() {
        Some(&first) if first & 0x80 != 0 => {
            // A set bit below the top one means a negative number.
            let mut bytes = std::iter::once(first & 0x7f).chain(field[1..].iter().copied());
            if first & 0x40 != 0 {
                None
            } else {
                bytes.try_fold(0_u64, |value, byte| Some(value.checked_mul(256)? | u64::from(byte)))
            }
        }
        _ => {
            let digits = field.trim_ascii_start();
            let start = digits.iter().position(|&byte| byte != 0 && byte != b' ').unwrap_or(digits.len());
            let mut digits = digits[start..].split(|&byte| byte == 0 || byte == b' ').next().unwrap_or_default().iter();
            digits.try_fold(0_u64, |value, byte| match byte {
                b'0'..=b'7' => Some(value.checked_mul(8)? | u64::from(byte - b'0')),
                _ => None,
            })
        }
    };
    value.filter(|&value| value <= u64::MAX / 4).ok_or(Malformed::Header)
}
