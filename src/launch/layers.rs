//! The folders that buildpacks left in the image.
//!
//! Clause: buildpack.md#launch. Flags in `<layer>.toml` are not asked: what is in the image is for launch.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::path_lookup::join;
use crate::os::dir::{Kind, entries};
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
    list(buildpack_dir, |kind| kind == Kind::Folder)
}

/// Lists everything in a folder that is no folder, links included, sorted by name; a missing folder has nothing.
///
/// # Errors
/// The folder cannot be read.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>, ListError> {
    list(dir, |kind| kind != Kind::Folder)
}

/// Lists the files of `<layer>/<folder>`; `then` those of `<layer>/<folder>/<type>` for a process that has a type.
pub(super) fn each_file<E: From<ListError>>(
    layer: &Path,
    folder: &str,
    process_type: &str,
    mut then: impl FnMut(PathBuf) -> Result<(), E>,
) -> Result<(), E> {
    let dir = join(layer, folder);
    files(&dir)?.into_iter().try_for_each(&mut then)?;
    if process_type.is_empty() {
        return Ok(());
    }
    files(&join(&dir, process_type))?.into_iter().try_for_each(&mut then)
}

fn list(dir: &Path, wanted: fn(Kind) -> bool) -> Result<Vec<PathBuf>, ListError> {
    let mut entries = entries(dir).map_err(|error| {
        let text = error_text(&error);
        let dir = dir.display();
        ListError(format!("failed to list files in dir '{dir}': open {dir}: {text}"))
    })?;
    entries.retain(|entry| wanted(entry.kind));
    Ok(entries.into_iter().map(|entry| dir.join(entry.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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
        assert_eq!(names(files(root.path()).unwrap()), ["b.toml", "link"]);
        assert!(files(&root.path().join("missing")).unwrap().is_empty());
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("exec.d");
        std::fs::write(&path, "").unwrap();
        let path = path.display();
        let wanted = format!("failed to list files in dir '{path}': open {path}: not a directory");
        assert_eq!(files(Path::new(&path.to_string())).unwrap_err().to_string(), wanted);
    }
}
