//! An archive of what is listed: the lifecycle itself, as an archive to download or as the layer of an image.
//!
//! Catalogue 3, sections C1 and C2. Everything in it belongs to root, whoever makes it.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::error::Error;
use super::tar::{Fixed, FixedKind, Owner, Recipe, Tar};
use super::tree::Stamp;

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as it stands in the archive.
    pub name: String,
    /// Its permissions.
    pub mode: u32,
    /// What it is.
    pub kind: EntryKind,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(String),
    /// The contents of a file, links followed.
    File(PathBuf),
}

/// Plans an archive of these entries, in this order, with the modification time that every layer has.
///
/// # Errors
/// A file is not there, or is none.
pub fn listed(entries: Vec<Entry>) -> Result<Tar, Error> {
    let entries = entries.into_iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    Ok(Tar { recipe: Arc::new(Recipe { prefix: 0, first: entries.into(), files: None }) })
}

fn plan(entry: Entry) -> Result<Fixed, Error> {
    let Entry { name, mode, kind } = entry;
    let what = match kind {
        EntryKind::Directory => FixedKind::Directory,
        EntryKind::Symlink(target) => FixedKind::Symlink(target.into_bytes()),
        EntryKind::File(path) => {
            let found =
                statat(CWD, &path, AtFlags::empty()).map_err(|cause| Error::system("stat", path.clone(), cause))?;
            if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
                return Err(Error::NoFile { path });
            }
            let stamp = Stamp::new(&found, true);
            FixedKind::File(path, stamp)
        }
    };
    Ok(Fixed { name: name.into_bytes(), mode, owner: Owner { uid: 0, gid: 0 }, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::{Fixture, listing};
    use crate::effect::images::TarSource as _;

    #[test]
    fn keeps_order_modes_and_links() {
        let fixture = Fixture::new();
        let file = fixture.file("/x", "contents", 0o600);
        let entry = |name: &str, mode, kind| Entry { name: name.to_owned(), mode, kind };
        let tar = listed(vec![
            entry("z", 0o644, EntryKind::File(file)),
            entry("a", 0o755, EntryKind::Directory),
            entry("a/b", 0o777, EntryKind::Symlink("c".to_owned())),
        ])
        .unwrap();
        assert_eq!(listing(&tar), ["z", "a", "a/b"]);
        let mut bytes = Vec::new();
        tar.write_tar(&mut bytes).unwrap();
        assert_eq!(&bytes[100..107], b"0000644", "the mode of the file is not that of its source");
        assert_eq!(&bytes[512..520], b"contents");
        assert_eq!(&bytes[1536 + 157..1536 + 159], b"c\0");
    }

    #[test]
    fn a_file_that_is_missing_or_a_folder_is_an_error_that_names_it() {
        let entry = |path: &str| Entry { name: "x".into(), mode: 0o644, kind: EntryKind::File(path.into()) };
        let error = listed(vec![entry("/no/file")]).unwrap_err();
        assert_eq!(error.to_string(), "stat /no/file: no such file or directory");
        assert_eq!(listed(vec![entry("/")]).unwrap_err().to_string(), "/ is no regular file");
    }
}
