//! The folders that buildpacks left in the image.
//!
//! Clause: buildpack.md#launch. Flags in `<layer>.toml` are not asked: what is in the image is for launch.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::path_lookup::join;
use crate::os::dir::{Entry, Kind, entries};
use crate::os::error_text;

/// A folder cannot be read: the reference's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ListError(pub String);

/// Finds the folders of the given buildpacks, in their order; a buildpack without one contributes nothing to launch.
///
/// # Errors
/// The system does not say whether a folder exists.
pub fn buildpack_dirs<'a>(layers_dir: &Path, ids: impl Iterator<Item = &'a str>) -> Result<Vec<PathBuf>, ListError> {
    let mut dirs = Vec::new();
    for id in ids {
        let dir = join(layers_dir, id.replace('/', "_"));
        match std::fs::metadata(&dir) {
            Ok(_) => dirs.push(dir),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let text = error_text(&error);
                return Err(ListError(format!("find buildpack directory: stat {}: {text}", dir.display())));
            }
        }
    }
    Ok(dirs)
}

/// Lists the layers in a buildpack's folder: real folders, no links, sorted by name.
///
/// # Errors
/// The folder cannot be read.
pub fn layers(buildpack_dir: &Path) -> Result<Vec<PathBuf>, ListError> {
    let mut entries = list(buildpack_dir)?;
    entries.retain(|entry| entry.kind == Kind::Folder);
    Ok(entries.into_iter().map(|entry| buildpack_dir.join(entry.name)).collect())
}

/// Takes the files of a folder, sorted by name, and then those of its folder `below`, if the listing shows one. Links
/// are files here, wherever they lead; a missing folder has nothing.
///
/// # Errors
/// The folder cannot be read, or `take` fails.
pub fn each_file<E: From<ListError>>(
    dir: &Path,
    below: &str,
    take: &mut dyn FnMut(PathBuf) -> Result<(), E>,
) -> Result<(), E> {
    let entries = list(dir)?;
    for entry in entries.iter().filter(|entry| entry.kind != Kind::Folder) {
        take(dir.join(&entry.name))?;
    }
    if entries.iter().any(|entry| entry.name == below) { each_file(&join(dir, below), "", take) } else { Ok(()) }
}

fn list(dir: &Path) -> Result<Vec<Entry>, ListError> {
    entries(dir).map_err(|error| {
        let text = error_text(&error);
        let dir = dir.display();
        ListError(format!("failed to list files in dir '{dir}': open {dir}: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn files(dir: &Path, below: &str) -> Result<Vec<PathBuf>, ListError> {
        let mut found = Vec::new();
        each_file::<ListError>(dir, below, &mut |path| {
            found.push(path);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn finds_existing_folders_by_escaped_id_in_the_given_order() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a_b", "z", "unused"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let found = buildpack_dirs(root.path(), ["z", "missing", "a/b"].into_iter()).unwrap();
        assert_eq!(found, [root.path().join("z"), root.path().join("a_b")]);
    }

    #[test]
    fn layers_are_real_folders_and_files_are_the_rest_both_sorted_by_bytes() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "a", "B"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("b.toml"), "").unwrap();
        symlink("a", root.path().join("link")).unwrap();
        let names = |paths: Vec<PathBuf>| -> Vec<String> {
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(layers(root.path()).unwrap()), ["B", "a", "b"]);
        assert_eq!(names(files(root.path(), "").unwrap()), ["b.toml", "link"]);
        assert!(files(&root.path().join("missing"), "a").unwrap().is_empty());
    }

    #[test]
    fn the_files_of_the_folder_below_come_last() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        for name in ["z", "a/b", "a/web"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        assert_eq!(files(root.path(), "a").unwrap(), ["z", "a/b", "a/web"].map(|name| root.path().join(name)));
        assert_eq!(files(root.path(), "web").unwrap(), [root.path().join("z")]);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("exec.d");
        std::fs::write(&path, "").unwrap();
        let path = path.display();
        let wanted = format!("failed to list files in dir '{path}': open {path}: not a directory");
        assert_eq!(files(Path::new(&path.to_string()), "").unwrap_err().to_string(), wanted);
    }
}
