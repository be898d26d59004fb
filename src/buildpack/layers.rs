//! What a buildpack has in its folder `<layers>/<buildpack>`: which names are layers, and what their files say.
//!
//! There are two readings. [`list`] is the one of restorer and exporter: a folder is a layer, and a toml without a
//! folder is one, too. [`declared`] is the one of the builder, right after bin/build: a toml is a layer, and a folder
//! without one is none.
//!
//! Clauses: buildpack.md#layer-types, buildpack.md#layer-content-metadata-toml; catalogue 1, section 5.5; catalogue 2,
//! section 2.2.

use std::ffi::OsString;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use crate::model::id::LayerName;
use crate::model::layer::LayerMetadata;
use crate::os::error_text;
use crate::schema;
use crate::schema::layer::LayerError;

/// Files of a buildpack that describe no layer of their name to restorer and exporter.
const NO_LAYERS: &[&str] = &["store", "launch", "build"];

/// A layer as restorer and exporter see it.
#[derive(Debug)]
pub struct Layer {
    /// Its name.
    pub name: LayerName,
    /// There is something at `<layers>/<buildpack>/<name>`, be it an unreadable folder.
    pub has_contents: bool,
    /// What `<name>.toml` says; a missing file says nothing.
    pub metadata: Result<LayerMetadata, LayerFileError>,
}

/// A file or folder of a buildpack's layers that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayerFileError {
    /// It cannot be read.
    #[error("{action} {}: {}", path.display(), error_text(source))]
    Io {
        /// What was tried, as a system call's name.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: IoError,
    },
    /// It is no layer file.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Why.
        source: schema::Error,
    },
    /// `launch`, `build` or `cache` stand at the top level of it.
    #[error("{} of {}", LayerError::TopLevelTypes, .0.display())]
    TopLevelTypes(PathBuf),
    /// The name is no UTF-8, so no document can have it.
    #[error("{} has a name that is not UTF-8", .0.display())]
    Name(PathBuf),
}

/// Lists the layers of a buildpack's folder in byte order of their names; a missing folder has none.
///
/// # Errors
/// The folder cannot be read, or a layer's name is not UTF-8. A bad toml is not an error here: see
/// [`Layer::metadata`].
pub fn list(dir: &Path) -> Result<Vec<Layer>, LayerFileError> {
    let mut names = Vec::new();
    for (file_name, is_dir) in entries(dir)? {
        let name = text(dir, &file_name)?;
        let name = match name.strip_suffix(".toml") {
            _ if is_dir => name,
            Some(stem) if !NO_LAYERS.contains(&stem) => stem,
            _ => continue,
        };
        names.extend(LayerName::parse(name));
    }
    names.sort();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| Layer {
            has_contents: has_contents(&dir.join(name.as_str())),
            metadata: read(&toml_path(dir, &name)),
            name,
        })
        .collect())
}

/// Reads every `<name>.toml` of a buildpack's folder, launch.toml, build.toml and store.toml among them, in byte order
/// of the files' names with their suffix: so `a-b` comes before `a`. A missing folder has none.
///
/// # Errors
/// The folder cannot be read, or a file is no layer file; the first one is named.
pub fn declared(dir: &Path) -> Result<Vec<(LayerName, LayerMetadata)>, LayerFileError> {
    let mut layers = Vec::new();
    for (file_name, is_dir) in entries(dir)? {
        if is_dir || !file_name.as_encoded_bytes().ends_with(b".toml") {
            continue;
        }
        let stem = text(dir, &file_name)?.strip_suffix(".toml").unwrap_or_default();
        // What is left of `.toml` and `...toml` names the folder itself or the one above it: no layer.
        if let Ok(name) = LayerName::parse(stem) {
            let metadata = read(&dir.join(&file_name))?;
            layers.push((name, metadata));
        }
    }
    Ok(layers)
}

/// Removes a layer with its files; what is not there is fine. A link is removed, never what it leads to.
///
/// # Errors
/// Something cannot be removed, or `dir` itself is a link, which may lead out of the layers folder.
pub fn remove(dir: &Path, name: &LayerName) -> Result<(), LayerFileError> {
    refuse_link(dir)?;
    let layer = dir.join(name.as_str());
    remove_tree(&layer)?;
    remove_file(&dir.join(format!("{name}.sha")))?;
    remove_file(&toml_path(dir, name))
}

/// Refuses a buildpack's folder that is a link: what is written or removed below it would be elsewhere.
///
/// # Errors
/// It is a link, or cannot be looked at. A missing folder is fine.
pub fn refuse_link(dir: &Path) -> Result<(), LayerFileError> {
    match std::fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_symlink() => Err(io(
            "open",
            dir,
            IoError::new(ErrorKind::NotADirectory, "a symbolic link leads out of the layers folder"),
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("lstat", dir, error)),
    }
}

/// Removes a folder with all that is in it, or a file, or a link; what is not there is fine.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), LayerFileError> {
    // std's function follows no link, whoever changes the folder meanwhile.
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => remove_file(path),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("unlinkat", path, error)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), LayerFileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path, error)),
        _ => Ok(()),
    }
}

/// The entries of a folder in byte order of their names, and whether each is a folder itself.
fn entries(dir: &Path) -> Result<Vec<(OsString, bool)>, LayerFileError> {
    let reading = match std::fs::read_dir(dir) {
        Ok(reading) => reading,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("open", dir, error)),
    };
    let mut entries = Vec::new();
    for entry in reading {
        let entry = entry.map_err(|error| io("readdirent", dir, error))?;
        let kind = entry.file_type().map_err(|error| io("lstat", &entry.path(), error))?;
        entries.push((entry.file_name(), kind.is_dir()));
    }
    entries.sort();
    Ok(entries)
}

/// Says whether anything is there. Only "no such file" means no: a folder that may not be read has contents.
fn has_contents(path: &Path) -> bool {
    !matches!(std::fs::metadata(path), Err(error) if error.kind() == ErrorKind::NotFound)
}

fn read(path: &Path) -> Result<LayerMetadata, LayerFileError> {
    let file = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => std::fs::read_to_string(path),
        // Reading a pipe would wait for ever.
        Ok(_) => Err(IoError::other("not a regular file")),
        Err(error) => Err(error),
    };
    let text = match file {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LayerMetadata::default()),
        Err(error) => return Err(io("open", path, error)),
    };
    schema::layer::parse(&text).map_err(|error| match error {
        LayerError::Syntax(source) => LayerFileError::Syntax { path: path.to_owned(), source },
        LayerError::TopLevelTypes => LayerFileError::TopLevelTypes(path.to_owned()),
    })
}

fn toml_path(dir: &Path, name: &LayerName) -> PathBuf {
    dir.join(format!("{name}.toml"))
}

fn text<'a>(dir: &Path, name: &'a OsString) -> Result<&'a str, LayerFileError> {
    name.to_str().ok_or_else(|| LayerFileError::Name(dir.join(name)))
}

fn io(action: &'static str, path: &Path, source: IoError) -> LayerFileError {
    LayerFileError::Io { action, path: path.to_owned(), source }
}
