//! Negotiating the Buildpack API with a buildpack or extension.
//!
//! Clause: buildpack.md#buildpack-api-version; platform.md: exit code 12. Catalogue 1, section 1.2.

use crate::api::{BuildpackApi, NegotiationError};
use crate::model::id::ModuleKind;
use crate::model::order::GroupElement;

/// A module declares a Buildpack API version that cannot be served. Exit code 12 in every phase; the text is the whole
/// message behind `ERROR: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// It declares none, or something that is no version. Clients match the `<nil>`.
    #[error("failed to parse buildpack API '<nil>' for {kind} '{module}'")]
    Unreadable {
        /// `buildpack` or `extension`.
        kind: &'static str,
        /// `<id>@<version>`.
        module: String,
    },
    /// The version is none of those supported.
    #[error(
        "failed to set API for {kind} '{module}': buildpack API version '{version}' is incompatible with the lifecycle"
    )]
    Unsupported {
        /// Buildpack or extension.
        kind: ModuleKind,
        /// `<id>@<version>`.
        module: String,
        /// The version, as it was written.
        version: String,
    },
}

/// Negotiates the version that a module declares: detect asks its descriptor, later phases ask group.toml.
///
/// # Errors
/// There is no version, or it is not supported.
pub fn negotiate(element: &GroupElement, declared: &str) -> Result<BuildpackApi, ApiError> {
    BuildpackApi::negotiate(Some(declared)).map_err(|error| match error {
        NegotiationError::Missing | NegotiationError::Unparsable(_) => ApiError::Unreadable {
            kind: match element.kind {
                ModuleKind::Buildpack => "buildpack",
                ModuleKind::Extension => "extension",
            },
            module: element.to_string(),
        },
        NegotiationError::Unsupported(version) => {
            ApiError::Unsupported { kind: element.kind, module: element.to_string(), version }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ModuleId;

    fn message(kind: ModuleKind, declared: &str) -> String {
        let element = GroupElement {
            kind,
            id: ModuleId::parse("a/b").unwrap(),
            version: "1".into(),
            api: String::new(),
            homepage: String::new(),
            optional: false,
        };
        negotiate(&element, declared).map_or_else(|error| error.to_string(), |api| api.to_string())
    }

    #[test]
    fn says_what_clients_match() {
        assert_eq!(message(ModuleKind::Buildpack, "0.10"), "0.10");
        for declared in ["", " ", "0.x"] {
            assert_eq!(
                message(ModuleKind::Extension, declared),
                "failed to parse buildpack API '<nil>' for extension 'a/b@1'",
            );
        }
        assert_eq!(
            message(ModuleKind::Buildpack, "0.1"),
            "failed to set API for Buildpack 'a/b@1': buildpack API version '0.1' is incompatible with the lifecycle",
        );
    }
}
