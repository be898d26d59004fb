//! Layers that another program made: the extender's, as they go into an app image.
//!
//! Catalogue 3, section A10; catalogue 2, section 2.3. Names, owners, modes, links and extended attributes stay. What
//! differs from build to build goes: times, and names of owners, which mean others in another image.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::error::Error;
use super::header::{Format, Header, Kind};
use super::measure::Sum;
use super::read::{Entry, EntryKind, Malformed, Reader};
use super::stream::Stream;
use crate::effect::images::TarSource;
use crate::model::digest::DiffId;

/// How much is read at once, in bytes.
const BUFFER: usize = 64 * 1024;

/// A layer of an image in an OCI layout, repacked each time that it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repacked {
    blob: PathBuf,
    diff_id: DiffId,
}

impl Repacked {
    /// The layer in the file `blob`, compressed with gzip or not at all. Its own archive has the digest `diff_id`,
    /// which is verified; the one that is written has another.
    pub fn new(blob: PathBuf, diff_id: DiffId) -> Self {
        Self { blob, diff_id }
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let mut sum = Sum::new();
        let tar = Summed { tar: uncompressed(&self.blob)?, sum: &mut sum };
        let mut reader = Reader::new(BufReader::with_capacity(BUFFER, tar));
        let mut stream = Stream::new(out);
        while let Some(entry) = reader.next()? {
            write_entry(&entry, &mut reader, &mut stream)?;
        }
        reader.drain()?;
        drop(reader);
        let found = sum.diff_id();
        if found != self.diff_id {
            return Err(Error::Mismatch { expected: self.diff_id.clone(), found });
        }
        stream.finish()
    }
}

impl TarSource for Repacked {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write(out).map_err(|error| match error {
            Error::Input(cause) => Error::system("read", &self.blob, cause).into(),
            error => error.into(),
        })
    }
}

/// Opens a blob; its start tells how it is compressed, whatever its media type says.
fn uncompressed(blob: &Path) -> Result<Box<dyn Read>, Error> {
    let file = File::open(blob).map_err(|cause| Error::system("open", blob, cause))?;
    let mut file = BufReader::with_capacity(BUFFER, file);
    let start = file.fill_buf().map_err(Error::Input)?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let text = "it is compressed with zstd, which is not supported yet";
            return Err(Error::Input(io::Error::new(io::ErrorKind::Unsupported, text)));
        }
        _ => Box::new(file),
    })
}

fn write_entry<R: BufRead>(entry: &Entry, reader: &mut Reader<R>, stream: &mut Stream<'_>) -> Result<(), Error> {
    let size = reader.size();
    let target = entry.link.as_slice();
    let kind = match (entry.kind, entry.special) {
        (EntryKind::File, _) => Kind::File { size },
        (EntryKind::Directory, _) => Kind::Directory,
        (EntryKind::Symlink, _) => Kind::Symlink { target },
        (EntryKind::HardLink, _) => Kind::HardLink { target },
        (EntryKind::Special, (b'3', device)) => Kind::CharacterDevice(device),
        (EntryKind::Special, (b'4', device)) => Kind::BlockDevice(device),
        (EntryKind::Special, _) => Kind::Fifo,
    };
    let format = if entry.is_gnu { Format::Gnu } else { Format::Posix(&entry.records) };
    let Entry { name, mode, uid, gid, .. } = entry;
    if name.is_empty() || name.contains(&0) || target.contains(&0) {
        return Err(Malformed::Name.into());
    }
    stream.header(&Header { name, kind, mode: *mode, uid: *uid, gid: *gid, format })?;
    loop {
        let part = reader.contents()?;
        let count = part.len();
        if count == 0 {
            return stream.pad(size);
        }
        stream.part(part)?;
        reader.consume(count);
    }
}

/// Hashes what is read.
struct Summed<'a> {
    tar: Box<dyn Read>,
    sum: &'a mut Sum,
}

impl Read for Summed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tar.read(buffer)?;
        self.sum.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use tempfile::TempDir;

    use super::*;
    use crate::archive::fixture::Archive;
    use crate::archive::measure;

    /// A blob in a folder of its own.
    fn blob(bytes: &[u8]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn digest(tar: &[u8]) -> DiffId {
        let mut sum = Sum::new();
        sum.write_all(tar).unwrap();
        sum.diff_id()
    }

    fn repack(tar: &[u8]) -> io::Result<Vec<u8>> {
        let (_dir, path) = blob(tar);
        let mut out = Vec::new();
        Repacked::new(path, digest(tar)).write_tar(&mut out).map(|()| out)
    }

    fn field(header: &mut [u8], at: usize, text: &[u8]) {
        header[at..at + text.len()].copy_from_slice(text);
    }

    /// As GNU's tar writes a header: with names of owners, and nothing where POSIX has the numbers of devices.
    fn gnu(header: &mut [u8]) {
        field(header, 108, b"0000765\x000000024\0");
        field(header, 136, b"14561223524\0");
        field(header, 257, b"ustar  \0narellano");
        field(header, 297, b"staff");
    }

    fn gzip(tar: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(tar).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn golden_g10_layers_of_an_extended_run_image() {
        for (name, sha256) in [
            ("some-dir", "fb54d2566824d6630d94db0b008d9a544a94d3547a424f52e2fd282b648c0601"),
            ("some-other-dir", "1018c7d3584c4f7fa3ef4486d1a6a11b93956b9d8bfe0898a3e0fbd248c984d8"),
        ] {
            let mut tar = Archive::new()
                .directory(&format!("/{name}/"), 0o755)
                .patch(gnu)
                .file(&format!("/{name}/some-file"), "some-data\n")
                .patch(gnu)
                .file(&format!("/{}", name.replace("dir", "file")), "some-data\n")
                .patch(gnu)
                .bytes();
            tar.resize(10240, 0);
            let (_dir, path) = blob(&gzip(&tar));
            let measured = measure(&Repacked::new(path, digest(&tar))).unwrap();
            assert_eq!((measured.diff_id.hex(), measured.size), (sha256, 3584), "{name}");
        }
    }

    #[test]
    fn what_differs_from_build_to_build_goes_and_all_else_stays() {
        let layer = |time: &str| {
            let times = [("atime", time), ("ctime", time), ("mtime", time), ("uname", time)];
            let capability = ("SCHILY.xattr.security.capability", "\u{1}x");
            Archive::new()
                .pax(&[&times[..], &[capability]].concat())
                .file("bin/ping", "x")
                .patch(|header| field(header, 100, b"0004755\x000000012\x000000013\0"))
                .hard_link("bin/ping6", "bin/ping")
                .symlink("sbin", "bin")
                .entry("dev/null", b'3', 0o666, "", b"")
                .patch(|header| field(header, 329, b"0000001\x000000003\0"))
                .entry("fifo", b'6', 0o600, "", b"")
                .patch(|header| field(header, 136, time.as_bytes()))
                .bytes()
        };
        let expected = Archive::new().pax(&[("SCHILY.xattr.security.capability", "\u{1}x")]).bytes();
        let out = repack(&layer("1700000000")).unwrap();
        assert_eq!(out, repack(&layer("1800000000")).unwrap());
        // The records of an entry that has one to keep are that one.
        assert_eq!(out[512..1024], expected[512..1024]);
        let mut reader = Reader::new(&out[..]);
        let mut told = String::new();
        while let Some(entry) = reader.next().unwrap() {
            let name = String::from_utf8(entry.name.clone()).unwrap();
            let link = String::from_utf8(entry.link.clone()).unwrap();
            let (letter, device) = entry.special;
            let numbers = (device.major, device.minor);
            let Entry { mode, uid, gid, .. } = entry;
            writeln!(told, "{} {name} {link} {mode:o} {uid}:{gid} {numbers:?}", char::from(letter)).unwrap();
        }
        let lines = [
            "0 bin/ping  4755 10:11 (0, 0)",
            "1 bin/ping6 bin/ping 644 0:0 (0, 0)",
            "2 sbin bin 777 0:0 (0, 0)",
            "3 dev/null  666 0:0 (1, 3)",
            "6 fifo  600 0:0 (0, 0)",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn long_names_stay_in_the_format_that_they_came_in() {
        let (name, link) = ("n".repeat(120), "t".repeat(120));
        let long = [name.as_bytes(), b"\0"].concat();
        let target = [link.as_bytes(), b"\0"].concat();
        let as_gnu = |header: &mut [u8]| field(header, 257, b"ustar  \0");
        let gnu = Archive::new()
            .entry("././@LongLink", b'L', 0, "", &long)
            .patch(as_gnu)
            .entry("././@LongLink", b'K', 0, "", &target)
            .patch(as_gnu)
            .symlink("short", "short")
            .patch(|header| {
                as_gnu(header);
                // An owner whose number needs more than octal digits.
                field(header, 108, &[0x80, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0]);
            })
            .bytes();
        let posix = Archive::new().pax(&[("path", &name), ("linkpath", &link), ("uid", "3000000")]);
        let posix = posix.symlink("short", "short").bytes();
        for (tar, letter) in [(gnu, b'L'), (posix, b'x')] {
            let out = repack(&tar).unwrap();
            assert_eq!(out[156], letter);
            let entry = Reader::new(&out[..]).next().unwrap().unwrap();
            assert_eq!((entry.name, entry.link), (name.clone().into_bytes(), link.clone().into_bytes()));
            assert_eq!(entry.uid, 3_000_000);
            // What was repacked comes out of it again.
            assert_eq!(repack(&out).unwrap(), out);
        }
    }

    /// A name that fits into a header in two parts, which is what the reference does with it unless a record has it.
    #[test]
    fn a_record_that_was_not_needed_stays() {
        let name = format!("{}/{}", "p".repeat(90), "q".repeat(60));
        let pax = Archive::new().pax(&[("path", &name), ("uid", "12"), ("size", "0")]).symlink("q", "x").bytes();
        let out = repack(&pax).unwrap();
        let records = Reader::new(&out[..]).next().unwrap().unwrap().records;
        assert_eq!(records, [(b"path".to_vec(), name.into_bytes()), (b"uid".to_vec(), b"12".to_vec())]);
    }

    #[test]
    fn a_blob_of_other_bytes_is_refused() {
        let tar = Archive::new().file("a", "b").bytes();
        let (_dir, path) = blob(&tar);
        let wrong = digest(b"x");
        let error = Repacked::new(path.clone(), wrong.clone()).write_tar(&mut Vec::new()).unwrap_err();
        let found = digest(&tar);
        assert_eq!(error.to_string(), format!("expected layer contents to have SHA '{wrong}'; found '{found}'"));
        std::fs::write(&path, [0x28, 0xb5, 0x2f, 0xfd, 0]).unwrap();
        let error = Repacked::new(path.clone(), found).write_tar(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.ends_with("it is compressed with zstd, which is not supported yet"), "{error}");
    }

    #[test]
    fn a_blob_that_is_cut_off_is_refused() {
        let whole = gzip(&Archive::new().file("a", "b").bytes());
        for bytes in [&whole[..whole.len() - 1], &[0x1f, 0x8b], &[1; 700][..]] {
            assert!(repack(bytes).is_err(), "{} bytes", bytes.len());
            let (_dir, path) = blob(bytes);
            assert!(Repacked::new(path, digest(b"")).write_tar(&mut Vec::new()).is_err());
        }
        let (dir, path) = blob(b"");
        drop(dir);
        let error = Repacked::new(path.clone(), digest(b"")).write_tar(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("open {}: no such file or directory", path.display()));
    }
}
