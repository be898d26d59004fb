//! What a buildpack has in its folder `<layers>/<buildpack>`: which names are layers, and what their files say.
//!
//! There are two readings. [`list`] and [`to_export`] are those of restorer and exporter: a folder is a layer, and a toml without a
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
use crate::os::{document, error_text};
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

/// Lists the layers of a buildpack's folder in byte order of their names; a missing folder has none. A name that is not
/// UTF-8 is no layer's: neither cache nor image can know of it.
///
/// # Errors
/// The folder cannot be read. A bad toml is not an error here: see [`Layer::metadata`].
pub fn list(dir: &Path) -> Result<Vec<Layer>, LayerFileError> {
    Ok(listed(dir, &entries(dir)?))
}

/// Lists the layers as [`list`] does, for an export: none may be left out without a word.
///
/// # Errors
/// The folder cannot be read, or the toml of a layer has a name that is not UTF-8. A folder of such a name without a
/// toml has no purpose, so it is no layer of the image in any case.
pub fn to_export(dir: &Path) -> Result<Vec<Layer>, LayerFileError> {
    let entries = entries(dir)?;
    for (file_name, is_dir) in &entries {
        if !is_dir && is_toml(file_name) {
            text(dir, file_name)?;
        }
    }
    Ok(listed(dir, &entries))
}

fn listed(dir: &Path, entries: &[(OsString, bool)]) -> Vec<Layer> {
    let mut names = Vec::new();
    for (file_name, is_dir) in entries {
        let Some(name) = file_name.to_str() else { continue };
        let name = match name.strip_suffix(".toml") {
            _ if *is_dir => name,
            Some(stem) if !NO_LAYERS.contains(&stem) => stem,
            _ => continue,
        };
        names.extend(LayerName::parse(name));
    }
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| Layer {
            has_contents: has_contents(&dir.join(name.as_str())),
            metadata: read(&toml_path(dir, &name)),
            name,
        })
        .collect()
}

/// Reads every `<name>.toml` of a buildpack's folder, launch.toml, build.toml and store.toml among them, in byte order
/// of the files' names with their suffix: so `a-b` comes before `a`. A missing folder has none.
///
/// # Errors
/// The folder cannot be read, or a file is no layer file; the first one is named.
pub fn declared(dir: &Path) -> Result<Vec<(LayerName, LayerMetadata)>, LayerFileError> {
    let mut layers = Vec::new();
    for (file_name, is_dir) in entries(dir)? {
        if is_dir || !is_toml(&file_name) {
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
    let Some(text) = document::read_file(path).map_err(|error| io("open", path, error))? else {
        return Ok(LayerMetadata::default());
    };
    schema::layer::parse(&text).map_err(|error| match error {
        LayerError::Syntax(source) => LayerFileError::Syntax { path: path.to_owned(), source },
        LayerError::TopLevelTypes => LayerFileError::TopLevelTypes(path.to_owned()),
    })
}

fn is_toml(file_name: &OsString) -> bool {
    file_name.as_encoded_bytes().ends_with(b".toml")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layer::LayerTypes;
    use std::os::unix::fs::symlink;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new(files: &[(&str, &str)], dirs: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in dirs {
                std::fs::create_dir(dir.path().join(name)).unwrap();
            }
            for (name, text) in files {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            Self(dir)
        }

        fn path(&self) -> &Path {
            self.0.path()
        }
    }

    #[test]
    fn a_folder_is_a_layer_and_so_is_a_toml_without_one() {
        let dir = Dir::new(
            &[
                ("b.toml", "[types]\nlaunch = true"),
                ("launch.toml", "a = 1"),
                ("store.toml", ""),
                ("build.toml", ""),
                ("file", ""),
            ],
            &["c", "launch", "a"],
        );
        symlink("c", dir.path().join("link")).unwrap();
        let found = list(dir.path()).unwrap();
        let seen: Vec<_> = found.iter().map(|layer| (layer.name.as_str(), layer.has_contents)).collect();
        assert_eq!(seen, [("a", true), ("b", false), ("c", true), ("launch", true)]);
        assert!(found[1].metadata.as_ref().unwrap().types.launch);
        assert_eq!(*found[0].metadata.as_ref().unwrap(), LayerMetadata::default());
    }

    #[test]
    fn a_bad_toml_is_told_with_its_layer() {
        let dir = Dir::new(&[("a.toml", "cache = true"), ("b.toml", "[types]\ncache = 1"), ("c.toml", "")], &[]);
        let found = list(dir.path()).unwrap();
        let errors: Vec<_> =
            found.iter().map(|layer| layer.metadata.as_ref().map_err(ToString::to_string).err()).collect();
        let path = dir.path().display();
        assert_eq!(
            errors[0].as_deref(),
            Some(format!("the launch, cache and build flags should be in the types table of {path}/a.toml").as_str())
        );
        assert!(errors[1].as_ref().unwrap().starts_with(&format!("{path}/b.toml: toml: ")), "{errors:?}");
        assert_eq!(errors[2], None);
    }

    #[test]
    fn after_a_build_every_toml_counts_in_the_order_of_file_names() {
        let dir = Dir::new(
            &[
                ("a.toml", "[types]\nbuild = true"),
                ("a-b.toml", ""),
                ("a.dot.toml", ""),
                ("store.toml", ""),
                ("x.toml.toml", ""),
                (".toml", ""),
            ],
            &["folder", "d.toml"],
        );
        let found = declared(dir.path()).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a-b", "a.dot", "a", "store", "x.toml"]);
        assert_eq!(found[2].1.types, LayerTypes { build: true, ..LayerTypes::default() });
    }

    #[test]
    fn a_layer_whose_name_no_document_could_have_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = Dir::new(&[("a.toml", "")], &[]);
        let path = |name: &[u8]| dir.path().join(std::ffi::OsStr::from_bytes(name));
        // A folder alone has no purpose that anybody could note.
        std::fs::create_dir(path(b"a\xff")).unwrap();
        assert_eq!((declared(dir.path()).unwrap().len(), to_export(dir.path()).unwrap().len()), (1, 1));
        let toml = path(b"a\xff.toml");
        std::fs::write(&toml, "").unwrap();
        assert!(matches!(declared(dir.path()), Err(LayerFileError::Name(named)) if named == toml));
        assert!(matches!(to_export(dir.path()), Err(LayerFileError::Name(named)) if named == toml));
        // What an earlier build left keeps nobody from restoring the layers that a cache can have.
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_missing_folder_has_no_layers() {
        let missing = Path::new("/no/such/folder");
        assert!(list(missing).unwrap().is_empty() && declared(missing).unwrap().is_empty());
    }

    #[test]
    fn a_pipe_in_the_place_of_a_toml_is_not_waited_for() {
        let dir = Dir::new(&[], &[]);
        nix::unistd::mkfifo(&dir.path().join("p.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = declared(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("p.toml: not a regular file"), "{error}");
    }

    #[test]
    fn removes_a_layer_but_not_what_its_links_lead_to() {
        let elsewhere = Dir::new(&[("kept", "")], &[]);
        let dir = Dir::new(&[("l.toml", ""), ("l.sha", ""), ("other.toml", "")], &["l"]);
        symlink(elsewhere.path(), dir.path().join("l/inside")).unwrap();
        symlink(elsewhere.path(), dir.path().join("link")).unwrap();
        remove(dir.path(), &LayerName::parse("l").unwrap()).unwrap();
        remove(dir.path(), &LayerName::parse("link").unwrap()).unwrap();
        remove(dir.path(), &LayerName::parse("missing").unwrap()).unwrap();
        let left: Vec<_> = entries(dir.path()).unwrap();
        assert_eq!(left, [("other.toml".into(), false)]);
        assert!(elsewhere.path().join("kept").exists());
    }

    #[test]
    fn a_buildpacks_folder_that_is_a_link_is_refused() {
        let elsewhere = Dir::new(&[], &["l"]);
        let dir = Dir::new(&[], &[]);
        symlink(elsewhere.path(), dir.path().join("bp")).unwrap();
        let error = remove(&dir.path().join("bp"), &LayerName::parse("l").unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("bp: a symbolic link leads out of the layers folder"), "{error}");
        assert!(elsewhere.path().join("l").exists());
    }
}
