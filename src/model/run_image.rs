//! Run images by name: run.toml and stack.toml.
//!
//! Clauses: platform.md#runtoml-toml, platform.md#stacktoml-toml.

/// A run image and the places where copies of it are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunImageRef {
    /// Its name; may be empty.
    pub image: String,
    /// Names of copies.
    pub mirrors: Vec<String>,
}

/// The contents of run.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunImages {
    /// `[[images]]`, the platform's choice first.
    pub images: Vec<RunImageRef>,
}

impl RunImageRef {
    /// Says whether neither a name nor a mirror is known.
    pub fn is_empty(&self) -> bool {
        self.image.is_empty() && self.mirrors.is_empty()
    }

    /// The name, then the mirrors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.image.as_str()).chain(self.mirrors.iter().map(String::as_str))
    }
}
