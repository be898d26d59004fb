//! Seals: what tells that a restored layer was not touched since, so that its digest is known without reading it.
//!
//! A layer whose archive was extracted has two parts of a seal. Its *outline* is the digest of all of the archive but the
//! contents of files: names, owners, modes, links, padding, the order of everything. Its *state* is the digest of what the
//! file system says of each entry afterwards: size, mode, owner, number, and when it was last changed, which no program
//! can set. If a layer that is planned from the folder has the same outline, and the folder is in the same state, then
//! its archive is the one that was extracted, byte for byte.

use std::path::Path;
use std::time::Duration;

use super::error::Error;
use super::extract::Extracted;
use super::state::State;
use super::tar::Tar;
use crate::effect::images::{Measured, TarSource};
use crate::model::digest::DiffId;
use crate::model::seal::Seal;

/// File systems tell when something changed only so exactly: what changes again before this time has passed may look the
/// same.
const SETTLED: Duration = Duration::from_millis(12);

impl Seal {
    /// Seals a folder where an archive with this diff id was extracted and nobody wrote since. Waits until what changes
    /// from now on will look changed. `None` if the archive had something that a seal cannot tell, or if the file system's
    /// clock is too coarse for seals.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn new(folder: &Path, diff_id: &DiffId, extracted: &Extracted) -> Result<Option<Self>, Error> {
        let (Some(outline), Some(ended)) = (extracted.outline.clone(), extracted.ended) else { return Ok(None) };
        std::thread::sleep(SETTLED.saturating_sub(ended.elapsed()));
        let Some(state) = State::of(folder)? else { return Ok(None) };
        Ok(Some(Self { diff_id: diff_id.clone(), size: extracted.size, outline, state }))
    }

    /// What a layer comes to, if it is the one that was sealed.
    pub fn measured(&self, tar: &Tar) -> Option<Measured> {
        let is_same = tar.state() == Some(&self.state) && tar.outline().is_ok_and(|outline| outline == self.outline);
        is_same.then(|| Measured { diff_id: self.diff_id.clone(), size: self.size, files: tar.files() })
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::io::Cursor;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::archive::{Hashing, Owner, directory, extract_verified, measure};
    use crate::model::seal::Seals;
    use std::path::PathBuf;

    pub(super) fn owner() -> Owner {
        Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    /// A layer that was archived, removed and restored; its folder, diff id and what was extracted.
    fn restored(root: &Path) -> (PathBuf, DiffId, Extracted) {
        let folder = root.join("layer");
        fs::create_dir_all(folder.join("sub/empty")).unwrap();
        fs::write(folder.join("a"), "contents of a").unwrap();
        fs::write(folder.join("sub/b"), vec![7; 3000]).unwrap();
        symlink("a", folder.join("link")).unwrap();
        let (diff_id, extracted) = restore(&folder);
        (folder, diff_id, extracted)
    }

    /// Archives a folder, removes it and restores it; its diff id and what was extracted.
    pub(super) fn restore(folder: &Path) -> (DiffId, Extracted) {
        let tar = directory(folder, owner()).unwrap();
        let diff_id = measure(&tar).unwrap().diff_id;
        let mut bytes = Vec::new();
        tar.write_tar(&mut bytes).unwrap();
        fs::remove_dir_all(folder).unwrap();
        let extracted = extract_verified(Cursor::new(bytes), &diff_id, Path::new("/"), folder, Hashing::Here).unwrap();
        (diff_id, extracted)
    }

    fn sealed(root: &Path) -> (PathBuf, Seal) {
        let (folder, diff_id, extracted) = restored(root);
        let seal = Seal::new(&folder, &diff_id, &extracted).unwrap().unwrap();
        (folder, seal)
    }

    #[test]
    fn an_untouched_layer_is_measured_without_being_read() {
        let root = tempfile::tempdir().unwrap();
        let (folder, seal) = sealed(root.path());
        let tar = directory(&folder, owner()).unwrap();
        let measured = measure(&tar).unwrap();
        assert_eq!(seal.measured(&tar), Some(measured));
    }

    #[test]
    fn whatever_changes_breaks_the_seal() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 14] = [
            ("contents", |at| fs::write(at.join("a"), "CONTENTS OF A").unwrap()),
            ("contents with the old time", |at| {
                let time = fs::metadata(at.join("a")).unwrap().modified().unwrap();
                let mut file = File::options().write(true).open(at.join("a")).unwrap();
                std::io::Write::write_all(&mut file, b"CONTENTS OF A").unwrap();
                file.set_modified(time).unwrap();
            }),
            ("more contents", |at| fs::write(at.join("a"), "contents of a, and more").unwrap()),
            ("mode", |at| fs::set_permissions(at.join("a"), Permissions::from_mode(0o755)).unwrap()),
            ("mode of a folder", |at| fs::set_permissions(at.join("sub"), Permissions::from_mode(0o700)).unwrap()),
            ("mode of the layer", |at| fs::set_permissions(at, Permissions::from_mode(0o700)).unwrap()),
            ("mode and back", |at| {
                let mode = fs::metadata(at.join("a")).unwrap().permissions();
                fs::set_permissions(at.join("a"), Permissions::from_mode(0o700)).unwrap();
                fs::set_permissions(at.join("a"), mode).unwrap();
            }),
            ("name", |at| fs::rename(at.join("a"), at.join("c")).unwrap()),
            ("a new file", |at| fs::write(at.join("sub/empty/new"), "").unwrap()),
            ("a file less", |at| fs::remove_file(at.join("sub/b")).unwrap()),
            ("a folder less", |at| fs::remove_dir(at.join("sub/empty")).unwrap()),
            ("target of a link", |at| {
                fs::remove_file(at.join("link")).unwrap();
                symlink("b", at.join("link")).unwrap();
            }),
            ("another file of the same contents", |at| {
                fs::write(at.join("other"), "contents of a").unwrap();
                fs::rename(at.join("other"), at.join("a")).unwrap();
            }),
            ("another name for a file", |at| fs::hard_link(at.join("a"), at.parent().unwrap().join("a")).unwrap()),
        ];
        for (what, change) in changes {
            let root = tempfile::tempdir().unwrap();
            let (folder, seal) = sealed(root.path());
            change(&folder);
            assert_eq!(seal.measured(&directory(&folder, owner()).unwrap()), None, "{what}");
        }
    }

    #[test]
    fn an_extended_attribute_breaks_the_seal() {
        let root = tempfile::tempdir().unwrap();
        let (folder, seal) = sealed(root.path());
        let at = folder.join("a");
        if rustix::fs::setxattr(&at, "user.x", b"y", rustix::fs::XattrFlags::empty()).is_ok() {
            assert_eq!(seal.measured(&directory(&folder, owner()).unwrap()), None);
        }
    }

    #[test]
    fn a_layer_that_would_be_archived_otherwise_is_not_the_sealed_one() {
        let root = tempfile::tempdir().unwrap();
        let (folder, seal) = sealed(root.path());
        let other = Owner { uid: owner().uid + 1, ..owner() };
        assert_eq!(seal.measured(&directory(&folder, other).unwrap()), None);
        // The folder above is in the archive too.
        fs::set_permissions(root.path(), Permissions::from_mode(0o711)).unwrap();
        assert_eq!(seal.measured(&directory(&folder, owner()).unwrap()), None);
    }

    #[test]
    fn an_archive_of_another_make_gives_no_seal_that_fits() {
        let root = tempfile::tempdir().unwrap();
        let (folder, diff_id, extracted) = restored(root.path());
        let seal = Seal::new(&folder, &diff_id, &extracted).unwrap().unwrap();
        let longer = Extracted { outline: Some(diff_id.clone()), ..extracted.clone() };
        let longer = Seal::new(&folder, &diff_id, &longer).unwrap().unwrap();
        let tar = directory(&folder, owner()).unwrap();
        assert!(seal.measured(&tar).is_some());
        assert_eq!(longer.measured(&tar), None);
        assert_eq!(Seal::new(&folder, &diff_id, &Extracted { outline: None, ..extracted }).unwrap(), None);
    }

    #[test]
    fn seals_come_back_from_text() {
        let root = tempfile::tempdir().unwrap();
        let (folder, seal) = sealed(root.path());
        let mut seals = Seals::default();
        seals.insert(folder, seal.clone());
        assert_eq!(Seals::parse(&seals.render()), seals);
        seals.insert("/with spaces in it".into(), seal);
        assert_eq!(Seals::parse(&seals.render()), seals);
        assert_eq!(Seals::parse("sha256:x 1\n\nnothing"), Seals::default());
    }
}
