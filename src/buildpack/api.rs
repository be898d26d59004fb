//! Negotiating the Buildpack API with a buildpack or extension.
//!
//! Clause: buildpack.md#buildpack-api-version; platform.md: exit code 12. Catalogue 1, section 1.2.

use crate::api::{BuildpackApi, DeprecationMode, Negotiated, NegotiationError, Support};
use crate::effect::events::{Events, SessionEvent};
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
    negotiate_of(BuildpackApi::SUPPORT, element, declared).map(BuildpackApi::from)
}

/// The same as the first thing that a phase does with a module: a deprecated version is told or refused.
///
/// # Errors
/// There is no version, or it is not supported, or deprecated while `mode` refuses those.
pub fn verify(
    element: &GroupElement,
    declared: &str,
    mode: DeprecationMode,
    events: &dyn Events,
) -> Result<(), ApiError> {
    verify_of(BuildpackApi::SUPPORT, element, declared, mode, events)
}

fn verify_of(
    support: Support<'_>,
    element: &GroupElement,
    declared: &str,
    mode: DeprecationMode,
    events: &dyn Events,
) -> Result<(), ApiError> {
    let negotiated = negotiate_of(support, element, declared)?;
    if !negotiated.deprecated || mode == DeprecationMode::Quiet {
        return Ok(());
    }
    let (kind, module, version) = (element.kind, element.to_string(), negotiated.version.to_string());
    let refused = mode == DeprecationMode::Error;
    events.emit(
        SessionEvent::DeprecatedBuildpackApi { kind, module: module.clone(), version: version.clone(), refused }.into(),
    );
    if refused { Err(ApiError::Unsupported { kind, module, version }) } else { Ok(()) }
}

fn negotiate_of(support: Support<'_>, element: &GroupElement, declared: &str) -> Result<Negotiated, ApiError> {
    support.negotiate(Some(declared)).map_err(|error| match error {
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
    use crate::api::Version;
    use crate::effect::events::Event;
    use crate::model::id::ModuleId;

    fn element(kind: ModuleKind) -> GroupElement {
        GroupElement {
            kind,
            id: ModuleId::parse("a/b").unwrap(),
            version: "1".into(),
            api: String::new(),
            homepage: String::new(),
            optional: false,
        }
    }

    fn message(kind: ModuleKind, declared: &str) -> String {
        negotiate(&element(kind), declared).map_or_else(|error| error.to_string(), |api| api.to_string())
    }

    #[test]
    fn a_deprecated_api_is_told_or_refused_as_the_platform_says() {
        #[derive(Default)]
        struct Recorder(std::sync::Mutex<Vec<Event>>);
        impl Events for Recorder {
            fn emit(&self, event: Event) {
                self.0.lock().unwrap().push(event);
            }
        }
        const OLD: Version = Version::new(0, 7);
        let support = Support { supported: &[OLD, Version::new(0, 8)], deprecated: &[OLD] };
        let verified = |declared: &str, mode: Option<&str>| {
            let recorder = Recorder::default();
            let element = element(ModuleKind::Extension);
            let result = verify_of(support, &element, declared, DeprecationMode::parse(mode), &recorder);
            (result.map_err(|error| error.to_string()), recorder.0.into_inner().unwrap())
        };
        let told = |refused| {
            let (kind, module, version) = (ModuleKind::Extension, "a/b@1".to_owned(), "0.7".to_owned());
            vec![Event::from(SessionEvent::DeprecatedBuildpackApi { kind, module, version, refused })]
        };
        let incompatible = "failed to set API for Extension 'a/b@1': buildpack API version '0.7' is incompatible with \
                            the lifecycle";
        assert_eq!(verified("0.8", Some("error")), (Ok(()), Vec::new()));
        assert_eq!(verified("0.7", Some("quiet")), (Ok(()), Vec::new()));
        for mode in [None, Some("warn"), Some("unknown")] {
            assert_eq!(verified("0.7", mode), (Ok(()), told(false)), "{mode:?}");
        }
        assert_eq!(verified("0.7", Some("error")), (Err(incompatible.to_owned()), told(true)));
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
