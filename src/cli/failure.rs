//! Why the program ends without success: what is said of it, and what to do about it.
//!
//! One line `failed to <action>: <cause>`, in the reference's words where a client matches them (catalogue 1, section 7;
//! catalogue 2, section 7). `exit` maps each failure to its code.

use super::documents::Fault;
use crate::phase::{analyze, build, detect, export, generate, restore};

/// Every way in which the program fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// `CNB_PLATFORM_API` is missing, no version, or not supported.
    #[error("{0}")]
    PlatformApi(String),
    /// A buildpack or extension asks for an API that is not supported.
    #[error("{0}")]
    BuildpackApi(String),
    /// There is no phase to run.
    #[error("failed to parse arguments")]
    NoPhase,
    /// There is no such phase.
    #[error(
        "failed to recognize phase: {0} \nValid phases: detect, analyze, restore, build, export, rebase, create, extend"
    )]
    UnknownPhase(String),
    /// Too many or too few arguments.
    #[error("failed to parse arguments: {0}")]
    Arguments(String),
    /// An input does not make sense.
    #[error("failed to resolve inputs: {cause}")]
    Inputs {
        /// What is wrong with it.
        cause: String,
        /// What the reader can do.
        hint: Option<String>,
    },
    /// The log level is none.
    #[error("failed to parse log level: {0}")]
    LogLevel(#[from] crate::report::console::LevelError),
    /// An experimental feature without permission.
    #[error("experimental features are disabled by CNB_EXPERIMENTAL_MODE=error")]
    Experimental,
    /// The feature is not part of this version.
    #[error("failed to {action}: {what} is not supported yet")]
    NotSupported {
        /// What was to be done.
        action: &'static str,
        /// What is missing.
        what: String,
    },
    /// Something of the surroundings is in the way: a document, a folder, a user.
    #[error("failed to {action}: {cause}")]
    Setup {
        /// What was to be done.
        action: String,
        /// Why it was not.
        cause: String,
        /// What the reader can do.
        hint: Option<String>,
    },
    /// The analyze phase failed.
    #[error("failed to {}: {}", .0.action(), .0)]
    Analyze(analyze::Error),
    /// The detect phase failed.
    #[error("{}", after(.0.action(), .0))]
    Detect(detect::Error),
    /// The creator detected extensions, which it cannot run.
    #[error("failed to detect: detected order contains extensions which is not supported by the creator")]
    CreatorExtensions,
    /// Generating failed. Its action is the reference's.
    #[error("{}", after(generate_action(.0), .0))]
    Generate(generate::Error),
    /// The restore phase failed.
    #[error("failed to restore: {}", .0)]
    Restore(restore::Error),
    /// The build phase failed.
    #[error("{}", after(build_action(.0), .0))]
    Build(build::Error),
    /// The export phase failed.
    #[error("failed to {}{}", export_action(.0), .0)]
    Export(export::Error),
    /// What the exporter reads or writes around its phase.
    #[error("failed to {action}: {cause}")]
    ExportDocument {
        /// What was to be done.
        action: String,
        /// Why it was not.
        cause: String,
        /// What the reader can do.
        hint: Option<String>,
    },
}

/// `failed to <action>: <error>`, or the error alone where it says all.
fn after(action: Option<&str>, error: &dyn std::fmt::Display) -> String {
    action.map_or_else(|| error.to_string(), |action| format!("failed to {action}: {error}"))
}

fn detect_hint(error: &detect::Error) -> Option<String> {
    let text = match error {
        detect::Error::Init(_) => {
            "Name the folder of the builder's buildpacks with -buildpacks, and only buildpacks in it with -order."
        }
        detect::Error::Other(_) => "Mend the composite buildpack or the order of the builder.",
        detect::Error::Api(_) | detect::Error::NoGroup | detect::Error::BuildpackFailed => return None,
    };
    Some(text.to_owned())
}

fn generate_action(error: &generate::Error) -> Option<&'static str> {
    (!matches!(error, generate::Error::Api(_))).then_some("build")
}

fn generate_hint(error: &generate::Error) -> &'static str {
    match error {
        generate::Error::Extension(_) => {
            "The extension's own output above says why; -log-level debug shows more of the lifecycle's."
        }
        generate::Error::Other(generate::OtherError::Store(_)) => {
            "Name the folder of the builder's extensions with -extensions."
        }
        generate::Error::Other(generate::OtherError::Outputs(error)) if error.is_of_outputs() => {
            "What the extension generates must be mended; the builder's author knows who made the extension."
        }
        generate::Error::Other(_) => "Let the user of this phase write the folder of -generated and of TMPDIR.",
        generate::Error::Api(_) => "Use a version of the extension whose API is 0.7 to 0.13.",
    }
}

fn build_action(error: &build::Error) -> Option<&'static str> {
    (!matches!(error, build::Error::Api(_))).then_some("build")
}

fn export_action(error: &export::Error) -> &'static str {
    match error {
        export::Error::Open(_) => "",
        export::Error::Other(_) | export::Error::Tags { .. } => "export: ",
    }
}

impl From<Fault> for Failure {
    /// A document that an input names.
    fn from(fault: Fault) -> Self {
        Self::Inputs { cause: fault.cause, hint: Some(fault.hint) }
    }
}

impl Failure {
    /// A [`Failure::Setup`] without a hint.
    pub(super) fn setup(action: impl Into<String>, cause: &dyn std::fmt::Display) -> Self {
        Self::Setup { action: action.into(), cause: cause.to_string(), hint: None }
    }

    /// A [`Failure::Setup`] because of a document.
    pub(super) fn document(action: &str, fault: Fault) -> Self {
        Self::Setup { action: action.to_owned(), cause: fault.cause, hint: Some(fault.hint) }
    }

    /// A [`Failure::Inputs`] without a hint.
    pub(super) fn inputs(cause: &dyn std::fmt::Display) -> Self {
        Self::Inputs { cause: cause.to_string(), hint: None }
    }

    /// Refuses what is wanted and not part of this version.
    pub(super) fn refuse(action: &'static str, wanted: bool, what: &str) -> Result<(), Self> {
        if wanted { Err(Self::NotSupported { action, what: what.to_owned() }) } else { Ok(()) }
    }

    /// What the reader can do about it, if there is something to say.
    pub(super) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::PlatformApi(_) => "Set CNB_PLATFORM_API to a version that this lifecycle supports: 0.7 to 0.16.",
            Self::BuildpackApi(_) => "Use a version of the buildpack whose API is 0.7 to 0.13.",
            Self::NoPhase => "Call one of: lifecycle analyze, detect, restore, build, export, create.",
            Self::LogLevel(_) => "Use debug, info, warn, error or fatal.",
            Self::Experimental => "Set CNB_EXPERIMENTAL_MODE=warn to use the feature.",
            Self::NotSupported { .. } => "See the status table in the README of this lifecycle.",
            Self::Setup { hint, .. } | Self::Inputs { hint, .. } | Self::ExportDocument { hint, .. } => {
                return hint.clone();
            }
            Self::Detect(error) => return detect_hint(error),
            Self::CreatorExtensions => "Run the phases one by one, or take a builder without extensions.",
            Self::Generate(error) => generate_hint(error),
            Self::Build(build::Error::Buildpack(_)) => {
                "The buildpack's own output above says why; -log-level debug shows more of the lifecycle's."
            }
            Self::UnknownPhase(_)
            | Self::Arguments(_)
            | Self::Analyze(_)
            | Self::Restore(_)
            | Self::Build(_)
            | Self::Export(_) => return None,
        };
        Some(text.to_owned())
    }
}
