//! Layers out of a daemon: `docker save` of the image, of which those that are asked for are kept.
//!
//! A daemon gives only whole images, in one of several forms: folders with a `layer.tar` each (docker up to 24), an OCI
//! layout (docker from 25 on, compressed with the containerd store), or `<diff id>.tar` (podman). Which member is which
//! layer is told by its content: so all forms are read alike, and nothing is believed. Layers lie in files without a
//! name until they are read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::Error;
use crate::archive::for_each_file;
use crate::effect::images::{NewLayer, TarSource};
use crate::image::sha256::Sha256;
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::os::error_text;

/// A layer of an image in a daemon, uncompressed, in a file without a name.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) file: File,
    /// In bytes.
    pub(super) size: u64,
}

impl Saved {
    /// The same as a layer that can be sent.
    pub(super) fn into_layer(self, diff_id: &DiffId) -> NewLayer {
        NewLayer { id: diff_id.to_string(), diff_id: diff_id.clone(), size: self.size, tar: Arc::new(self) }
    }
}

impl TarSource for Saved {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        let mut offset = 0;
        loop {
            match self.file.read_at(&mut buffer, offset) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    out.write_all(&buffer[..count])?;
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes layers of an image out of what a daemon saved.
pub(super) fn layers(
    archive: impl Read,
    image: &ImageRecord,
    wanted: &[DiffId],
    temp_dir: &Path,
) -> Result<BTreeMap<DiffId, Saved>, Error> {
    let mut found = BTreeMap::new();
    let mut spare = None;
    let failed = |cause: io::Error| Error::Save { image: image.identifier.clone(), cause: error_text(&cause) };
    for_each_file(BufReader::with_capacity(256 << 10, archive), |name, contents| {
        if is_other(name, image, wanted) {
            return Ok(ControlFlow::Continue(()));
        }
        let mut file = match spare.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(temp_dir).map_err(|error| named(temp_dir, &error))?,
        };
        let (diff_id, size) = keep(contents, &mut file, temp_dir)?;
        if wanted.contains(&diff_id) && !found.contains_key(&diff_id) {
            found.insert(diff_id, Saved { file, size });
        } else {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            spare = Some(file);
        }
        let all = wanted.iter().all(|diff_id| found.contains_key(diff_id));
        Ok(if all { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .map_err(failed)?;
    match wanted.iter().find(|diff_id| !found.contains_key(diff_id)) {
        Some(lost) => Err(Error::NoLayer { image: image.identifier.clone(), diff_id: lost.clone() }),
        None => Ok(found),
    }
}

fn named(temp_dir: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("write a temporary file in {}: {}", temp_dir.display(), error_text(error)))
}

/// Says whether a member is for sure none that is wanted: a document, or by its name another layer of the image.
fn is_other(name: &[u8], image: &ImageRecord, wanted: &[DiffId]) -> bool {
    let name = String::from_utf8_lossy(name);
    let last = name.rsplit('/').next().unwrap_or_default();
    let is_json = Path::new(last).extension().is_some_and(|extension| extension == "json");
    if is_json || ["json", "VERSION", "repositories", "oci-layout"].contains(&last) {
        return true;
    }
    let hex = last.strip_suffix(".tar").unwrap_or(last);
    let is_named = |diff_id: &DiffId| diff_id.as_str().strip_prefix("sha256:") == Some(hex);
    image.layers.iter().any(|layer| is_named(&layer.diff_id)) && !wanted.iter().any(is_named)
}

/// Keeps the uncompressed contents of a member; gives their diff id and size.
fn keep(contents: &mut dyn Read, file: &mut File, temp_dir: &Path) -> io::Result<(DiffId, u64)> {
    let mut contents = BufReader::with_capacity(64 << 10, contents);
    let is_compressed = contents.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut kept = Kept { out: BufWriter::with_capacity(256 << 10, file), hash: Sha256::new(), temp_dir };
    if is_compressed {
        io::copy(&mut MultiGzDecoder::new(contents), &mut kept)?;
    } else {
        io::copy(&mut contents, &mut kept)?;
    }
    kept.flush()?;
    kept.out.seek(SeekFrom::Start(0))?;
    let size = kept.hash.bytes();
    Ok((DiffId::from_sha256(&kept.hash.finish()), size))
}

/// A layer in the making.
struct Kept<'a> {
    out: BufWriter<&'a mut File>,
    hash: Sha256,
    temp_dir: &'a Path,
}

impl Write for Kept<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes).map_err(|error| named(self.temp_dir, &error))?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().map_err(|error| named(self.temp_dir, &error))
    }
}
