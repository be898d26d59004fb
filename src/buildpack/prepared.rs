//! The output of an extension without bin/generate: its folder `generate`, copied to where programs write theirs.
//!
//! Clause: image_extension.md#generation. The reference leaves the files where they are, so that no later phase finds
//! them at Platform API 0.13 and up, and renames them there (trap T23).

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What could not be done with which path.
pub(super) type Failed = (&'static str, PathBuf, Error);

/// Copies what is in a folder; a missing one has nothing. Links at the top are followed, so that two extensions may
/// share a Dockerfile; those within folders are copied as links. What is no file, folder or link is left out.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    match fs::metadata(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(("stat", from.to_owned(), error)),
        Ok(_) => {}
    }
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((source, target)) = folders.pop() {
        let entries = fs::read_dir(&source).map_err(|error| ("open", source.clone(), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| ("readdirent", source.clone(), error))?;
            let (path, target) = (entry.path(), target.join(entry.file_name()));
            let metadata = if source == from { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
            let metadata = metadata.map_err(|error| ("stat", path.clone(), error))?;
            if metadata.is_symlink() {
                fs::read_link(&path)
                    .and_then(|link| std::os::unix::fs::symlink(link, &target))
                    .map_err(|error| ("symlink", target.clone(), error))?;
            } else if metadata.is_dir() {
                // Whoever owns the copy must be able to fill it, and to remove it.
                let mode = Permissions::from_mode(metadata.permissions().mode() & 0o777 | 0o700);
                fs::create_dir(&target)
                    .and_then(|()| fs::set_permissions(&target, mode))
                    .map_err(|error| ("mkdir", target.clone(), error))?;
                folders.push((path, target));
            } else if metadata.is_file() {
                fs::copy(&path, &target).map_err(|error| ("open", path, error))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_folders_files_with_their_modes_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("generate"), dir.path().join("to"));
        fs::create_dir_all(from.join("context/read-only")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(dir.path().join("shared"), "FROM x").unwrap();
        std::os::unix::fs::symlink("../shared", from.join("run.Dockerfile")).unwrap();
        fs::write(from.join("context/read-only/program"), "").unwrap();
        fs::set_permissions(from.join("context/read-only/program"), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("nowhere", from.join("context/link")).unwrap();
        fs::set_permissions(from.join("context/read-only"), Permissions::from_mode(0o555)).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("run.Dockerfile")).unwrap(), "FROM x");
        assert!(!to.join("run.Dockerfile").is_symlink());
        assert_eq!(fs::read_link(to.join("context/link")).unwrap(), Path::new("nowhere"));
        let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("context/read-only"), mode("context/read-only/program")), (0o755, 0o755));
    }

    #[test]
    fn a_missing_folder_has_nothing() {
        let dir = tempfile::tempdir().unwrap();
        copy(&dir.path().join("generate"), dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
