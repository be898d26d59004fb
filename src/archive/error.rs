//! What goes wrong with archives, in the reference's words where it has any.

use std::io;
use std::path::{Path, PathBuf};

use super::read::Malformed;
use crate::model::digest::DiffId;
use crate::os::error_text;

/// Why an archive could not be planned, written or extracted.
///
/// It travels through [`io::Error`] where a trait asks for one; the text stays the same.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something. Prints `open <path>: permission denied`.
    #[error("{operation} {}: {}", path.display(), error_text(cause))]
    System {
        /// The name of the call, as the reference prints it: `open`, `stat`, `lstat`, `readlink`, `read`.
        operation: &'static str,
        /// What it was called on.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file was written to, or replaced, after its layer was planned (policy B19).
    #[error(
        "{} changed while it was archived; make sure that nothing writes to it any more when the build ends",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Whoever takes the archive failed; its error is handed back as it is.
    #[error("{}", error_text(.0))]
    Output(io::Error),
    /// An entry of a list, as opposed to one met on a walk, could not be written.
    #[error("failed to add file {} to archive: {cause}", path.display())]
    AddFile {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Box<Error>,
    },
    /// There is no launcher.
    #[error("failed to stat launcher at path '{}': {cause}", path.display())]
    Launcher {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        cause: Box<Error>,
    },
    /// The launcher is a folder or something else that cannot be run.
    #[error("the launcher at path '{}' is no regular file", path.display())]
    LauncherKind {
        /// Where it should be.
        path: PathBuf,
    },
    /// What should be in an archive as a file is something else.
    #[error("{} is no regular file", path.display())]
    NoFile {
        /// Its path.
        path: PathBuf,
    },
    /// A process has an empty type.
    #[error("type is required for all processes")]
    ProcessTypeMissing,
    /// A process type cannot be the name of a file.
    #[error(r"invalid process type '{name}': type may not contain characters '/><:|&\'")]
    ProcessType {
        /// The type.
        name: String,
    },
    /// A process type is `.` or `..`.
    #[error("invalid process type '{name}': type is the name of a folder")]
    ProcessTypeFolder {
        /// The type.
        name: String,
    },
    /// A pattern of a slice has an unfinished `[` or `\`.
    #[error("failed to check if '{path}' matches '{pattern}': syntax error in pattern")]
    Pattern {
        /// The first path that it was tried on, below the app directory.
        path: String,
        /// The pattern.
        pattern: String,
    },
    /// An archive cannot be read from wherever it comes.
    #[error("{}", error_text(.0))]
    Input(io::Error),
    /// An archive is damaged, or has what no layer has.
    #[error("error extracting from archive: {0}")]
    Malformed(#[from] Malformed),
    /// An archive would write elsewhere.
    #[error("the archive has '{}', which is no place in '{}'", name.display(), allowed.display())]
    Outside {
        /// The name of the entry.
        name: PathBuf,
        /// The folder that may be written.
        allowed: PathBuf,
    },
    /// An archive leads through a link or a file.
    #[error("{} is no folder, and the archive has files in it", path.display())]
    InTheWay {
        /// What should be a folder.
        path: PathBuf,
    },
    /// An archive is not the one that was expected.
    #[error("expected layer contents to have SHA '{expected}'; found '{found}'")]
    Mismatch {
        /// The digest that it should have.
        expected: DiffId,
        /// The digest that it has.
        found: DiffId,
    },
    /// The folder has more files, or longer names in all, than can be kept.
    #[error("{} has too many files for one layer", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// An error of the operating system.
    pub(super) fn system(operation: &'static str, path: impl Into<PathBuf>, cause: impl Into<io::Error>) -> Self {
        Self::System { operation, path: path.into(), cause: cause.into() }
    }

    /// Tells whether the archive that was to be extracted is at fault, and not the place where it was to go.
    pub fn blames_archive(&self) -> bool {
        matches!(
            self,
            Self::Input(_) | Self::Malformed(_) | Self::Outside { .. } | Self::InTheWay { .. } | Self::Mismatch { .. }
        )
    }

    /// Says of which entry of a list this is the error.
    pub(super) fn in_list(self, path: &Path) -> Self {
        match self {
            Self::Output(_) => self,
            _ => Self::AddFile { path: path.to_owned(), cause: Box::new(self) },
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::System { cause, .. } | Self::Output(cause) => cause.kind(),
            Self::AddFile { cause, .. } => cause.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Output(cause) => cause,
            error => Self::new(error.kind(), error),
        }
    }
}
