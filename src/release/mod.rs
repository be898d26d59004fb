//! The release: what `make package` and `make image` make of the programs that `make build` leaves.
//!
//! Catalogue 3, sections C1 and C2. No program of the release uses this: the example `package` does, and linking drops
//! it from everything else. It adds no dependency.
//!
//! The SBOMs are one model, [`Bill`], and three writers. The writers are plain serde types of this crate: a CycloneDX
//! library would bring about thirty crates for one of three documents, and Syft's has none. Libraries that share no
//! code with them judge them.

mod archive;
mod bill;
mod cargo;
mod command;
mod cyclonedx;
mod image;
mod spdx;
mod syft;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::effect::events::{Event, Events, Listener};

pub use archive::{archive_name, contents, write_archive};
pub use bill::{Bill, Component, Origin};
pub use cargo::components;
pub use command::run;
pub use cyclonedx::render as cyclonedx;
pub use image::{draft, layout_base};
pub use spdx::render as spdx;
pub use syft::render as syft;

/// Why a release could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is none.
    #[error("usage: package (archive <folder> | layout <folder> | image <folder> <name> [<layout of the base image>])")]
    Usage,
    /// A file or folder failed.
    #[error("{}: {}", path.display(), crate::os::error_text(cause))]
    File {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The folder has something that is not part of a lifecycle.
    #[error("{} does not belong into a release: {reason}", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The file beside the folder names a target that nobody builds for.
    #[error("there are no releases for '{0}'")]
    Target(String),
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH has '{0}', which is no number of seconds")]
    Epoch(String),
    /// Another program failed.
    #[error("{command}: {said}")]
    Program {
        /// Its command line.
        command: String,
        /// What it said.
        said: String,
    },
    /// Cargo's tree or the version of rustc has another form than expected.
    #[error("cargo or rustc said {0:?}")]
    Tree(String),
    /// Cargo.lock is not TOML.
    #[error("Cargo.lock cannot be read: {0}")]
    Lock(String),
    /// Cargo.lock does not have a crate.
    #[error("Cargo.lock has no checksum of {name} {version}")]
    NotLocked {
        /// The crate.
        name: String,
        /// Its version.
        version: String,
    },
    /// The archive cannot be planned.
    #[error(transparent)]
    Archive(#[from] crate::archive::Error),
    /// The image cannot be made, or its base image is not there.
    #[error("{0}")]
    Image(String),
}

/// Nobody hears of requests and layers: the program says what it has made.
fn unheard() -> Listener {
    struct Unheard;
    impl Events for Unheard {
        fn emit(&self, _: Event) {}
    }
    Listener { events: Arc::new(Unheard), parent: None }
}

/// Writes a document for people to read, too, with a newline at its end.
fn pretty<T: Serialize>(document: &T) -> String {
    // Wire types have string keys only, so this cannot fail.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

impl Error {
    /// An error of a file.
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}
