//! What a user hears of the build phase.

use crate::model::order::GroupElement;

/// Something that happened in the build phase.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildEvent {
    /// A buildpack's turn begins.
    Buildpack(GroupElement),
    /// A buildpack's turn is over.
    BuildpackDone(GroupElement),
    /// The next step.
    Step(BuildStep),
    /// The run image says nothing of its distribution, so this system's is taken.
    TargetFromHost,
    /// A buildpack of an early API names a working directory for a process, and that is ignored.
    WorkingDirIgnored {
        /// The type of the process.
        process: String,
    },
    /// A buildpack has `[[bom]]` entries and no SBOM file.
    BomDeprecated,
    /// A process takes the place of the default process and is no default itself, so there is none any more.
    DefaultProcessRedefined {
        /// The type of both processes.
        process: String,
    },
}

/// The steps of the build phase, for who looks for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStep {
    /// Reading the descriptor.
    LookUp,
    /// Choosing the entries of the plan that are the buildpack's.
    FindPlan,
    /// Writing its plan.
    CreatePlan,
    /// Naming its folders to it.
    PreparePaths,
    /// Running bin/build.
    Run,
    /// Reading the layers' files.
    ProcessLayers,
    /// Adding build layers to the environment.
    UpdateEnvironment,
    /// Reading launch.toml, build.toml and SBOM files.
    ReadOutputs,
    /// Taking over what it contributes.
    TakeOver,
    /// Adding its processes to those of others.
    UpdateProcesses,
    /// Copying SBOM files.
    CopySbom,
    /// Writing the SBOM files of the time before.
    WriteLegacyBom,
    /// Sorting processes.
    ListProcesses,
}
