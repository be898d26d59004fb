//! The folders that buildpacks left in the image.
//!
//! Clause: buildpack.md#launch. Flags in `<layer>.toml` are not asked: what is in the image is for launch.

use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::path_lookup::join;
use crate::os::dir::{Entry, Folder, Kind};
use crate::os::error_text;

/// The layers of one buildpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildpackLayers {
    /// The buildpack's folder.
    pub dir: PathBuf,
    /// The names of its layers, sorted.
    pub names: Vec<OsString>,
}

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
pub fn layers(buildpack: &Folder) -> Result<Vec<OsString>, ListError> {
    let mut entries = list(buildpack)?;
    entries.retain(|entry| entry.kind == Kind::Folder);
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// Opens the folder of a buildpack; `None` if it is missing.
///
/// # Errors
/// It cannot be opened.
pub fn open(dir: &Path) -> Result<Option<Folder>, ListError> {
    Folder::open(dir.to_owned()).map_err(|error| unlisted(dir, &error))
}

/// Takes the files of the folder `name` of every layer of every buildpack, sorted by name, each layer's followed by
/// those in the folder `below` of that folder. Links are files here, wherever they lead; a missing folder has nothing.
///
/// # Errors
/// A folder cannot be read, or `take` fails.
pub fn each_file<E: From<ListError>>(
    buildpacks: &[BuildpackLayers],
    name: &str,
    below: &str,
    take: &mut dyn FnMut(PathBuf) -> Result<(), E>,
) -> Result<(), E> {
    for BuildpackLayers { dir, names } in buildpacks {
        let Some(buildpack) = open(dir)? else { continue };
        for layer in names {
            let path = Path::new(layer).join(name);
            // Most layers have no such folder, and to ask for it costs half of trying to open it.
            if let Ok(false) = buildpack.has(&path) {
                continue;
            }
            files(&buildpack, &path, below, take)?;
        }
    }
    Ok(())
}

fn files<E: From<ListError>>(
    parent: &Folder,
    path: &Path,
    below: &str,
    take: &mut dyn FnMut(PathBuf) -> Result<(), E>,
) -> Result<(), E> {
    let opened = parent.open_below(path).map_err(|error| unlisted(&parent.path().join(path), &error))?;
    let Some(folder) = opened else { return Ok(()) };
    let entries = list(&folder)?;
    for entry in entries.iter().filter(|entry| entry.kind != Kind::Folder) {
        take(folder.path().join(&entry.name))?;
    }
    if entries.iter().any(|entry| entry.name == below) { files(&folder, Path::new(below), "", take) } else { Ok(()) }
}

fn list(folder: &Folder) -> Result<Vec<Entry>, ListError> {
    folder.entries().map_err(|error| unlisted(folder.path(), &error))
}

fn unlisted(dir: &Path, error: &Error) -> ListError {
    let text = error_text(error);
    let dir = dir.display();
    ListError(format!("failed to list files in dir '{dir}': open {dir}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// The files of the folder `name` in the layers of a buildpack, by their paths in its folder.
    fn files(dir: &Path, name: &str, below: &str) -> Result<Vec<PathBuf>, ListError> {
        let names = layers(&open(dir)?.unwrap())?;
        let mut found = Vec::new();
        let buildpacks = [BuildpackLayers { dir: dir.to_owned(), names }];
        each_file::<ListError>(&buildpacks, name, below, &mut |path| {
            found.push(path.strip_prefix(dir).unwrap().to_owned());
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
        for name in ["b", "a", "B", "a/exec.d", "a/exec.d/dir"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        for name in ["b.toml", "a/exec.d/c", "a/exec.d/C"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        symlink("a", root.path().join("link")).unwrap();
        symlink("dir", root.path().join("a/exec.d/link")).unwrap();
        assert_eq!(layers(&open(root.path()).unwrap().unwrap()).unwrap(), ["B", "a", "b"]);
        let wanted = ["C", "c", "link"].map(|name| PathBuf::from("a/exec.d").join(name));
        assert_eq!(files(root.path(), "exec.d", "").unwrap(), wanted);
        assert!(files(root.path(), "missing", "a").unwrap().is_empty());
    }

    #[test]
    fn the_files_of_the_folder_below_come_last_in_each_layer() {
        let root = tempfile::tempdir().unwrap();
        for name in ["1/p/z", "1/p/a/b", "1/p/a/web", "2/p/a/c", "2/p/y"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            files(root.path(), "p", "a").unwrap(),
            paths(&["1/p/z", "1/p/a/b", "1/p/a/web", "2/p/y", "2/p/a/c"])
        );
        assert_eq!(files(root.path(), "p", "web").unwrap(), paths(&["1/p/z", "2/p/y"]));
    }

    #[test]
    fn what_is_no_folder_in_its_place_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/exec.d");
        let shown = path.display();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(&path, "").unwrap();
        let wanted = format!("failed to list files in dir '{shown}': open {shown}: not a directory");
        assert_eq!(files(root.path(), "exec.d", "").unwrap_err().to_string(), wanted);
        std::fs::remove_file(&path).unwrap();
        symlink("exec.d", &path).unwrap();
        let wanted = format!("failed to list files in dir '{shown}': open {shown}: too many levels of symbolic links");
        assert_eq!(files(root.path(), "exec.d", "").unwrap_err().to_string(), wanted);
    }
}
