//! Archives of plain files, as a docker daemon gives and takes whole images.

use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;

use super::error::Error;
use super::header::{BLOCK, Format, Header, Kind, padding};
use super::read::{EntryKind, Reader};

/// The contents of one file of an archive.
struct Contents<'a, R>(&'a mut Reader<R>);

impl<R: BufRead> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.0.contents().map_err(io::Error::other)?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.0.consume(count);
        Ok(count)
    }
}

/// Shows every regular file of an archive, by its name and contents, until `show` breaks off. What of a file is not read
/// is passed over.
///
/// # Errors
/// The archive cannot be read, or `show` fails.
pub fn for_each_file(
    input: impl BufRead,
    mut show: impl FnMut(&[u8], &mut dyn Read) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut reader = Reader::new(input);
    while let Some(entry) = reader.next().map_err(unwrapped)? {
        if entry.kind == EntryKind::File && show(&entry.name, &mut Contents(&mut reader))?.is_break() {
            return Ok(());
        }
    }
    reader.drain().map_err(unwrapped)
}

/// Writes an archive of regular files of root, readable by all.
pub struct FileWriter<'a> {
    out: &'a mut dyn Write,
}

impl<'a> FileWriter<'a> {
    /// Begins an archive.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Writes a file, whose contents `write` must give in exactly `size` bytes.
    ///
    /// # Errors
    /// `write` fails or gives another number of bytes, or the archive cannot be written.
    pub fn file(
        &mut self,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut header = Vec::new();
        let (kind, format) = (Kind::File { size }, Format::Posix(&[]));
        Header { name: name.as_bytes(), kind, mode: 0o644, uid: 0, gid: 0, format }.append_to(&mut header);
        self.out.write_all(&header)?;
        let mut exact = Exact { out: self.out, left: size };
        write(&mut exact)?;
        if exact.left > 0 {
            return Err(io::Error::other(format!("{name} is {} bytes short of its {size}", exact.left)));
        }
        self.out.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Writes the end marker.
    ///
    /// # Errors
    /// The archive cannot be written.
    pub fn finish(self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])
    }
}

/// Takes so many bytes and no more.
struct Exact<'a> {
    out: &'a mut dyn Write,
    left: u64,
}

impl Write for Exact<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other("a file is longer than its size"));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What went wrong with the input, without a word about archives around it.
fn unwrapped(error: Error) -> io::Error {
    match error {
        Error::Input(cause) => cause,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = FileWriter::new(&mut bytes);
        writer.file("/sha256:a.tar", 5, |out| out.write_all(b"hello")).unwrap();
        writer.file("empty", 0, |_| Ok(())).unwrap();
        writer.file(&"x".repeat(150), 600, |out| out.write_all(&[1; 600])).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn files_come_back_as_they_were_written() {
        let mut seen = Vec::new();
        let show = |name: &[u8], contents: &mut dyn Read| {
            let mut bytes = Vec::new();
            contents.read_to_end(&mut bytes)?;
            seen.push((String::from_utf8_lossy(name).into_owned(), bytes.len()));
            Ok(ControlFlow::Continue(()))
        };
        for_each_file(&archive()[..], show).unwrap();
        assert_eq!(seen, [("/sha256:a.tar".to_owned(), 5), ("empty".to_owned(), 0), ("x".repeat(150), 600)]);
    }

    #[test]
    fn nobody_has_to_read_a_file_or_all_files() {
        let mut seen = 0;
        for_each_file(&archive()[..], |_, _| {
            seen += 1;
            Ok(if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
        assert_eq!(seen, 2);
        assert!(for_each_file(&archive()[..700], |_, _| Ok(ControlFlow::Continue(()))).is_err());
    }

    #[test]
    fn a_file_has_its_size() {
        let mut bytes = Vec::new();
        let mut writer = FileWriter::new(&mut bytes);
        assert!(writer.file("a", 5, |out| out.write_all(b"hell")).is_err());
        assert!(writer.file("a", 5, |out| out.write_all(b"hello!")).is_err());
    }
}
