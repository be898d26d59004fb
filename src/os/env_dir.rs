//! Reading a folder of environment files.
//!
//! Clauses: buildpack.md#provided-by-the-platform, buildpack.md#environment-variable-modification-rules.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::dir::{Entry, Kind, entries};
use super::error_text;
use crate::model::env::EnvFile;

/// A file of an environment folder that cannot be read: the text names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvDirError(pub String);

/// Reads every file of a folder, sorted by name; a missing folder has none. Folders, and links to folders, are skipped;
/// a link that leads nowhere is an error.
///
/// # Errors
/// The folder or one of its files cannot be read.
pub fn read(dir: &Path) -> Result<Vec<EnvFile>, EnvDirError> {
    read_entries(dir, &list(dir)?)
}

/// Lists a folder: what [`read_entries`] reads.
///
/// # Errors
/// The folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Entry>, EnvDirError> {
    entries(dir).map_err(|error| failed("open", dir, &error))
}

/// Reads the files among the entries of a folder.
///
/// # Errors
/// One of them cannot be read, or is a link that leads nowhere.
pub fn read_entries(dir: &Path, entries: &[Entry]) -> Result<Vec<EnvFile>, EnvDirError> {
    let mut files = Vec::new();
    for entry in entries {
        let path = dir.join(&entry.name);
        let is_folder = match entry.kind {
            Kind::Folder => true,
            Kind::Link => std::fs::metadata(&path).map_err(|error| failed("stat", &path, &error))?.is_dir(),
            Kind::File => false,
        };
        if !is_folder {
            let value = std::fs::read(&path).map_err(|error| failed("open", &path, &error))?;
            if value.contains(&0) {
                return Err(EnvDirError(format!("{}: no variable can hold a NUL byte", path.display())));
            }
            files.push(EnvFile { name: entry.name.clone(), value: OsString::from_vec(value) });
        }
    }
    Ok(files)
}

/// The error of an operation on a path.
fn failed(verb: &str, path: &Path, error: &std::io::Error) -> EnvDirError {
    EnvDirError(format!("{verb} {}: {}", path.display(), error_text(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_no_variable_can_hold_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("TOKEN");
        std::fs::write(&path, b"a\0b").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert_eq!(error.0, format!("{}: no variable can hold a NUL byte", path.display()));
        std::fs::write(&path, [0xff, b'\n']).unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 1);
    }

    #[cfg(feature = "images")]
    mod fuzz {
        use proptest::collection::{btree_map, vec};
        use proptest::prelude::*;

        use super::*;
        use crate::fuzz::property;
        use crate::model::env::{Environment, NoSuffix};

        /// Whatever is in a folder: names with every suffix, bytes that are no text, NUL bytes, links.
        #[test]
        fn folders_of_variables() {
            let name = prop_oneof![
                "[A-C]{1,2}(\\.(append|prepend|override|default|delim|x|append\\.x|))?",
                vec(any::<u8>(), 1..8).prop_filter_map("no file name", |bytes| {
                    let is_name = !bytes.iter().any(|byte| matches!(byte, b'/' | 0)) && !bytes.starts_with(b".");
                    String::from_utf8(bytes).ok().filter(|_| is_name)
                }),
            ];
            let files = btree_map(name, vec(any::<u8>(), 0..6), 0..8);
            property(100, &files, |files| {
                let dir = tempfile::tempdir().unwrap();
                for (name, value) in &files {
                    std::fs::write(dir.path().join(name), value).unwrap();
                }
                match read(dir.path()) {
                    Ok(found) => {
                        prop_assert_eq!(found.len(), files.len());
                        for no_suffix in [NoSuffix::Override, NoSuffix::Default] {
                            let mut env = Environment::default();
                            env.set("A", "there");
                            env.apply(&found, no_suffix);
                            env.apply(&found, no_suffix);
                            let no_dot = |name: &std::ffi::OsStr| !name.as_encoded_bytes().contains(&b'.');
                            prop_assert!(env.iter().all(|(name, _)| no_dot(name)));
                        }
                    }
                    Err(_) => prop_assert!(files.values().any(|value| value.contains(&0))),
                }
                Ok(())
            });
        }
    }
}
