//! A layer that a cache keeps in the very pass that makes it for the image.
//!
//! Catalogue 2, section 3.3. Whatever goes wrong with it, the layer is put into the cache later.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::Heard;
use crate::effect::cache::LayerDraft;
use crate::effect::images::{Measured, TarSource};

/// The tar of a layer; who reads it first also writes it into a cache. Who reads it again may read other bytes: then it
/// is not kept.
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

    /// Gives the tar back, whose only pass came to `measured`.
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
                self.tar.write_tar(&mut Heard::new(out, |bytes| draft.write(bytes)))?;
                self.exchange(Draft::Whole(draft));
                Ok(())
            }
            Draft::Whole(_) | Draft::None => self.tar.write_tar(out),
        }
    }

    fn files(&self) -> u64 {
        self.tar.files()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::image::sha256;
    use crate::model::digest::DiffId;

    /// A tar that is another one each time.
    #[derive(Debug, Default)]
    struct Changing(AtomicU8);

    impl TarSource for Changing {
        fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&[self.0.fetch_add(1, Ordering::Relaxed)])
        }
    }

    /// What was kept.
    type Cached = Mutex<Vec<(DiffId, Vec<u8>)>>;

    struct Draft<'a>(&'a Cached, Vec<u8>);

    impl LayerDraft for Draft<'_> {
        fn write(&mut self, bytes: &[u8]) {
            self.1.extend(bytes);
        }

        fn keep(self: Box<Self>, diff_id: &DiffId, _size: u64) {
            self.0.lock().unwrap().push((diff_id.clone(), self.1));
        }
    }

    /// Reads a layer so many times, and keeps it as what it came to at last.
    fn kept(passes: usize) -> Vec<(DiffId, Vec<u8>)> {
        let cached = Cached::default();
        let tar = Kept::new(Arc::new(Changing::default()), Some(Box::new(Draft(&cached, Vec::new()))));
        let mut last = Vec::new();
        for _ in 0..passes {
            last.clear();
            tar.write_tar(&mut last).unwrap();
        }
        let diff_id = DiffId::parse(sha256::digest(&last).as_str()).unwrap();
        tar.finish(&Measured { diff_id, size: 1, files: 1 });
        cached.into_inner().unwrap()
    }

    #[test]
    fn a_layer_is_kept_as_what_its_only_pass_came_to() {
        let (diff_id, bytes) = kept(1).remove(0);
        assert_eq!((diff_id.as_str(), bytes), (sha256::digest(&[0]).as_str(), vec![0]));
    }

    #[test]
    fn a_layer_that_was_read_again_is_not_kept() {
        assert_eq!(kept(2), []);
        assert_eq!(kept(3), []);
    }
}
