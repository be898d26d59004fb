//! Why the program ends without success: what is said of it, and what to do about it.
//!
//! One line `failed to <action>: <cause>`, in the reference's words where a client matches them (catalogue 1, section 7;
//! catalogue 2, section 7). `exit` maps each failure to its code.

use super::documents::Fault;
use crate::buildpack::build::BuildError;
use crate::effect::events::{Event, SessionEvent};
use crate::effect::images::ImageError;
use crate::model::reference::ReferenceError;
use crate::phase::{analyze, build, detect, export, generate, rebase, restore};

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
    /// The run image that was analyzed cannot be read, from Platform API 0.14 on. The reference names no action here.
    #[error("selected run image '{name}' is not accessible")]
    RunImageNotAccessible {
        /// Its name.
        name: String,
        /// What the reader can do.
        hint: String,
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
    /// The rebase failed.
    #[error("{0}")]
    Rebase(rebase::Error),
    /// The image was rebased, and that cannot be reported.
    #[error("failed to write rebase report: {cause}")]
    RebaseReport {
        /// Why not.
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
        detect::Error::BuildpackFailed => "Mend what is said above of each buildpack that could not tell.",
        // The one is for `Failure::hint`; of the other the phase has said it.
        detect::Error::Api(_) | detect::Error::NoGroup => return None,
    };
    Some(text.to_owned())
}

fn image_hint(error: &ImageError) -> &'static str {
    // A layout's file or a daemon's socket; a registry says it in other words.
    if error.message.ends_with(": permission denied") {
        "Let the user of this phase read and write it."
    } else if error.denied {
        "Give this phase the credentials of the registry (CNB_REGISTRY_AUTH, or docker's config.json)."
    } else if error.retryable {
        "Try again when the registry answers; if it never does, name an image that this phase can reach."
    } else {
        "Name an image that this phase can reach and read."
    }
}

fn analyze_hint(error: &analyze::Error) -> Option<String> {
    use analyze::Error as E;
    let text = match error {
        E::ReadAccess { source, .. }
        | E::WriteAccess { source, .. }
        | E::PreviousImage(source)
        | E::RunImage(source) => image_hint(source),
        E::RunImageCorrupt { .. } | E::NoOperatingSystem => "Make the run image anew, or name another with -run-image.",
        E::Sbom(_) => "Leave the previous image's SBOM out with -skip-layers, or name another with -previous-image.",
        // The error itself says it.
        E::RunImageMissing(_) => return None,
    };
    Some(text.to_owned())
}

fn build_hint(error: &build::Error) -> Option<String> {
    use build::{Error as E, OtherError as Other};
    let text = match error {
        E::Buildpack(BuildError::Exit(_)) => {
            "The buildpack's own output above says why; -log-level debug shows more of the lifecycle's."
        }
        E::Buildpack(_) => "Give the buildpack a bin/build that can be executed, and name the app's folder with -app.",
        E::Other(Other::Store(_)) => "Name the folder of the builder's buildpacks with -buildpacks.",
        E::Other(Other::Outputs(BuildError::Environment(_))) => "Mend the file, or let the user of this phase read it.",
        E::Other(Other::CleanSbom(_) | Other::LegacyBom { .. } | Other::Outputs(BuildError::Io { .. })) => {
            "Let the user of this phase write the folders of -layers and of TMPDIR."
        }
        E::Other(Other::Outputs(_) | Other::Sbom(_)) => {
            "What the buildpack left must be mended; the builder's author knows who made the buildpack."
        }
        // The one is for `Failure::hint`; the other says it itself.
        E::Api(_) | E::TracingFolder(_) => return None,
    };
    Some(text.to_owned())
}

fn export_hint(error: &export::Error) -> Option<String> {
    use export::Error as E;
    let text = match error {
        E::Open(_) => {
            "Analyze again with images that are there, and give this phase what the analyzer had to read them."
        }
        E::Save(error) if error.denied || error.retryable => image_hint(error),
        E::Save(_) | E::Other(_) => "Mend what this names, or let the user of this phase read and write it.",
        E::Nowhere(_) => {
            "Let this phase write the images that this names; in a registry, give it credentials (CNB_REGISTRY_AUTH, or \
             docker's config.json)."
        }
        E::Tags { .. } => "Let this phase write the images that this names; the others are written.",
        // The error itself says it.
        E::Refused(_) => return None,
    };
    Some(text.to_owned())
}

fn rebase_hint(error: &rebase::Error) -> Option<String> {
    use rebase::Error as E;
    let text = match error {
        E::App(_) => {
            "Name an image that a lifecycle built and that this phase can read, and its new run image with -run-image."
        }
        E::ReadApp(error) | E::ReadRunImage(error) => image_hint(error),
        E::RunImage(_) => "Name a run image that is there and that this phase can read, with -run-image.",
        E::Other(_) => "Build the app anew if no run image can be named that fits it.",
        E::Tags { .. } => "Let this phase write the images that this names; the others are written.",
        // The error itself says it.
        E::Misfit(_) => return None,
    };
    Some(text.to_owned())
}

/// A full disk is never a matter of who may write.
fn space_hint(text: &str) -> Option<String> {
    let full = ["no space left on device", "disk quota exceeded"].iter().any(|full| text.contains(full));
    full.then(|| "Free space there, or choose another place with a flag or a variable.".to_owned())
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
        generate::Error::Other(generate::OtherError::SameFolder(..)) => {
            "Leave one of the two extensions out of the order: '/' becomes '_' in the names of their folders."
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
        _ => "export: ",
    }
}

impl From<Fault> for Failure {
    /// A document that an input names.
    fn from(fault: Fault) -> Self {
        Self::Inputs { cause: fault.text(), hint: Some(fault.hint) }
    }
}

impl Failure {
    /// A [`Failure::Setup`] without a hint.
    pub(super) fn setup(action: impl Into<String>, cause: &dyn std::fmt::Display) -> Self {
        Self::Setup { action: action.into(), cause: cause.to_string(), hint: None }
    }

    /// A [`Failure::Setup`] because of a document that something else needs.
    pub(super) fn document(action: &str, fault: Fault) -> Self {
        Self::Setup { action: action.to_owned(), cause: fault.text(), hint: Some(fault.hint) }
    }

    /// The same because of a document alone.
    pub(super) fn fault(fault: Fault) -> Self {
        Self::Setup { action: fault.action, cause: fault.cause, hint: Some(fault.hint) }
    }

    /// A [`Failure::Inputs`] without a hint.
    pub(super) fn inputs(cause: &dyn std::fmt::Display) -> Self {
        Self::Inputs { cause: cause.to_string(), hint: None }
    }

    /// An image name that is none.
    pub(super) fn reference(error: &ReferenceError) -> Self {
        let hint = "Name images as <registry>/<repository>:<tag>; repositories are in lower case.".to_owned();
        Self::Inputs { cause: error.to_string(), hint: Some(hint) }
    }

    /// Refuses what is wanted and not part of this version.
    pub(super) fn refuse(action: &'static str, wanted: bool, what: &str) -> Result<(), Self> {
        if wanted { Err(Self::NotSupported { action, what: what.to_owned() }) } else { Ok(()) }
    }

    /// What is told of it: the line for the reader, and what to do.
    pub(super) fn events(&self) -> Vec<Event> {
        let hint = self.hint().map(SessionEvent::Hint);
        [Some(SessionEvent::Failed(self.to_string())), hint].into_iter().flatten().map(Event::from).collect()
    }

    /// What the reader can do about it, if there is something to say.
    fn hint(&self) -> Option<String> {
        space_hint(&self.to_string()).or_else(|| self.own_hint())
    }

    fn own_hint(&self) -> Option<String> {
        let text = match self {
            Self::PlatformApi(_) => "Set CNB_PLATFORM_API to a version that this lifecycle supports: 0.7 to 0.16.",
            Self::BuildpackApi(_) | Self::Detect(detect::Error::Api(_)) | Self::Build(build::Error::Api(_)) => {
                "Use a version of the buildpack whose API is 0.7 to 0.13."
            }
            Self::NoPhase => "Call one of: lifecycle analyze, detect, restore, build, export, create, rebase.",
            Self::LogLevel(_) => "Use debug, info, warn, error or fatal.",
            Self::Experimental => "Set CNB_EXPERIMENTAL_MODE=warn to use the feature.",
            Self::NotSupported { .. } => "See the status table in the README of this lifecycle.",
            Self::Setup { hint, .. }
            | Self::Inputs { hint, .. }
            | Self::ExportDocument { hint, .. }
            | Self::RebaseReport { hint, .. } => return hint.clone(),
            Self::RunImageNotAccessible { hint, .. } => hint,
            Self::Detect(error) => return detect_hint(error),
            Self::CreatorExtensions => "Run the phases one by one, or take a builder without extensions.",
            Self::Generate(error) => generate_hint(error),
            Self::Arguments(_) => "Flags come first, each as -name=value; -h lists them.",
            Self::Analyze(error) => return analyze_hint(error),
            Self::Restore(_) => "Let the user of this phase write the folder of -layers, or use -skip-layers.",
            Self::Build(error) => return build_hint(error),
            Self::Export(error) => return export_hint(error),
            Self::Rebase(error) => return rebase_hint(error),
            // It lists the phases.
            Self::UnknownPhase(_) => return None,
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::processes::{Exit, StartError};

    #[test]
    fn a_full_disk_asks_for_space_and_not_for_permission() {
        let full = Failure::Setup {
            action: "write group file".into(),
            cause: "open /layers/group.toml: no space left on device".into(),
            hint: Some("Let the user of this phase write there.".into()),
        };
        assert!(full.hint().unwrap().starts_with("Free space"));
    }

    #[test]
    fn only_a_program_that_ran_is_blamed_by_its_output() {
        let hint = |error| Failure::Build(build::Error::Buildpack(error)).hint().unwrap();
        assert!(hint(BuildError::Exit(Exit::Code(3))).contains("output above"));
        assert!(hint(BuildError::Start(StartError("fork/exec /x: permission denied".into()))).contains("executed"));
    }

    #[test]
    fn an_export_hints_at_what_helps() {
        let hint = |error| Failure::Export(error).hint();
        assert_eq!(hint(export::Error::Refused("tried to set x to default but it doesn't exist".into())), None);
        let denied = ImageError { message: "401 Unauthorized".into(), retryable: false, denied: true };
        assert!(hint(export::Error::Save(denied)).unwrap().contains("CNB_REGISTRY_AUTH"));
        assert!(hint(export::Error::Other("open /layers/x: permission denied".into())).unwrap().starts_with("Mend"));
    }

    #[test]
    fn a_refused_image_asks_for_credentials_and_a_silent_registry_for_patience() {
        let hint = |message: &str, denied, retryable| {
            let source = ImageError { message: message.into(), retryable, denied };
            Failure::Analyze(analyze::Error::ReadAccess { name: "a/b".into(), source }).hint().unwrap()
        };
        assert!(hint("no", true, false).contains("CNB_REGISTRY_AUTH"));
        assert!(!hint("no", false, false).contains("CNB_REGISTRY_AUTH"));
        assert!(hint("no", false, true).starts_with("Try again"));
        assert!(hint("open /layout/index.json: permission denied", true, false).starts_with("Let the user"));
    }
}
