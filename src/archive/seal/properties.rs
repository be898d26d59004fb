//! Whatever is done to a restored layer, its seal gives what a walk with hashing gives, or nothing.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::{owner, restore};
use super::*;
use crate::archive::{directory, measure};
use crate::fuzz::property;

/// A layer: its files, each in one of three folders, with their sizes.
#[derive(Clone, Debug)]
struct Files(Vec<(u8, usize)>);

/// Something that a buildpack may do to a layer. What is not possible is not done.
#[derive(Clone, Copy, Debug)]
enum Change {
    Touch,
    /// Other contents of the same size.
    Rewrite,
    /// The same with the old time put back.
    RewriteInSecret,
    /// The same contents again.
    RewriteAlike,
    Append,
    Truncate,
    Mode(u32),
    ModeAndBack,
    ModeOfFolder(u32),
    Owner,
    Rename,
    RenameAndBack,
    /// Two files take each other's names.
    Swap,
    HardLink,
    HardLinkElsewhere,
    Remove,
    /// Another file with the same contents, mode and time.
    Replace,
    ReplaceByLink,
    Retarget,
    NewFile,
    NewFolder,
    RemoveFolder,
    Attribute,
}

fn change() -> impl Strategy<Value = Change> {
    let mode = prop::sample::select(vec![0o644, 0o600, 0o755, 0o4755, 0o1777]);
    prop_oneof![
        prop::sample::select(vec![
            Change::Touch,
            Change::Rewrite,
            Change::RewriteInSecret,
            Change::RewriteAlike,
            Change::Append,
            Change::Truncate,
            Change::ModeAndBack,
            Change::Owner,
            Change::Rename,
            Change::RenameAndBack,
            Change::Swap,
            Change::HardLink,
            Change::HardLinkElsewhere,
            Change::Remove,
            Change::Replace,
            Change::ReplaceByLink,
            Change::Retarget,
            Change::NewFile,
            Change::NewFolder,
            Change::RemoveFolder,
            Change::Attribute,
        ]),
        mode.clone().prop_map(Change::Mode),
        mode.prop_map(|mode| Change::ModeOfFolder(mode | 0o700)),
    ]
}

impl Files {
    fn make(&self, folder: &Path) {
        for sub in ["a", "a/b", "c"] {
            fs::create_dir_all(folder.join(sub)).unwrap();
        }
        for (index, (sub, size)) in self.0.iter().enumerate() {
            let folder = folder.join(["", "a", "a/b"][usize::from(*sub) % 3]);
            fs::write(folder.join(format!("f{index}")), vec![b'x'; *size]).unwrap();
        }
        symlink("a/b", folder.join("link")).unwrap();
    }
}

/// The regular files of a layer, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
    found
}

fn rewrite(file: &Path, byte: u8) -> std::io::Result<()> {
    let size = usize::try_from(fs::metadata(file)?.len()).unwrap();
    File::options().write(true).open(file)?.write_all(&vec![byte; size])
}

fn apply(change: Change, layer: &Path, which: Index) -> std::io::Result<()> {
    let all = files(layer);
    let beside = layer.parent().unwrap().join("beside");
    match change {
        Change::NewFile => return fs::write(layer.join("c/new"), ""),
        Change::NewFolder => return fs::create_dir(layer.join("c/folder")),
        Change::RemoveFolder => return fs::remove_dir(layer.join("c")),
        Change::ModeOfFolder(mode) => return fs::set_permissions(layer.join("a"), Permissions::from_mode(mode)),
        Change::Retarget => {
            fs::remove_file(layer.join("link"))?;
            return symlink("a/c", layer.join("link"));
        }
        _ if all.is_empty() => return Ok(()),
        _ => {}
    }
    let at = which.get(&all);
    let other = which.get(&all[..1]);
    let found = fs::metadata(at)?;
    let times = FileTimes::new().set_modified(found.modified()?);
    match change {
        Change::Touch => File::options().write(true).open(at)?.set_modified(found.accessed()?),
        Change::Rewrite => rewrite(at, b'y'),
        Change::RewriteAlike => rewrite(at, b'x'),
        Change::RewriteInSecret => {
            rewrite(at, b'z')?;
            File::options().write(true).open(at)?.set_times(times)
        }
        Change::Append => File::options().append(true).open(at)?.write_all(b"more"),
        Change::Truncate => File::options().write(true).open(at)?.set_len(found.len() / 2),
        Change::Mode(mode) => fs::set_permissions(at, Permissions::from_mode(mode)),
        Change::ModeAndBack => {
            fs::set_permissions(at, Permissions::from_mode(0o777))?;
            fs::set_permissions(at, found.permissions())
        }
        // Only root may.
        Change::Owner => chown(at, Some(12345), Some(12345)).or(Ok(())),
        Change::Rename => fs::rename(at, at.with_extension("renamed")),
        Change::RenameAndBack => {
            fs::rename(at, &beside)?;
            fs::rename(&beside, at)
        }
        Change::Swap => {
            fs::rename(at, &beside)?;
            if at != other {
                fs::rename(other, at)?;
            }
            fs::rename(&beside, other)
        }
        Change::HardLink => fs::hard_link(at, at.with_extension("hard")),
        Change::HardLinkElsewhere => {
            let _ = fs::remove_file(&beside);
            fs::hard_link(at, &beside)?;
            rewrite(&beside, b'w')
        }
        Change::Remove => fs::remove_file(at),
        Change::Replace => {
            fs::copy(at, &beside)?;
            File::options().write(true).open(&beside)?.set_times(times)?;
            fs::rename(&beside, at)
        }
        Change::ReplaceByLink => {
            fs::rename(at, &beside)?;
            symlink(&beside, at)
        }
        // Not every file system has them.
        Change::Attribute => {
            let _ = rustix::fs::setxattr(at, "user.x", b"y", rustix::fs::XattrFlags::empty());
            Ok(())
        }
        _ => Ok(()),
    }
}

#[test]
fn whatever_changes_a_seal_gives_what_hashing_gives_or_nothing() {
    let layers = vec((0_u8..3, 0_usize..3000), 0..6).prop_map(Files);
    let changes = vec((change(), any::<Index>()), 0..4);
    property(96, &(layers, changes), |(made, changes)| {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("layer");
        made.make(&folder);
        let (diff_id, extracted) = restore(&folder);
        let seal = Seal::new(&folder, &diff_id, &extracted).unwrap().unwrap();

        for (change, which) in &changes {
            // What cannot be done twice, or not after the others, is not done.
            let _ = apply(*change, &folder, *which);
        }
        let tar = directory(&folder, owner()).unwrap();
        let hashed = measure(&tar).unwrap();
        let sealed = seal.measured(&tar);
        prop_assert!(sealed.is_none() || sealed.as_ref() == Some(&hashed), "{sealed:?} is not {hashed:?}");
        prop_assert!(sealed.is_some() || !changes.is_empty(), "an untouched layer is not known again");
        Ok(())
    });
}
