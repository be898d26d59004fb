//! What a user hears of generating: the part of the detect phase in which extensions write their Dockerfiles.

use std::path::PathBuf;

use crate::model::dockerfile::DockerfileKind;
use crate::model::id::ModuleId;
use crate::model::order::GroupElement;

/// Something that happened while extensions generate.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerateEvent {
    /// An extension's turn begins.
    Extension(GroupElement),
    /// An extension's turn is over.
    ExtensionDone(GroupElement),
    /// The next step.
    Step(GenerateStep),
    /// The run image says nothing of its distribution, so this system's is taken.
    TargetFromHost,
    /// An extension has a Dockerfile, and it is sound.
    DockerfileFound(DockerfileKind),
    /// A Dockerfile has an instruction that extensions should not use.
    NotRecommended {
        /// The file.
        kind: DockerfileKind,
        /// The instruction's name in capitals.
        instruction: &'static str,
        /// Its line, from 1.
        line: usize,
    },
    /// An extension has a folder for the builds of its Dockerfiles.
    ContextFound {
        /// It is for both images.
        shared: bool,
        /// The folder.
        path: PathBuf,
    },
    /// How many such folders an extension has.
    ContextsFound(usize),
    /// The last run.Dockerfile that has a base of its own.
    RunImageFound {
        /// Its extension.
        extension: ModuleId,
        /// The base.
        image: String,
    },
    /// The new run image is not in run.toml.
    RunImageUnlisted(String),
    /// The run image of analyzed.toml is another one now.
    RunImageSwitched(String),
    /// The run image of analyzed.toml will be extended.
    RunImageExtended,
    /// A Dockerfile is copied to where the extender looks for it.
    Copying {
        /// From where.
        from: PathBuf,
        /// To where.
        to: PathBuf,
    },
}

/// The steps of generating, for who looks for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerateStep {
    /// Reading the descriptor.
    LookUp,
    /// Choosing the entries of the plan that are the extension's.
    FindPlan,
    /// Running the extension, in all its steps.
    Invoke,
    /// Making the folder for its plan.
    CreatePlan,
    /// Making its output folder and writing its plan.
    PreparePaths,
    /// Running bin/generate.
    Run,
    /// Reading what it wrote.
    ReadOutputs,
    /// Choosing the run image.
    CheckRunImage,
    /// Putting Dockerfiles where the extender looks for them.
    CopyDockerfiles,
}
