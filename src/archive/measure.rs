//! What a layer comes to: its diff id and its size.

use std::io::{self, Write};

use ring::digest::{Context, SHA256};

use crate::effect::images::{Measured, TarSource};
use crate::model::digest::DiffId;

/// Reads a layer once, keeping none of it.
///
/// # Errors
/// A file cannot be read, or changed since the layer was planned; the error names it.
pub fn measure(tar: &dyn TarSource) -> io::Result<Measured> {
    let mut sum = Sum::new();
    tar.write_tar(&mut sum)?;
    let size = sum.size;
    Ok(Measured { diff_id: sum.diff_id(), size, files: tar.files() })
}

/// Takes bytes and keeps their digest and their number.
pub(crate) struct Sum {
    context: Context,
    size: u64,
}

impl Sum {
    /// The sum of nothing yet.
    pub(crate) fn new() -> Self {
        Self { context: Context::new(&SHA256), size: 0 }
    }

    /// The digest of all bytes so far, and their number.
    pub(crate) fn finish(self) -> (DiffId, u64) {
        let size = self.size;
        (self.diff_id(), size)
    }

    /// The digest of all bytes so far.
    pub(crate) fn diff_id(self) -> DiffId {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.context.finish().as_ref());
        DiffId::from_sha256(&sha256)
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Owner;
    use crate::archive::fixture::Fixture;

    #[test]
    fn tells_digest_size_and_number_of_entries() {
        let fixture = Fixture::new();
        fixture.folder("/layers/bp_x/empty");
        let tar = fixture.directory("/layers/bp_x/empty", Owner { uid: 1000, gid: 1000 }).unwrap();
        let measured = measure(&tar).unwrap();
        assert_eq!(measured.diff_id.hex(), "a5ca0ce5e2822e60194d10002245dc1e89364f3ce55222c717d9c26d9ed12844");
        assert_eq!((measured.size, measured.files), (2560, 1));
    }
}
