//! Why a daemon did not do what it was asked.
//!
//! The texts are those of docker's own client where there is one: users know them, and search for them.

use std::io;
use std::path::PathBuf;

use crate::effect::images::ImageError;
use crate::image::assemble;
use crate::model::digest::DiffId;
use crate::model::reference::ReferenceError;
use crate::os::error_text;

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `DOCKER_HOST` is no address.
    #[error("unable to parse docker host `{0}`")]
    Address(String),
    /// `DOCKER_API_VERSION` is no version.
    #[error("invalid API version '{0}'")]
    ApiVersion(String),
    /// A certificate or key cannot be used.
    #[error("could not use {}: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Nobody listens, or not to this user.
    #[error("failed to connect to docker socket: dial {address}: connect: {}", error_text(.cause))]
    Connect {
        /// Where a daemon should be.
        address: String,
        /// What happened.
        cause: io::Error,
    },
    /// The daemon says no.
    #[error("Error response from daemon: {message}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The connection broke, or what came over it is no answer.
    #[error("{method} {path}: {}", error_text(.cause))]
    Transport {
        /// The request's method.
        method: &'static str,
        /// The request's path, without its query.
        path: String,
        /// What happened.
        cause: io::Error,
    },
    /// What was to be sent broke.
    #[error("{}", error_text(.0))]
    Content(#[source] io::Error),
    /// An answer makes no sense.
    #[error("{method} {path}: {cause}")]
    Answer {
        /// The request's method.
        method: &'static str,
        /// The request's path, without its query.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// It is no image name.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// There is no name to write an image under.
    #[error("the image has no name")]
    NoNames,
    /// A digest is no name that an image could be given.
    #[error("refusing to create a tag with a digest reference: {0}")]
    DigestAsTag(String),
    /// The layers do not make an image.
    #[error(transparent)]
    Assemble(#[from] assemble::Error),
    /// The daemon did not take the image.
    #[error("loading image \"{name}\": {cause}")]
    Load {
        /// Its name in full.
        name: String,
        /// What the daemon says.
        cause: String,
    },
    /// An image that was saved by the daemon has no such layer.
    #[error("the daemon did not give layer {diff_id} of image {image}")]
    NoLayer {
        /// The image.
        image: String,
        /// The layer.
        diff_id: DiffId,
    },
    /// What the daemon saved cannot be read or kept.
    #[error("saving image with ID \"{image}\" from the docker daemon: {cause}")]
    Save {
        /// The image.
        image: String,
        /// What went wrong.
        cause: String,
    },
}

impl Error {
    /// Says whether the daemon was silent for too long.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Transport { cause, .. } if cause.kind() == io::ErrorKind::TimedOut)
    }

    /// The status of the answer that says no.
    pub(super) fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }
}

impl From<Error> for ImageError {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Connect { cause, .. } | Error::Transport { cause, .. } => Some(cause.kind()),
            _ => None,
        };
        let denied = kind == Some(io::ErrorKind::PermissionDenied) || matches!(error.status(), Some(401 | 403));
        let retryable = matches!(error, Error::Transport { .. }) || matches!(error.status(), Some(500..));
        Self { message: error.to_string(), retryable, denied }
    }
}
