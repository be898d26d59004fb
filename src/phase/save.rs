//! Writing an image under all its names, and the report of it: exporter and rebaser end alike.
//!
//! Clauses: platform.md#exporter, platform.md#rebaser, platform.md#reporttoml-toml; catalogue 2, sections 2.9 and 2.10;
//! policy P25.

use crate::effect::Effects;
use crate::effect::events::{ExportEvent, Facts, Outcome, Work};
use crate::effect::images::{ImageDraft, ImageError, WrittenImage};
use crate::model::launch::BomEntry;
use crate::model::report::Report;

/// Why an image is not under all its names.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It could not be made, or be written under any name.
    #[error("saving image: {0}")]
    Image(ImageError),
    /// It is under no name at all.
    #[error("failed to write image to the following tags: {0}")]
    Nowhere(String),
    /// Some names could not be written, others were.
    #[error("failed to write image to the following tags: {failed}")]
    Tags {
        /// `[<name>: <error>],[...]`.
        failed: String,
        /// What was written.
        report: Box<Report>,
    },
}

/// Writes an image, and tells it as part of the export phase or of the rebaser. When no name can be written, `mend` may
/// give an image that is written instead.
///
/// # Errors
/// It could not be made, or not be written under every name.
pub(super) fn save(
    effects: &Effects<'_>,
    draft: &ImageDraft,
    names: &[String],
    build_bom: Vec<BomEntry>,
    mend: impl FnOnce() -> Option<ImageDraft>,
) -> Result<Report, Error> {
    if let Some(name) = names.first() {
        effects.emit(ExportEvent::Saving(name.clone()));
    }
    let work = effects.begin(Work::WriteImage);
    let mut written = effects.images.write(draft, names);
    let is_nowhere = written.as_ref().map_or(true, |image| image.names.iter().all(|(_, result)| result.is_err()));
    if let Some(mended) = is_nowhere.then(mend).flatten() {
        written = effects.images.write(&mended, names);
    }
    let written = written.map_err(Error::Image)?;
    let outcome =
        if written.names.iter().all(|(_, result)| result.is_ok()) { Outcome::Success } else { Outcome::Error };
    work.end(outcome, Facts::default());
    tell(effects, &written);
    report(written, build_bom)
}

fn tell(effects: &Effects<'_>, written: &WrittenImage) {
    effects.emit(ExportEvent::Images { id: written.id.clone(), names: written.names.clone() });
    if let Some(id) = &written.image_id {
        effects.emit(ExportEvent::ImageId(id.clone()));
    }
    if let Some(digest) = &written.digest {
        effects.emit(ExportEvent::Digest(digest.clone()));
    }
    if written.manifest_size != 0 {
        effects.emit(ExportEvent::ManifestSize(written.manifest_size));
    }
}

/// Says under which names the image can be found; an error if that is not all of them.
fn report(written: WrittenImage, build_bom: Vec<BomEntry>) -> Result<Report, Error> {
    let mut tags = Vec::new();
    let mut failed = Vec::new();
    for (name, result) in written.names {
        match result {
            Ok(()) => tags.push(name),
            Err(error) => failed.push(format!("[{name}: {error}]")),
        }
    }
    let report = Report {
        tags,
        digest: written.digest,
        image_id: written.image_id,
        manifest_size: written.manifest_size,
        build_bom,
    };
    match (failed.is_empty(), report.tags.is_empty()) {
        (true, _) => Ok(report),
        (false, false) => Err(Error::Tags { failed: failed.join(","), report: Box::new(report) }),
        (false, true) => Err(Error::Nowhere(failed.join(","))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(names: &[(&str, Result<(), &str>)]) -> WrittenImage {
        WrittenImage {
            id: "id".into(),
            digest: None,
            image_id: Some("1".into()),
            manifest_size: 7,
            names: names.iter().map(|(name, result)| ((*name).to_owned(), result.map_err(str::to_owned))).collect(),
        }
    }

    #[test]
    fn reports_every_name() {
        let report = report(written(&[("a", Ok(())), ("b", Ok(()))]), Vec::new()).unwrap();
        assert_eq!((report.tags, report.manifest_size), (vec!["a".to_owned(), "b".to_owned()], 7));
    }

    #[test]
    fn names_that_failed_are_an_error_that_knows_those_that_did_not() {
        let error = report(written(&[("a", Err("x")), ("b", Ok(())), ("c", Err("y"))]), Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "failed to write image to the following tags: [a: x],[c: y]");
        let Error::Tags { report, .. } = error else { panic!("{error:?}") };
        assert_eq!(report.tags, ["b"]);
    }

    #[test]
    fn there_is_nothing_to_report_when_no_name_was_written() {
        let error = report(written(&[("a", Err("x"))]), Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Nowhere(names) if names == "[a: x]"));
    }
}
