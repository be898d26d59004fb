//! Why a registry did not do what it was asked.
//!
//! The texts are those of the reference's registry library (catalogue 1, section 7; `docs/PARITY.md`). No text has
//! credentials, or the part of an address where they may be (policy B30).

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::effect::images::ImageError;
use crate::image::{assemble, blob};
use crate::model::digest::Digest;
use crate::model::reference::ReferenceError;
use crate::net::plain;
use crate::os::error_text;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no image name.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// There is no name to write an image under.
    #[error("the image has no name")]
    NoNames,
    /// The answer has a status that says no.
    #[error("{method} {url}: {refusal}")]
    Status {
        /// The request's method.
        method: &'static str,
        /// Where it went, without its query.
        url: String,
        /// What came back.
        refusal: Box<Refusal>,
    },
    /// There was no answer, or not all of it.
    #[error("{method} {url}: {cause}")]
    Transport {
        /// The request's method.
        method: &'static str,
        /// Where it went, without its query.
        url: String,
        /// What happened.
        cause: String,
        /// Trying again may help.
        retryable: bool,
    },
    /// Neither https nor http led to a registry.
    #[error("{https}; {http}")]
    Unreachable {
        /// What happened with https.
        https: Box<Error>,
        /// What happened with http.
        http: Box<Error>,
    },
    /// While it was sent it turned out that nobody wants it.
    #[error("the upload is called off")]
    CalledOff,
    /// A registry could not be reached, as somebody else found out at the same time.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// The answer makes no sense.
    #[error("{method} {url}: {cause}")]
    Answer {
        /// The request's method.
        method: &'static str,
        /// Where it went, without its query.
        url: String,
        /// What is wrong with the answer.
        cause: String,
    },
    /// A registry does not have of an upload what was sent.
    #[error("{method} {url}: of {sent} bytes that were sent the registry has {has}")]
    Incomplete {
        /// The request's method.
        method: &'static str,
        /// Where it went, without its query.
        url: String,
        /// How many bytes it has, as it says.
        has: u64,
        /// How many bytes of the blob were sent to it.
        sent: u64,
    },
    /// The credentials for a registry are of a form that nobody knows.
    #[error("parsing auth header: unknown auth type from header")]
    AuthType,
    /// A layer's blob is neither in its registry nor anywhere it could be taken from.
    #[error("{image} has lost the blob {digest} of one of its layers")]
    LostBlob {
        /// The image that should have it.
        image: String,
        /// The blob.
        digest: Digest,
    },
    /// A registry has another number of bytes of a blob than the manifest says.
    #[error("blob {digest} has {found} bytes instead of {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// The size in the descriptor, in bytes.
        expected: u64,
        /// The size that the registry tells, in bytes.
        found: u64,
    },
    /// The manifest or the configuration of an image that was there is gone.
    #[error("{image} has lost its document {digest}")]
    LostDocument {
        /// The image.
        image: String,
        /// The document.
        digest: String,
    },
    /// A blob could not be copied from one registry to another.
    #[error("copying blob {digest}: {}", error_text(.cause))]
    Copy {
        /// The blob.
        digest: Digest,
        /// What went wrong.
        cause: io::Error,
    },
    /// A temporary file failed.
    #[error("write a temporary file in {}: {}", path.display(), error_text(.cause))]
    Spool {
        /// Its folder.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The layers do not make an image.
    #[error(transparent)]
    Assemble(#[from] assemble::Error),
    /// A new layer did not become a blob.
    #[error(transparent)]
    Blob(#[from] blob::Error),
}

/// An answer that says no.
#[derive(Debug)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// It answers a HEAD request, so there was no place for reasons.
    pub is_head: bool,
    /// The reasons in a registry's own form: code and message.
    pub reasons: Vec<(String, String)>,
    /// The start of a body in any other form, on one line.
    pub body: String,
    /// How long the registry asks to wait.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.reasons.iter().map(|(code, message)| format!("{code}: {message}")).collect();
        match &reasons[..] {
            [] => {
                let name = ureq::http::StatusCode::from_u16(self.status).ok().and_then(|code| code.canonical_reason());
                write!(f, "unexpected status code {} {}", self.status, name.unwrap_or_default())?;
                if self.is_head {
                    write!(f, " (HEAD responses have no body, use GET for details)")
                } else if self.body.is_empty() {
                    Ok(())
                } else {
                    write!(f, ": {}", self.body)
                }
            }
            [only] => f.write_str(only),
            several => write!(f, "multiple errors returned: {}", several.join("; ")),
        }
    }
}

impl Refusal {
    /// Trying again may help: an overload or a fault, unless the registry gives a reason that will be the same next time.
    fn is_retryable(&self) -> bool {
        const PASSING: [&str; 4] = ["BLOB_UPLOAD_INVALID", "TOOMANYREQUESTS", "UNKNOWN", "UNAVAILABLE"];
        match self.status {
            408 | 429 => true,
            500..=599 => self.reasons.iter().all(|(code, _)| PASSING.contains(&code.as_str())),
            _ => false,
        }
    }
}

impl Error {
    /// Trying again may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { refusal, .. } => refusal.is_retryable(),
            Self::Transport { retryable, .. } => *retryable,
            Self::Incomplete { .. } => true,
            // An answer counts more than none.
            Self::Unreachable { https, http } => {
                http.is_retryable() || (http.status().is_none() && https.is_retryable())
            }
            Self::Shared(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// How long the registry asks to wait before the next try.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { refusal, .. } = self { refusal.retry_after } else { None }
    }

    /// The status of an answer that will be the same next time, if that is why.
    pub(super) fn lasting_status(&self) -> Option<u16> {
        match self {
            Self::Status { refusal, .. } if !refusal.is_retryable() => Some(refusal.status),
            _ => None,
        }
    }

    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { refusal, .. } => Some(refusal.status),
            Self::Unreachable { https, http } => http.status().or(https.status()),
            Self::Shared(error) => error.status(),
            _ => None,
        }
    }
}

impl From<Error> for ImageError {
    fn from(error: Error) -> Self {
        let denied = matches!(error.status(), Some(401 | 403)) || matches!(error, Error::AuthType);
        Self { message: error.to_string(), retryable: error.is_retryable(), denied }
    }
}

/// Reads the reasons in a registry's answer, and for bodies of another form their start.
pub(super) fn reasons(body: &[u8]) -> (Vec<(String, String)>, String) {
    let text = |value: &serde_json::Value| plain(value.as_str().unwrap_or_default());
    let reasons: Vec<_> = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => json["errors"]
            .as_array()
            .map(|errors| errors.iter().map(|error| (text(&error["code"]), text(&error["message"]))).collect())
            .unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    if !reasons.is_empty() {
        return (reasons, String::new());
    }
    (reasons, plain(&String::from_utf8_lossy(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(method: &'static str, status: u16, body: &str) -> Error {
        let (reasons, body) = reasons(body.as_bytes());
        let refusal = Refusal { status, is_head: method == "HEAD", reasons, body, retry_after: None };
        Error::Status { method, url: "https://a.io/v2/".to_owned(), refusal: Box::new(refusal) }
    }

    #[test]
    fn says_what_the_reference_says() {
        for (error, expected) in [
            (
                error("HEAD", 401, ""),
                "HEAD https://a.io/v2/: unexpected status code 401 Unauthorized (HEAD responses have no body, use GET for details)",
            ),
            (
                error("POST", 403, r#"{"errors":[{"code":"DENIED","message":"denied"}]}"#),
                "POST https://a.io/v2/: DENIED: denied",
            ),
            (
                error("GET", 400, r#"{"errors":[{"code":"A","message":"b"},{"code":"C","message":"d"}]}"#),
                "GET https://a.io/v2/: multiple errors returned: A: b; C: d",
            ),
            (
                error("GET", 404, "page\n not found\n"),
                "GET https://a.io/v2/: unexpected status code 404 Not Found: page not found",
            ),
            (
                error("PUT", 400, r#"{"errors":[{"code":"A","message":"\u001b[2Jx\r\nERROR: forged"}]}"#),
                "PUT https://a.io/v2/: A: [2Jx ERROR: forged",
            ),
            (error("PUT", 500, ""), "PUT https://a.io/v2/: unexpected status code 500 Internal Server Error"),
        ] {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn knows_what_may_pass() {
        let unavailable = r#"{"errors":[{"code":"UNAVAILABLE","message":""}]}"#;
        let denied = r#"{"errors":[{"code":"DENIED","message":""}]}"#;
        for (status, body, expected) in [
            (429, denied, true),
            (500, "", true),
            (503, unavailable, true),
            (500, denied, false),
            (404, "", false),
            (401, "", false),
        ] {
            assert_eq!(error("GET", status, body).is_retryable(), expected, "{status} {body}");
        }
    }

    #[test]
    fn refused_credentials_are_denied() {
        assert!(ImageError::from(error("GET", 401, "")).denied);
        assert!(ImageError::from(Error::AuthType).denied);
        assert!(!ImageError::from(error("GET", 404, "")).denied);
    }
}
