//! Sentences of [`GenerateEvent`].

use super::Line;
use crate::effect::events::{GenerateEvent as E, GenerateStep};

/// The lines for an event.
pub(super) fn lines(event: &E) -> Vec<Line> {
    vec![match event {
        E::Extension(extension) => Line::debug(format!("Running generate for extension {extension}")),
        E::ExtensionDone(extension) => Line::debug(format!("Finished running generate for extension {extension}")),
        E::Step(step) => Line::debug(sentence(*step)),
        E::TargetFromHost => Line::info("target distro name/version labels not found, reading /etc/os-release file"),
        E::DockerfileFound(kind) => Line::debug(format!("Found {} for processing", kind.file_name())),
        E::NotRecommended { kind, instruction, line } => {
            Line::warn(format!("{} command {instruction} on line {line} is not recommended", kind.file_name()))
        }
        E::ContextFound { shared, path } => {
            let what = if *shared { "shared extension context" } else { "extension context" };
            Line::debug(format!("found {what} \"{}\"", path.display()))
        }
        E::ContextsFound(count) => Line::debug(format!("Found '{count}' Build Contexts for processing")),
        E::RunImageFound { extension, image } => {
            Line::debug(format!("Found a run.Dockerfile from extension '{extension}' setting run image to '{image}' "))
        }
        E::RunImageUnlisted(image) => Line::warn(format!("new runtime base image '{image}' not found in run metadata")),
        E::RunImageSwitched(image) => Line::debug(format!("Updating analyzed metadata with new run image '{image}'")),
        E::RunImageExtended => Line::debug("Updating analyzed metadata to indicate run image extension"),
        E::Copying { from, to } => Line::debug(format!("Copying {} to {}", from.display(), to.display())),
    }]
}

fn sentence(step: GenerateStep) -> &'static str {
    match step {
        GenerateStep::LookUp => "Looking up extension",
        GenerateStep::FindPlan => "Finding plan",
        GenerateStep::Invoke => "Invoking command",
        GenerateStep::CreatePlan => "Creating plan directory",
        GenerateStep::PreparePaths => "Preparing paths",
        GenerateStep::Run => "Running generate command",
        GenerateStep::ReadOutputs => "Reading output files",
        GenerateStep::CheckRunImage => "Checking run image",
        GenerateStep::CopyDockerfiles => "Copying Dockerfiles",
    }
}
