//! SHA-256 of streams, with their length.

use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256};

use crate::model::digest::Digest;

/// A SHA-256 in the making. Writing to it never fails.
pub(crate) struct Sha256 {
    context: Context,
    bytes: u64,
}

impl Sha256 {
    /// Of nothing yet.
    pub(crate) fn new() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0 }
    }

    /// Takes more bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes were taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash.
    pub(crate) fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.context.finish().as_ref());
        hash
    }
}

impl Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest of a blob in memory.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(bytes);
    Digest::from_sha256(&hash.finish())
}

/// Passes a stream on, and fails its end when the bytes were not those that `expected` names.
pub(crate) struct Verified<R> {
    inner: R,
    hash: Option<Sha256>,
    expected: String,
    size: Option<u64>,
}

impl<R> Verified<R> {
    /// Expects a digest or diff id in its text form, and a length in bytes if one is known.
    pub(crate) fn new(inner: R, expected: &str, size: Option<u64>) -> Self {
        Self { inner, hash: Some(Sha256::new()), expected: expected.to_owned(), size }
    }

    fn check(&mut self) -> io::Result<()> {
        let Some(hash) = self.hash.take() else { return Ok(()) };
        let bytes = hash.bytes();
        if let Some(size) = self.size
            && size != bytes
        {
            return Err(mismatch(&format!("{} has {bytes} bytes instead of {size}", self.expected)));
        }
        let found = Digest::from_sha256(&hash.finish());
        if found.as_str() == self.expected {
            return Ok(());
        }
        Err(mismatch(&format!("expected {}, but the content is {found}", self.expected)))
    }
}

fn mismatch(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            self.check()?;
        } else if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..count]);
            if self.size.is_some_and(|size| hash.bytes() > size) {
                return Err(mismatch(&format!("{} is longer than its size", self.expected)));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn read(expected: &str, size: Option<u64>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Verified::new(&b"hello"[..], expected, size).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn passes_the_right_bytes() {
        assert_eq!(read(HELLO, Some(5)).unwrap(), b"hello");
        assert_eq!(digest(b"hello").as_str(), HELLO);
    }

    #[test]
    fn fails_at_the_end_of_others() {
        let error = read(digest(b"other").as_str(), None).unwrap_err();
        assert!(error.to_string().contains(HELLO), "{error}");
        assert!(read(HELLO, Some(6)).is_err());
        assert!(read(HELLO, Some(4)).is_err());
    }
}
