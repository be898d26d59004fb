//! Negotiation of the Platform API and of each buildpack's API.
//!
//! Clauses: platform.md#platform-api-compatibility, buildpack.md#buildpack-api-version.

use std::ffi::OsStr;

use super::console::Console;
use super::failure::Failure;
use super::metadata::Contributor;
use crate::api::{BuildpackApi, NegotiationError, PlatformApi, Support};

/// A buildpack of the image, and what it may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buildpack {
    /// Its id.
    pub id: String,
    /// Its API.
    pub api: BuildpackApi,
}

/// Negotiates `CNB_PLATFORM_API`.
///
/// # Errors
/// The version is missing, no version, not served, or deprecated while `mode` (`CNB_DEPRECATION_MODE`) is `error`.
pub fn platform(requested: Option<&OsStr>, mode: &OsStr, console: &mut Console<'_>) -> Result<PlatformApi, Failure> {
    platform_of(PlatformApi::SUPPORT, requested, mode, console)
}

fn platform_of(
    support: Support<'_>,
    requested: Option<&OsStr>,
    mode: &OsStr,
    console: &mut Console<'_>,
) -> Result<PlatformApi, Failure> {
    let text = requested.unwrap_or_default().to_string_lossy();
    let negotiated = support.negotiate(Some(&text)).map_err(|error| match error {
        NegotiationError::Missing => Failure::NoPlatformApi,
        NegotiationError::Unparsable(text) => Failure::ParsePlatformApi(text),
        NegotiationError::Unsupported(text) => Failure::PlatformApi(text),
    })?;
    if negotiated.deprecated && refuses(&format!("Platform requested deprecated API '{text}'"), mode, console) {
        return Err(Failure::PlatformApi(text.into_owned()));
    }
    Ok(negotiated.into())
}

/// Negotiates the API of every buildpack in the metadata.
///
/// # Errors
/// As [`platform`], for the first buildpack that cannot be served.
pub fn buildpacks(given: &[Contributor], mode: &OsStr, console: &mut Console<'_>) -> Result<Vec<Buildpack>, Failure> {
    given.iter().map(|buildpack| buildpack_of(BuildpackApi::SUPPORT, buildpack, mode, console)).collect()
}

fn buildpack_of(
    support: Support<'_>,
    given: &Contributor,
    mode: &OsStr,
    console: &mut Console<'_>,
) -> Result<Buildpack, Failure> {
    let Contributor { id, api } = given;
    let refused = || Failure::BuildpackApi { id: id.clone(), api: api.clone() };
    let negotiated = support.negotiate(Some(api)).map_err(|error| match error {
        NegotiationError::Missing | NegotiationError::Unparsable(_) => Failure::ParseBuildpackApi(id.clone()),
        NegotiationError::Unsupported(_) => refused(),
    })?;
    if negotiated.deprecated && refuses(&format!("buildpack '{id}' requests deprecated API '{api}'"), mode, console) {
        return Err(refused());
    }
    Ok(Buildpack { id: id.clone(), api: negotiated.into() })
}

/// Says what `CNB_DEPRECATION_MODE` wants said about a deprecated version, and whether it refuses it.
fn refuses(text: &str, mode: &OsStr, console: &mut Console<'_>) -> bool {
    if mode == "error" {
        console.error(&text);
        console.error(&"Deprecated APIs are disabled by CNB_DEPRECATION_MODE=error");
        return true;
    }
    if mode != "quiet" {
        console.warn(&text);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Version;

    const OLD: Version = Version::new(0, 7);
    const SUPPORT: Support<'_> = Support { supported: &[OLD], deprecated: &[OLD] };

    fn said<T>(negotiate: impl FnOnce(&mut Console<'_>) -> Result<T, Failure>) -> (Result<T, (String, u8)>, String) {
        let mut out = String::new();
        let mut write = |line: &str| out.push_str(line);
        let result = negotiate(&mut Console::new(&mut write, Some(OsStr::new("1"))));
        (result.map_err(|failure| (failure.to_string(), failure.exit_code())), out)
    }

    fn platform_failure(requested: Option<&str>) -> (String, u8) {
        said(|console| platform(requested.map(OsStr::new), OsStr::new("warn"), console)).0.unwrap_err()
    }

    #[test]
    fn a_platform_api_that_cannot_be_served_is_exit_11() {
        let missing = "failed to get platform API version; \
                       please set 'CNB_PLATFORM_API' to specify the desired platform API version";
        assert_eq!(platform_failure(None), (missing.into(), 11));
        assert_eq!(platform_failure(Some(" ")), (missing.into(), 11));
        assert_eq!(platform_failure(Some("x")), ("failed to parse platform API 'x'".into(), 11));
        let text = "failed to set platform API: platform API version '9.9' is incompatible with the lifecycle";
        assert_eq!(platform_failure(Some("9.9")), (text.into(), 11));
    }

    #[test]
    fn a_buildpack_api_that_cannot_be_served_is_exit_12() {
        let failure = |api: &str| {
            let given = [Contributor { id: "a/b".into(), api: api.into() }];
            said(|console| buildpacks(&given, OsStr::new(""), console)).0.unwrap_err()
        };
        let unparsable = "failed to parse buildpack API '<nil>' for buildpack 'a/b'";
        assert_eq!(failure(""), (unparsable.into(), 12));
        assert_eq!(failure("x"), (unparsable.into(), 12));
        let text = "failed to set API for buildpack 'a/b': \
                    buildpack API version '9.9' is incompatible with the lifecycle";
        assert_eq!(failure("9.9"), (text.into(), 12));
    }

    #[test]
    fn the_deprecation_mode_decides_about_deprecated_versions() {
        let platform = |mode: &str| said(|console| platform_of(SUPPORT, Some("0.7".as_ref()), mode.as_ref(), console));
        let (result, text) = platform("quiet");
        assert!(result.is_ok() && text.is_empty());
        let (result, text) = platform("whatever");
        assert!(result.is_ok());
        assert_eq!(text, "Warning: Platform requested deprecated API '0.7'\n");
        let (result, text) = platform("error");
        assert_eq!(result.unwrap_err().1, 11);
        assert_eq!(
            text,
            "ERROR: Platform requested deprecated API '0.7'\n\
             ERROR: Deprecated APIs are disabled by CNB_DEPRECATION_MODE=error\n"
        );

        let given = Contributor { id: "x".into(), api: "0.7".into() };
        let (result, text) = said(|console| buildpack_of(SUPPORT, &given, "error".as_ref(), console));
        assert_eq!(result.unwrap_err().1, 12);
        assert!(text.starts_with("ERROR: buildpack 'x' requests deprecated API '0.7'\n"), "{text}");
    }
}
