//! A layer that a cache keeps in the very pass that makes it for the image.
//!
//! Catalogue 2, section 3.3. Whatever goes wrong with it, the layer is put into the cache later.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::effect::cache::LayerDraft;
use crate::effect::images::{Measured, TarSource};

/// The tar of a layer; who reads it first also writes it into a cache.
pub(super) struct Kept<'a> {
    tar: Arc<dyn TarSource>,
    draft: Mutex<Draft<'a>>,
}

/// How far the layer in the cache is.
enum Draft<'a> {
    Empty(Box<dyn LayerDraft + 'a>),
    Whole(Box<dyn LayerDraft + 'a>),
    None,
}

impl fmt::Debug for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tar.fmt(f)
    }
}

impl<'a> Kept<'a> {
    /// Nothing is read yet. Without a draft nothing is kept.
    pub(super) fn new(tar: Arc<dyn TarSource>, draft: Option<Box<dyn LayerDraft + 'a>>) -> Self {
        Self { tar, draft: Mutex::new(draft.map_or(Draft::None, Draft::Empty)) }
    }

    /// Gives the tar back, whose first pass came to `measured`.
    pub(super) fn finish(self, measured: &Measured) -> Arc<dyn TarSource> {
        if let Draft::Whole(draft) = self.draft.into_inner().unwrap_or_else(PoisonError::into_inner) {
            draft.keep(&measured.diff_id, measured.size);
        }
        self.tar
    }

    fn exchange(&self, draft: Draft<'a>) -> Draft<'a> {
        std::mem::replace(&mut *self.draft.lock().unwrap_or_else(PoisonError::into_inner), draft)
    }
}

impl TarSource for Kept<'_> {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.exchange(Draft::None) {
            Draft::Empty(mut draft) => {
                self.tar.write_tar(&mut Both { out, draft: draft.as_mut() })?;
                self.exchange(Draft::Whole(draft));
                Ok(())
            }
            other => {
                self.exchange(other);
                self.tar.write_tar(out)
            }
        }
    }

    fn files(&self) -> u64 {
        self.tar.files()
    }
}

/// Writes to both, and fails as the first does.
struct Both<'a, 'd> {
    out: &'a mut dyn Write,
    draft: &'a mut (dyn LayerDraft + 'd),
}

impl Write for Both<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.draft.write(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
