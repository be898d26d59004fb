//! The archive of a release, and the entries that the layer of a lifecycle image has, too.
//!
//! Catalogue 3, section C1 and pack-contract, section 1: pack copies each entry with its owner, mode and link as it is,
//! so links are relative and nothing is a hard link.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::Error;
use crate::archive::{Entry, EntryKind, listed};
use crate::effect::images::TarSource as _;
use crate::image::sha256::digest;

/// The name of the archive of a version, for an architecture in Go's naming.
pub fn archive_name(version: &str, architecture: &str) -> String {
    let architecture = if architecture == "amd64" { "x86-64" } else { architecture };
    format!("lifecycle-v{version}+linux.{architecture}.tgz")
}

/// Lists what a release has: the descriptor first, then the folder with its programs, links and SBOMs, by name. Names
/// begin with `root`, which is empty or `/cnb/`.
///
/// # Errors
/// The folder cannot be read, or has what cannot be in a release.
pub fn contents(descriptor: &Path, folder: &Path, root: &str) -> Result<Vec<Entry>, Error> {
    let mut entries = vec![
        Entry { name: format!("{root}lifecycle.toml"), mode: 0o644, kind: EntryKind::File(descriptor.to_owned()) },
        Entry { name: format!("{root}lifecycle"), mode: 0o755, kind: EntryKind::Directory },
    ];
    let read = fs::read_dir(folder).map_err(Error::file(folder))?;
    let mut names = read
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::file(folder))?;
    names.sort();
    for file in names {
        let path = folder.join(&file);
        let foreign = |reason| Error::Foreign { path: path.clone(), reason };
        let name = file.to_str().ok_or_else(|| foreign("its name is no UTF-8"))?;
        let found = path.symlink_metadata().map_err(Error::file(&path))?;
        let (mode, kind) = if found.is_symlink() {
            let target = fs::read_link(&path).map_err(Error::file(&path))?;
            let target = target.to_str().filter(|target| !target.contains('/') && folder.join(target).is_file());
            // pack keeps links as they are, beside each other in another folder.
            let target = target.ok_or_else(|| foreign("a link must name a file beside it"))?;
            (0o777, EntryKind::Symlink(target.to_owned()))
        } else if found.is_file() {
            let is_program = found.permissions().mode() & 0o111 != 0;
            (if is_program { 0o755 } else { 0o644 }, EntryKind::File(path.clone()))
        } else {
            return Err(foreign("it is neither a file nor a link"));
        };
        entries.push(Entry { name: format!("{root}lifecycle/{name}"), mode, kind });
    }
    Ok(entries)
}

/// Writes the archive, and beside it the file `<archive>.sha256`, which `sha256sum -c` reads.
///
/// # Errors
/// Something cannot be read or written.
pub fn write_archive(entries: Vec<Entry>, path: &Path) -> Result<(), Error> {
    let tar = listed(entries)?;
    let file = File::create(path).map_err(Error::file(path))?;
    // No name and no time: the same files give the same bytes.
    let mut gzip: GzEncoder<_> = GzBuilder::new().write(BufWriter::new(file), Compression::best());
    let written = tar.write_tar(&mut gzip).and_then(|()| gzip.finish()).and_then(|mut file| file.flush());
    written.map_err(Error::file(path))?;
    let digest = digest(&fs::read(path).map_err(Error::file(path))?);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sum = path.with_file_name(format!("{name}.sha256"));
    fs::write(&sum, format!("{}  {name}\n", digest.hex())).map_err(Error::file(&sum))
}

/// The SHA-256 of a file, in hex.
pub(super) fn sha256(path: &Path) -> Result<String, Error> {
    let read = |path: &Path| -> io::Result<Vec<u8>> { fs::read(path) };
    read(path).map(|bytes| digest(&bytes).hex().to_owned()).map_err(Error::file(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A folder as `make build` leaves it, made in the given order.
    fn release(order: [usize; 4]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("lifecycle");
        fs::create_dir(&folder).unwrap();
        fs::write(dir.path().join("lifecycle.toml"), "descriptor").unwrap();
        for step in order {
            match step {
                0 => fs::write(folder.join("lifecycle"), "program").unwrap(),
                1 => fs::write(folder.join("launcher"), "launcher").unwrap(),
                2 => symlink("lifecycle", folder.join("analyzer")).unwrap(),
                _ => fs::write(folder.join("launcher.sbom.cdx.json"), "{}").unwrap(),
            }
        }
        for program in ["lifecycle", "launcher"] {
            let mode = if step_mode(&order) { 0o700 } else { 0o775 };
            fs::set_permissions(folder.join(program), fs::Permissions::from_mode(mode)).unwrap();
        }
        dir
    }

    /// Two ways of a umask.
    fn step_mode(order: &[usize; 4]) -> bool {
        order[0] == 0
    }

    fn entries(dir: &TempDir, root: &str) -> Vec<Entry> {
        contents(&dir.path().join("lifecycle.toml"), &dir.path().join("lifecycle"), root).unwrap()
    }

    #[test]
    fn the_descriptor_comes_first_and_modes_do_not_depend_on_the_umask() {
        let dir = release([0, 1, 2, 3]);
        let listed: Vec<String> = entries(&dir, "").iter().map(|e| format!("{:o} {}", e.mode, e.name)).collect();
        assert_eq!(
            listed,
            [
                "644 lifecycle.toml",
                "755 lifecycle",
                "777 lifecycle/analyzer",
                "755 lifecycle/launcher",
                "644 lifecycle/launcher.sbom.cdx.json",
                "755 lifecycle/lifecycle",
            ]
        );
        assert_eq!(entries(&dir, "/cnb/")[2].kind, EntryKind::Symlink("lifecycle".to_owned()));
        assert_eq!(entries(&dir, "/cnb/")[5].name, "/cnb/lifecycle/lifecycle");
    }

    #[test]
    fn the_same_files_give_the_same_archive_wherever_they_are() {
        let (one, two) = (release([0, 1, 2, 3]), release([3, 2, 1, 0]));
        let archive = |dir: &TempDir| {
            let path = dir.path().join(archive_name("0.22.0", "amd64"));
            write_archive(entries(dir, ""), &path).unwrap();
            let sum = fs::read_to_string(dir.path().join("lifecycle-v0.22.0+linux.x86-64.tgz.sha256")).unwrap();
            let bytes = fs::read(path).unwrap();
            assert_eq!(sum, format!("{}  lifecycle-v0.22.0+linux.x86-64.tgz\n", digest(&bytes).hex()));
            bytes
        };
        assert_eq!(archive(&one), archive(&two));
    }

    #[test]
    fn what_pack_would_break_is_refused() {
        for (target, ok) in
            [("lifecycle", true), ("/bin/sh", false), ("../lifecycle/lifecycle", false), ("gone", false)]
        {
            let dir = release([0, 1, 2, 3]);
            symlink(target, dir.path().join("lifecycle/x")).unwrap();
            let result = contents(&dir.path().join("lifecycle.toml"), &dir.path().join("lifecycle"), "");
            assert_eq!(result.is_ok(), ok, "{target}");
        }
        let dir = release([0, 1, 2, 3]);
        fs::create_dir(dir.path().join("lifecycle/folder")).unwrap();
        let error = contents(&dir.path().join("lifecycle.toml"), &dir.path().join("lifecycle"), "").unwrap_err();
        assert!(error.to_string().ends_with("does not belong into a release: it is neither a file nor a link"));
    }

    #[test]
    fn archives_are_named_as_the_references_are() {
        assert_eq!(archive_name("1.2.3", "arm64"), "lifecycle-v1.2.3+linux.arm64.tgz");
    }
}
