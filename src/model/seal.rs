//! What tells that a restored layer was not touched since. `archive::seal` makes and checks seals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::digest::DiffId;

/// The seal of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The digest of its archive.
    pub diff_id: DiffId,
    /// The size of its archive in bytes.
    pub size: u64,
    /// The digest of all of its archive but the contents of files.
    pub outline: DiffId,
    /// The digest of what the file system says of each entry.
    pub state: DiffId,
}

/// Seals of layers, by their folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seals(BTreeMap<PathBuf, Seal>);

impl Seals {
    /// Adds one.
    pub fn insert(&mut self, folder: PathBuf, seal: Seal) {
        self.0.insert(folder, seal);
    }

    /// The seal of a folder.
    pub fn get(&self, folder: &Path) -> Option<&Seal> {
        self.0.get(folder)
    }

    /// As text, one line each; the folder last. A folder whose name is no such text is left out.
    pub fn render(&self) -> String {
        let line = |(folder, seal): (&PathBuf, &Seal)| {
            let Seal { diff_id, size, outline, state } = seal;
            let folder = folder.to_str().filter(|name| !name.contains('\n'))?;
            Some(format!("{diff_id} {size} {outline} {state} {folder}\n"))
        };
        self.0.iter().filter_map(line).collect()
    }

    /// Reads what [`Seals::render`] wrote; lines that it did not write are passed over.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut parts = line.splitn(5, ' ');
            let mut next = || parts.next();
            let diff_id = DiffId::parse(next()?).ok()?;
            let size = next()?.parse().ok()?;
            let outline = DiffId::parse(next()?).ok()?;
            let state = DiffId::parse(next()?).ok()?;
            Some((PathBuf::from(next()?), Seal { diff_id, size, outline, state }))
        };
        Self(text.lines().filter_map(line).collect())
    }
}
