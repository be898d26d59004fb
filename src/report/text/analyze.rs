//! Sentences of [`AnalyzeEvent`]. Catalogue 1, section 2.2.

use serde_json::json;

use super::Line;
use super::target::target_json;
use crate::effect::events::AnalyzeEvent;
use crate::model::analyzed::AnalyzedRunImage;

/// The lines for an event.
pub(super) fn lines(event: &AnalyzeEvent) -> Vec<Line> {
    match event {
        AnalyzeEvent::ImageNotFound(name) => vec![Line::info(format!("Image with name \"{name}\" not found"))],
        AnalyzeEvent::ImageFound(identifier) => {
            vec![Line::debug(format!("Found image with identifier \"{identifier}\""))]
        }
        AnalyzeEvent::PreviousImageCorrupt { name, reason } => vec![
            Line::info(format!("Ignoring image \"{name}\" because it was corrupt")),
            Line::debug(format!("Image \"{name}\" is corrupt: {reason}")),
        ],
        AnalyzeEvent::SbomRestored => vec![Line::info("Restoring data for SBOM from previous image")],
        AnalyzeEvent::SbomSkipped(reason) => {
            vec![Line::warn(format!("Skipping restore of SBOM files from previous image: {reason}"))]
        }
        AnalyzeEvent::RunImage(run_image) => run_image_lines(run_image).to_vec(),
    }
}

/// The lines for what analyzed.toml will say of the run image.
pub(super) fn run_image_lines(run_image: &AnalyzedRunImage) -> [Line; 2] {
    [Line::debug("Run image info in analyzed metadata is: "), Line::debug(run_image_json(run_image))]
}

pub(super) fn run_image_json(run_image: &AnalyzedRunImage) -> String {
    let mut json = json!({ "Reference": run_image.reference, "Image": run_image.image, "Extend": run_image.extend });
    if let Some(target) = &run_image.target {
        json["target"] = target_json(target);
    }
    json.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::target::RunTarget;

    #[test]
    fn says_what_the_reference_says() {
        let target = RunTarget { os: "linux".into(), arch: "amd64".into(), ..RunTarget::default() };
        let run_image = AnalyzedRunImage {
            reference: "a.io/run@sha256:12".into(),
            image: "a.io/run".into(),
            extend: false,
            target: Some(target),
        };
        for (event, expected) in [
            (
                AnalyzeEvent::ImageNotFound("a.io/app".into()),
                vec![Line::info("Image with name \"a.io/app\" not found")],
            ),
            (AnalyzeEvent::ImageFound("id".into()), vec![Line::debug("Found image with identifier \"id\"")]),
            (AnalyzeEvent::SbomRestored, vec![Line::info("Restoring data for SBOM from previous image")]),
            (
                AnalyzeEvent::RunImage(run_image),
                vec![
                    Line::debug("Run image info in analyzed metadata is: "),
                    Line::debug(
                        r#"{"Reference":"a.io/run@sha256:12","Image":"a.io/run","Extend":false,"target":{"os":"linux","arch":"amd64"}}"#,
                    ),
                ],
            ),
        ] {
            assert_eq!(lines(&event), expected);
        }
    }
}
