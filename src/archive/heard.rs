//! A writer whose bytes others hear.

use std::io::{self, Write};

/// Writes to `out`, and lets `hear` have what was written.
pub struct Heard<'a, F> {
    out: &'a mut dyn Write,
    hear: F,
}

impl<'a, F: FnMut(&[u8])> Heard<'a, F> {
    /// Makes one.
    pub fn new(out: &'a mut dyn Write, hear: F) -> Self {
        Self { out, hear }
    }
}

impl<F: FnMut(&[u8])> Write for Heard<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        (self.hear)(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
