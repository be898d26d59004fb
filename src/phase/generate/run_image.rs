//! What the app runs on after all run.Dockerfiles.
//!
//! Clause: image_extension.md#rundockerfile; catalogue extend-launch-package, section A5.

use crate::api::{PlatformApi, PlatformFeature};
use crate::buildpack::dockerfile::RunDockerfile;
use crate::model::analyzed::AnalyzedRunImage;

/// What all run.Dockerfiles together mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    /// The base of the last that has one of its own.
    pub(super) base: Option<&'a str>,
    /// The first extension whose run.Dockerfile counts: the one with that base. Those before it are ignored.
    pub(super) first: usize,
    /// One that counts adds something.
    pub(super) extend: bool,
}

/// Chooses among the run.Dockerfiles of all extensions, in order.
pub(super) fn choose<'a>(dockerfiles: &[Option<&'a RunDockerfile>]) -> Choice<'a> {
    let base = |file: Option<&'a RunDockerfile>| file.and_then(|file| file.base.as_deref());
    let first = dockerfiles.iter().rposition(|file| base(*file).is_some());
    let counted = &dockerfiles[first.unwrap_or(0)..];
    Choice {
        base: first.and_then(|index| base(dockerfiles[index])),
        first: first.unwrap_or(0),
        extend: counted.iter().flatten().any(|file| file.extends),
    }
}

/// Says whether a base takes the place of the run image. Names are compared byte for byte: a digest that an extension
/// wrote is meant.
pub(super) fn is_new(api: PlatformApi, current: Option<&AnalyzedRunImage>, base: &str) -> bool {
    !api.has(PlatformFeature::RunImageTarget) || current.is_none_or(|current| current.image != base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extends() -> RunDockerfile {
        RunDockerfile { base: None, extends: true }
    }

    fn switches(base: &str) -> RunDockerfile {
        RunDockerfile { base: Some(base.to_owned()), extends: false }
    }

    fn does_both(base: &str) -> RunDockerfile {
        RunDockerfile { base: Some(base.to_owned()), extends: true }
    }

    fn choice(base: Option<&str>, first: usize, extend: bool) -> Choice<'_> {
        Choice { base, first, extend }
    }

    #[test]
    fn without_a_base_of_its_own_every_run_dockerfile_counts() {
        assert_eq!(choose(&[Some(&extends()), Some(&extends())]), choice(None, 0, true));
        assert_eq!(choose(&[None, None]), choice(None, 0, false));
        assert_eq!(choose(&[]), choice(None, 0, false));
    }

    #[test]
    fn those_behind_the_last_base_extend_it() {
        let (new, more) = (switches("new"), extends());
        assert_eq!(choose(&[Some(&new), Some(&more)]), choice(Some("new"), 0, true));
        assert_eq!(choose(&[None, Some(&new), None]), choice(Some("new"), 1, false));
    }

    #[test]
    fn those_before_the_last_base_are_ignored() {
        let (new, other, more) = (does_both("new"), switches("other"), extends());
        assert_eq!(choose(&[Some(&new), Some(&other)]), choice(Some("other"), 1, false));
        assert_eq!(choose(&[Some(&more), Some(&other), Some(&more)]), choice(Some("other"), 1, true));
    }

    #[test]
    fn one_may_switch_and_extend() {
        assert_eq!(choose(&[Some(&does_both("new"))]), choice(Some("new"), 0, true));
    }

    #[test]
    fn the_same_name_is_new_below_0_12_alone() {
        let current = AnalyzedRunImage { image: "same".into(), ..AnalyzedRunImage::default() };
        let is_new = |api: &str, base: &str| is_new(PlatformApi::negotiate(Some(api)).unwrap(), Some(&current), base);
        assert!(is_new("0.11", "same"));
        assert!(!is_new("0.12", "same"));
        assert!(is_new("0.12", "same@sha256:0"));
        assert!(super::is_new(PlatformApi::negotiate(Some("0.12")).unwrap(), None, "same"));
    }
}
