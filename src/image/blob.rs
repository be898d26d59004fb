//! Layers as blobs: a tar goes in, a compressed blob comes out, and back.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use super::gzip::{self, Failure, Made};
use super::sha256::Verified;
use crate::effect::events::{Facts, Listener, Outcome, Work};
use crate::effect::images::Measured;
use crate::effect::images::{NewLayer, TarSource};
use crate::model::digest::{DiffId, Digest};
use crate::os::error_text;

/// A stored blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a layer did not become a blob.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its source cannot be read, or changed while it was read.
    #[error("creating layer {id}: {}", error_text(.cause))]
    Source {
        /// The layer.
        id: String,
        /// What went wrong; names the file.
        cause: io::Error,
    },
    /// Its source gave other bytes than those that the layer was planned with.
    #[error("creating layer {id}: its content changed: expected {expected}, found {found}")]
    Changed {
        /// The layer.
        id: String,
        /// The planned diff id.
        expected: DiffId,
        /// The one of the bytes.
        found: DiffId,
    },
    /// The blob cannot be stored.
    #[error("storing layer {id}: {}", error_text(.cause))]
    Sink {
        /// The layer.
        id: String,
        /// What went wrong.
        cause: io::Error,
    },
}

impl Error {
    /// The same error, naming where the blob was to be stored.
    pub fn written_to(self, path: &Path) -> Self {
        match self {
            Self::Sink { id, cause } => {
                let text = format!("write {}: {}", path.display(), error_text(&cause));
                Self::Sink { id, cause: io::Error::new(cause.kind(), text) }
            }
            other => other,
        }
    }
}

/// Compresses a new layer into `sink`, in one pass over its source, and tells `listener` of it.
///
/// # Errors
/// See [`Error`]; what `sink` holds then is of no use.
pub fn compress(layer: &NewLayer, sink: &mut (dyn Write + Send), listener: &Listener) -> Result<Blob, Error> {
    let (measured, blob) = make(&layer.id, layer.tar.as_ref(), sink, listener)?;
    expect(layer, &measured).map(|()| blob)
}

/// Checks that what was made is the layer that was planned.
///
/// # Errors
/// Its source gave other bytes.
pub fn expect(layer: &NewLayer, measured: &Measured) -> Result<(), Error> {
    let (expected, found) = (layer.diff_id.clone(), measured.diff_id.clone());
    if expected == found { Ok(()) } else { Err(Error::Changed { id: layer.id.clone(), expected, found }) }
}

/// Compresses a layer whose diff id is not known yet, as [`compress`] does, and finds it out on the way.
///
/// # Errors
/// See [`Error`]; what `sink` holds then is of no use.
pub fn make(
    id: &str,
    tar: &dyn TarSource,
    sink: &mut (dyn Write + Send),
    listener: &Listener,
) -> Result<(Measured, Blob), Error> {
    let work = listener.begin(Work::WriteLayer(id.to_owned()));
    match gzip::compress(tar, sink) {
        Ok(Made { diff_id, size, blob }) => {
            work.end(Outcome::Success, Facts { bytes: Some(blob.size), ..Facts::default() });
            Ok((Measured { diff_id, size, files: tar.files() }, blob))
        }
        Err(failure) => {
            work.end(Outcome::Error, Facts { error_type: Some("io"), ..Facts::default() });
            let id = id.to_owned();
            Err(match failure {
                Failure::Source(cause) => Error::Source { id, cause },
                Failure::Sink(cause) => Error::Sink { id, cause },
            })
        }
    }
}

/// Reads a layer's blob as an uncompressed tar: gzip, or not compressed at all, whatever its media type says. Its last
/// read fails if the bytes are not those of `diff_id`.
///
/// # Errors
/// The start of the blob cannot be read, or it is compressed in another way.
pub fn uncompress(blob: Box<dyn Read + Send>, diff_id: &DiffId) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(Verified::new(uncompress_unverified(blob, diff_id)?, diff_id.as_str(), None)))
}

/// Reads a layer's blob as [`uncompress`] does, whatever its bytes are.
///
/// # Errors
/// As [`uncompress`].
pub fn uncompress_unverified(blob: Box<dyn Read + Send>, diff_id: &DiffId) -> io::Result<Box<dyn Read + Send>> {
    let mut blob = BufReader::with_capacity(1 << 16, blob);
    let mut start = [0; 4];
    let mut filled = 0;
    while filled < start.len() {
        match blob.read(&mut start[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let start = &start[..filled];
    let whole = VecDeque::from(start.to_vec()).chain(blob);
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("layer {diff_id} is compressed with zstd, which is not supported yet"),
            ));
        }
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::gzip::BLOCK;
    use crate::image::memory::{diff_id, new_layer};

    fn compressed(layer: &NewLayer, sink: &mut (dyn Write + Send)) -> Result<Blob, Error> {
        compress(layer, sink, &std::sync::Arc::new(crate::image::conforms::Heard::default()).listener())
    }

    fn round_trip(tar: &[u8]) -> (Blob, Vec<u8>) {
        let layer = new_layer("a", tar.to_owned());
        let mut stored = Vec::new();
        let blob = compressed(&layer, &mut stored).unwrap();
        assert_eq!(blob.size, stored.len() as u64);
        assert_eq!(blob.digest, super::super::sha256::digest(&stored));
        let mut out = Vec::new();
        uncompress(Box::new(io::Cursor::new(stored.clone())), &layer.diff_id).unwrap().read_to_end(&mut out).unwrap();
        assert!(out == tar);
        (blob, stored)
    }

    #[test]
    fn comes_back_as_it_was_at_every_size_around_a_block() {
        for size in [0, 1, 3, 1024, BLOCK - 1, BLOCK, 2 * BLOCK + 7] {
            let tar: Vec<u8> = (0..size).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
            let (_, stored) = round_trip(&tar);
            assert_eq!(stored[..2], [0x1f, 0x8b], "{size}");
        }
    }

    #[test]
    fn compresses() {
        let (blob, _) = round_trip(&b"abcdefgh".repeat(10_000));
        assert!(blob.size < 8_000, "{} bytes of 80000", blob.size);
    }

    #[test]
    fn gives_the_same_blob_each_time() {
        let tar = vec![7; BLOCK + 5];
        assert_eq!(round_trip(&tar), round_trip(&tar));
    }

    #[test]
    fn reads_a_layer_that_is_not_compressed() {
        let mut out = Vec::new();
        uncompress(Box::new(&b"plain"[..]), &diff_id(b"plain")).unwrap().read_to_end(&mut out).unwrap();
        assert_eq!(out, b"plain");
    }

    #[test]
    fn refuses_a_layer_of_other_bytes() {
        let mut stored = Vec::new();
        compressed(&new_layer("a", b"one".to_vec()), &mut stored).unwrap();
        let mut tar = uncompress(Box::new(io::Cursor::new(stored)), &diff_id(b"two")).unwrap();
        assert!(tar.read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn refuses_zstd_with_a_clear_word() {
        let error = uncompress(Box::new(&[0x28, 0xb5, 0x2f, 0xfd, 0][..]), &diff_id(b"")).err().unwrap();
        assert!(error.to_string().contains("zstd"), "{error}");
    }

    #[test]
    fn names_the_layer_whose_content_changed() {
        let mut layer = new_layer("samples/a:x", b"one".to_vec());
        layer.diff_id = diff_id(b"two");
        let error = compressed(&layer, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("creating layer samples/a:x: its content changed"), "{error}");
    }

    #[derive(Debug)]
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(nix::libc::ENOSPC))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Gone;

    impl TarSource for Gone {
        fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&vec![0; BLOCK])?;
            Err(io::Error::other("open /layers/a/b: gone"))
        }
    }

    #[test]
    fn tells_a_full_disk_from_a_bad_source() {
        let layer = new_layer("a", vec![1; 20 * BLOCK]);
        let error = compressed(&layer, &mut Full).unwrap_err();
        assert_eq!(error.to_string(), "storing layer a: no space left on device");
        let error = error.written_to(Path::new("/tmp/x"));
        assert_eq!(error.to_string(), "storing layer a: write /tmp/x: no space left on device");
        let layer = NewLayer { tar: std::sync::Arc::new(Gone), ..layer };
        let error = compressed(&layer, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "creating layer a: open /layers/a/b: gone");
    }
}
