//! Sentences of [`BuildEvent`].

use super::Line;
use crate::effect::events::{BuildEvent, BuildStep};

/// The lines for an event.
pub(super) fn lines(event: &BuildEvent) -> Vec<Line> {
    vec![match event {
        BuildEvent::Buildpack(buildpack) => Line::debug(format!("Running build for buildpack {buildpack}")),
        BuildEvent::BuildpackDone(buildpack) => {
            Line::debug(format!("Finished running build for buildpack {buildpack}"))
        }
        BuildEvent::Step(step) => Line::debug(sentence(*step)),
        BuildEvent::TargetFromHost => {
            Line::info("target distro name/version labels not found, reading /etc/os-release file")
        }
        // The reference prints the word twice, once of its own and once for the level.
        BuildEvent::WorkingDirIgnored { process } => Line::warn(format!(
            "Warning: process working directory isn't supported in this buildpack api version. Ignoring working \
             directory for process '{process}'"
        )),
        BuildEvent::BomDeprecated => Line::warn(
            "BOM table is deprecated in this buildpack api version, though it remains supported for backwards \
             compatibility. Buildpack authors should write BOM information to <layer>.sbom.<ext>, launch.sbom.<ext>, \
             or build.sbom.<ext>.",
        ),
        BuildEvent::DefaultProcessRedefined { process } => Line::warn(format!(
            "Warning: redefining the following default process type with a process not marked as default: {process}"
        )),
    }]
}

fn sentence(step: BuildStep) -> &'static str {
    match step {
        BuildStep::LookUp => "Looking up buildpack",
        BuildStep::FindPlan => "Finding plan",
        BuildStep::CreatePlan => "Creating plan directory",
        BuildStep::PreparePaths => "Preparing paths",
        BuildStep::Run => "Running build command",
        BuildStep::ProcessLayers => "Processing layers",
        BuildStep::UpdateEnvironment => "Updating environment",
        BuildStep::ReadOutputs => "Reading output files",
        BuildStep::TakeOver => "Updating buildpack processes",
        BuildStep::UpdateProcesses => "Updating process list",
        BuildStep::CopySbom => "Copying SBOM files",
        BuildStep::WriteLegacyBom => "Creating SBOM files for legacy BOM",
        BuildStep::ListProcesses => "Listing processes",
    }
}
