//! Exit codes: the same for every supported Platform API.
//!
//! Clause: platform.md, the exit code tables of the phases; catalogue 1, section 1.7. `spec-fixtures/exit-codes.toml`
//! states them, and a test compares.

use super::failure::Failure;
use crate::phase::{build, detect, export, generate, rebase};

/// Success.
pub(super) const SUCCESS: u8 = 0;
/// Wrong flags.
pub(super) const USAGE: u8 = 2;

/// The exit code of a failure.
pub(super) fn code(failure: &Failure) -> u8 {
    match failure {
        Failure::LogLevel(_)
        | Failure::Experimental
        | Failure::Setup { .. }
        | Failure::RunImageNotAccessible { .. }
        | Failure::Detect(detect::Error::Init(_))
        | Failure::Build(build::Error::TracingFolder(_))
        | Failure::Export(export::Error::Open(_))
        | Failure::Rebase(rebase::Error::RunImage(_) | rebase::Error::ReadRunImage(_)) => 1,
        Failure::NoPhase
        | Failure::UnknownPhase(_)
        | Failure::Arguments(_)
        | Failure::Inputs { .. }
        | Failure::NotSupported { .. } => 3,
        Failure::PlatformApi(_) => 11,
        Failure::BuildpackApi(_)
        | Failure::Detect(detect::Error::Api(_))
        | Failure::Generate(generate::Error::Api(_))
        | Failure::Build(build::Error::Api(_)) => 12,
        Failure::Detect(detect::Error::NoGroup) => 20,
        Failure::Detect(detect::Error::BuildpackFailed) => 21,
        Failure::Detect(detect::Error::Other(_)) | Failure::CreatorExtensions => 22,
        Failure::Analyze(_) => 32,
        Failure::Restore(_) => 42,
        Failure::Build(build::Error::Buildpack(_)) => 51,
        Failure::Build(build::Error::Other(_)) => 52,
        Failure::Export(_) | Failure::ExportDocument { .. } => 62,
        Failure::Rebase(_) | Failure::RebaseReport { .. } => 72,
        Failure::Generate(generate::Error::Extension(_)) => 91,
        Failure::Generate(generate::Error::Other(_)) => 92,
    }
}
