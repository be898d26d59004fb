//! How a call ended: gRPC's codes, and what else the server says about it.
//!
//! Clause: gRPC statuscodes.md, http-grpc-status-mapping.md.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use h2::Reason;
use ureq::http::{HeaderMap, Response, header};

use crate::net::{Failure, decoded, retry_after};

/// The header or trailer with the code.
pub(super) const STATUS: &str = "grpc-status";
/// The one with a text for people, percent-encoded.
const MESSAGE: &str = "grpc-message";
/// The one with details, as base64.
const DETAILS: &str = "grpc-status-details-bin";

/// Base64 as gRPC has it: with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u32);

macro_rules! codes {
    ($($name:ident = $code:literal,)*) => {
        impl Code {
            $(pub(crate) const $name: Self = Self($code);)*

            /// Its name, for people.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    _ => "a code that is not known",
                }
            }
        }
    };
}

codes! {
    OK = 0,
    CANCELLED = 1,
    UNKNOWN = 2,
    INVALID_ARGUMENT = 3,
    DEADLINE_EXCEEDED = 4,
    NOT_FOUND = 5,
    ALREADY_EXISTS = 6,
    PERMISSION_DENIED = 7,
    RESOURCE_EXHAUSTED = 8,
    FAILED_PRECONDITION = 9,
    ABORTED = 10,
    OUT_OF_RANGE = 11,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14,
    DATA_LOSS = 15,
    UNAUTHENTICATED = 16,
}

/// A call without the answer that was wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Why.
    pub(crate) code: Code,
    /// What happened, for people. The server's own words are at its end as they came: they may repeat a credential, and
    /// have anything in them.
    pub(crate) cause: String,
    /// The connection, or this side, is to blame, and not an answer.
    pub(crate) is_local: bool,
    /// A `google.rpc.Status` with more, if the server sent one.
    pub(crate) details: Vec<u8>,
    /// When to try again, where a server says so that speaks HTTP alone.
    pub(crate) after: Option<Duration>,
}

impl Failed {
    pub(super) fn local(code: Code, cause: String) -> Self {
        Self { code, cause, is_local: true, details: Vec::new(), after: None }
    }

    /// No connection.
    pub(super) fn of_failure(failure: Failure) -> Self {
        let code = if failure.retryable { Code::UNAVAILABLE } else { Code::FAILED_PRECONDITION };
        Self::local(code, failure.cause)
    }

    /// What HTTP/2 says: the connection broke, or one side does not like what the other does.
    pub(super) fn of(error: &h2::Error) -> Self {
        if let Some(error) = error.get_io() {
            let failure = Failure::of_io(error);
            return Self::local(Code::UNAVAILABLE, failure.cause);
        }
        let code = match error.reason() {
            // A server that goes away says NO_ERROR.
            Some(Reason::REFUSED_STREAM | Reason::NO_ERROR | Reason::ENHANCE_YOUR_CALM) if error.is_remote() => {
                Code::UNAVAILABLE
            }
            Some(Reason::CANCEL) if error.is_remote() => Code::CANCELLED,
            Some(Reason::INADEQUATE_SECURITY) => Code::PERMISSION_DENIED,
            Some(_) => Code::INTERNAL,
            None => Code::UNAVAILABLE,
        };
        // It is this side that finds fault with what is no HTTP/2: mostly the answer of an http server.
        let hint = if error.is_library() { "; does the endpoint speak gRPC?" } else { "" };
        Self::local(code, format!("{error}{hint}"))
    }

    /// An answer by someone who does not speak gRPC: a proxy, a web server.
    pub(super) fn of_http<T>(response: &Response<T>) -> Self {
        let status = response.status().as_u16();
        let code = match status {
            400 => Code::INTERNAL,
            401 => Code::UNAUTHENTICATED,
            403 => Code::PERMISSION_DENIED,
            404 => Code::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Code::UNAVAILABLE,
            _ => Code::UNKNOWN,
        };
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let after = text(header::RETRY_AFTER).and_then(|value| retry_after(value, text(header::DATE)));
        let cause = format!("HTTP status {status} without gRPC; does the endpoint speak gRPC?");
        Self { code, cause, is_local: false, details: Vec::new(), after }
    }
}

/// Holds that a call went well.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Failed> {
    let code = headers.get(STATUS).and_then(|value| value.to_str().ok()?.parse().ok()).map_or(Code::UNKNOWN, Code);
    if code == Code::OK {
        return Ok(());
    }
    let message = headers.get(MESSAGE).map(|value| decoded(value.as_bytes())).filter(|text| !text.is_empty());
    let cause =
        format!("status {} ({}){}", code.0, code.name(), message.map(|text| format!(": {text}")).unwrap_or_default());
    let details = headers.get(DETAILS).and_then(|value| BASE64.decode(value.as_bytes()).ok()).unwrap_or_default();
    Err(Failed { code, cause, is_local: false, details, after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &'static str)]) -> Result<(), Failed> {
        check(&headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
    }

    #[test]
    fn a_call_went_well_only_where_the_server_says_so() {
        assert_eq!(checked(&[("grpc-status", "0")]), Ok(()));
        assert_eq!(checked(&[]).unwrap_err().code, Code::UNKNOWN);
        assert_eq!(checked(&[("grpc-status", "well")]).unwrap_err().code, Code::UNKNOWN);
        assert_eq!(checked(&[("grpc-status", "99")]).unwrap_err().cause, "status 99 (a code that is not known)");
    }

    #[test]
    fn a_message_is_decoded() {
        let headers =
            [("grpc-status", "8"), ("grpc-message", "100%25 full%1b[2J%0A%"), ("grpc-status-details-bin", "CAg")];
        let failed = checked(&headers).unwrap_err();
        assert_eq!(failed.cause, "status 8 (RESOURCE_EXHAUSTED): 100% full\u{1b}[2J\n%");
        assert_eq!(failed.details, b"\x08\x08");
    }

    #[test]
    fn http_alone_is_mapped_as_grpc_wants_it() {
        for (status, code) in
            [(503, Code::UNAVAILABLE), (429, Code::UNAVAILABLE), (404, Code::UNIMPLEMENTED), (200, Code::UNKNOWN)]
        {
            let response = Response::builder().status(status).header("retry-after", "7").body(()).unwrap();
            let failed = Failed::of_http(&response);
            assert_eq!((failed.code, failed.after), (code, Some(Duration::from_secs(7))));
        }
    }
}
