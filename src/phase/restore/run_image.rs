//! The run image of a build with extensions: what analyzed.toml says of it is made whole.
//!
//! An extension that switched the run image left its bare name and no target; exporter and builder need the very bytes
//! and the target. Nothing is done where a target is known.
//!
//! Clause: platform.md#restorer; catalogue 1, section 4.2, item 6.

use crate::api::{PlatformApi, PlatformFeature};
use crate::effect::images::{ImageError, Images, Opened};
use crate::model::analyzed::AnalyzedRunImage;
use crate::model::image::ImageRecord;
use crate::model::order::Group;
use crate::phase::analyze;

/// Why the run image could not be resolved. Each variant prints what the reference prints behind `failed to `.
#[derive(Debug, thiserror::Error)]
pub enum RunImageError {
    /// The store cannot be reached or refuses.
    #[error("{0}")]
    Open(#[from] ImageError),
    /// There is no such image.
    #[error("not found")]
    Missing,
    /// It does not fit together.
    #[error("it is corrupt: {0}")]
    Corrupt(String),
    /// Its configuration names no operating system.
    #[error("failed to find OS in run image config")]
    NoOperatingSystem,
}

/// The name by which the run image must be opened, if what analyzed.toml says of it is not enough.
pub fn unresolved<'a>(api: PlatformApi, group: &Group, run_image: &'a AnalyzedRunImage) -> Option<&'a str> {
    let has_target = run_image.target.as_ref().is_some_and(|target| !target.os.is_empty());
    if !api.has(PlatformFeature::RestorerResolvesImages) || group.extensions.is_empty() || has_target {
        return None;
    }
    name(run_image)
}

/// The name by which the run image must be opened if extensions extend it: the extender needs it whole.
pub fn to_extend(api: PlatformApi, run_image: &AnalyzedRunImage) -> Option<&str> {
    name(run_image).filter(|_| run_image.extend && api.has(PlatformFeature::ExtensionLayers))
}

/// The image's name. Below Platform API 0.12 analysis writes none, and its reference names the same image.
fn name(run_image: &AnalyzedRunImage) -> Option<&str> {
    let names = [&run_image.image, &run_image.reference];
    names.into_iter().map(String::as_str).find(|name| !name.is_empty())
}

/// Opens the run image by `name`, and says what analyzed.toml is to say of it.
///
/// # Errors
/// The image cannot be read, or names no operating system from Platform API 0.12 on.
pub fn resolve(
    api: PlatformApi,
    images: &dyn Images,
    name: &str,
    run_image: &AnalyzedRunImage,
) -> Result<AnalyzedRunImage, RunImageError> {
    match images.open(name)? {
        Opened::Found(image) => describe(api, &image, run_image),
        Opened::Missing => Err(RunImageError::Missing),
        Opened::Corrupt(reason) => Err(RunImageError::Corrupt(reason)),
    }
}

/// Says what analyzed.toml is to say of the run image once it is known to be `image`.
///
/// # Errors
/// The image names no operating system, from Platform API 0.12 on.
pub fn describe(
    api: PlatformApi,
    image: &ImageRecord,
    run_image: &AnalyzedRunImage,
) -> Result<AnalyzedRunImage, RunImageError> {
    let target = api.has(PlatformFeature::RunImageTarget).then(|| analyze::target(image));
    if target.as_ref().is_some_and(|target| target.os.is_empty()) {
        return Err(RunImageError::NoOperatingSystem);
    }
    Ok(AnalyzedRunImage { reference: image.identifier.clone(), target, ..run_image.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::images::StoreKind;
    use crate::image::memory::MemoryImages;
    use crate::model::id::{ModuleId, ModuleKind};
    use crate::model::image::ImageConfig;
    use crate::model::order::GroupElement;
    use crate::model::target::RunTarget;

    fn api(text: &str) -> PlatformApi {
        PlatformApi::negotiate(Some(text)).unwrap()
    }

    fn with_extension() -> Group {
        let extension = GroupElement {
            kind: ModuleKind::Extension,
            id: ModuleId::parse("ext").unwrap(),
            version: "1".into(),
            api: "0.10".into(),
            homepage: String::new(),
            optional: false,
        };
        Group { extensions: vec![extension], ..Group::default() }
    }

    fn switched() -> AnalyzedRunImage {
        AnalyzedRunImage { reference: "a.io/new".into(), image: "a.io/new".into(), extend: false, target: None }
    }

    #[test]
    fn a_switched_run_image_gets_its_digest_and_from_0_12_on_its_target() {
        let images = MemoryImages::new(StoreKind::Registry);
        let config = ImageConfig { os: "linux".into(), architecture: "arm".into(), ..ImageConfig::default() };
        let image = images.insert("a.io/new", config, Vec::new());
        for (version, os) in [("0.10", None), ("0.11", None), ("0.12", Some("linux")), ("0.15", Some("linux"))] {
            let resolved = resolve(api(version), &images, "a.io/new", &switched()).unwrap();
            assert_eq!((&resolved.reference, resolved.image.as_str()), (&image.identifier, "a.io/new"), "{version}");
            assert_eq!(resolved.target.as_ref().map(|target| target.os.as_str()), os, "{version}");
        }
    }

    #[test]
    fn only_a_build_with_extensions_and_without_a_target_asks_for_it() {
        let group = with_extension();
        assert_eq!(unresolved(api("0.9"), &group, &switched()), None);
        assert_eq!(unresolved(api("0.10"), &group, &switched()), Some("a.io/new"));
        assert_eq!(unresolved(api("0.10"), &Group::default(), &switched()), None);
        let target = |os: &str| Some(RunTarget { os: os.into(), ..RunTarget::default() });
        let known = AnalyzedRunImage { target: target("linux"), ..switched() };
        assert_eq!(unresolved(api("0.12"), &group, &known), None);
        let empty = AnalyzedRunImage { target: target(""), ..switched() };
        assert_eq!(unresolved(api("0.12"), &group, &empty), Some("a.io/new"));
    }

    #[test]
    fn a_run_image_that_is_extended_is_pulled_from_0_12_on() {
        let extended = AnalyzedRunImage { extend: true, ..switched() };
        assert_eq!(to_extend(api("0.11"), &extended), None);
        assert_eq!(to_extend(api("0.12"), &extended), Some("a.io/new"));
        assert_eq!(to_extend(api("0.12"), &switched()), None);
        assert_eq!(to_extend(api("0.12"), &AnalyzedRunImage { extend: true, ..AnalyzedRunImage::default() }), None);
    }

    #[test]
    fn without_a_name_the_reference_is_one() {
        let run_image = AnalyzedRunImage { reference: "a.io/run@sha256:1".into(), ..AnalyzedRunImage::default() };
        assert_eq!(unresolved(api("0.10"), &with_extension(), &run_image), Some("a.io/run@sha256:1"));
        assert_eq!(unresolved(api("0.10"), &with_extension(), &AnalyzedRunImage::default()), None);
    }

    #[test]
    fn an_image_that_cannot_serve_is_an_error() {
        let images = MemoryImages::new(StoreKind::Registry);
        let error = |version: &str| resolve(api(version), &images, "a.io/new", &switched()).map_err(|e| e.to_string());
        assert_eq!(error("0.12"), Err("not found".to_owned()));
        images.insert("a.io/new", ImageConfig::default(), Vec::new());
        assert_eq!(error("0.12"), Err("failed to find OS in run image config".to_owned()));
        assert!(error("0.11").is_ok());
        images.corrupt("a.io/new", "no layers");
        assert_eq!(error("0.12"), Err("it is corrupt: no layers".to_owned()));
        images.deny_read("a.io/new", "401 Unauthorized");
        assert_eq!(error("0.12"), Err("401 Unauthorized".to_owned()));
    }
}
