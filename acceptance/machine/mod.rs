//! What a builder takes of this machine: a user who may build, a toolchain that he can read, a run image.
//!
//! `make demo` and the acceptance tests both start from here.

pub(crate) mod run_image;
pub(crate) mod user;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The sample buildpacks below `acceptance/buildpacks`, with their versions.
const BUILDPACKS: [(&str, &str); 6] = [
    ("rust", "1.0.0"),
    ("greeting", "0.2.0"),
    ("traced", "0.1.0"),
    ("python-otel", "0.1.0"),
    ("fails", "0.1.0"),
    ("rust-web", "1.0.0"),
];

/// What cannot be done without, in one line for the reader.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) String);

impl Trouble {
    /// Says what is missing.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Says what could not be done with a path.
    pub(crate) fn with(what: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("cannot {what} {}: {error}", path.display()))
    }
}

/// Lays out the sample buildpacks of the checkout `sources` as a builder image does:
/// `<buildpacks>/<id with _ for />/<version>`.
pub(crate) fn install_buildpacks(sources: &Path, buildpacks: &Path) -> Result<(), Trouble> {
    BUILDPACKS.iter().try_for_each(|(name, version)| {
        let target = buildpacks.join(format!("samples_{name}")).join(version);
        copy_folder(&sources.join("acceptance/buildpacks").join(name), &target)
    })
}

/// Copies a folder with its modes and links, without what cargo built there.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), Trouble> {
    let failed = |path: &Path, error: io::Error| Trouble::with("copy", path, &error);
    fs::create_dir_all(to).map_err(|error| failed(to, error))?;
    let entries = fs::read_dir(from).map_err(|error| failed(from, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(from, error))?;
        let (source, target): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if let Ok(link) = fs::read_link(&source) {
            std::os::unix::fs::symlink(link, &target).map_err(|error| failed(&source, error))?;
        } else if source.is_dir() {
            if entry.file_name() != "target" {
                copy_folder(&source, &target)?;
            }
        } else {
            fs::copy(&source, &target).map_err(|error| failed(&source, error))?;
        }
    }
    Ok(())
}
