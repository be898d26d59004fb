//! What a user hears of the detect phase.

use std::sync::Arc;

use crate::model::order::GroupElement;
use crate::model::target::{ModuleTarget, RunTarget};

/// Something that happened in the detect phase.
#[derive(Clone, Debug, PartialEq)]
pub enum DetectEvent {
    /// Buildpacks of system.toml were put in front of a group of the order.
    SystemPrepended(usize),
    /// Buildpacks of system.toml were put behind a group of the order.
    SystemAppended(usize),
    /// The run image names no distribution, so that of this system counts. Told once.
    HostDistro,
    /// A target that a module supports is compared with that of the run image.
    TargetCompared(ModuleTarget),
    /// A module does not support the execution environment and is left out of its group.
    ExecEnvSkipped {
        /// The module.
        module: GroupElement,
        /// The execution environment of this build.
        current: String,
        /// Those that the module supports.
        supported: Vec<String>,
    },
    /// What happened in the trial of groups, told when all is known.
    Transcript {
        /// Detection failed: the user sees all of it, whatever level was asked for.
        forced: bool,
        /// What happened.
        entry: Transcript,
    },
    /// No group passed.
    NoGroupPassed {
        /// No program failed, so the app directory may be the wrong one.
        check_path: bool,
    },
}

/// An entry of the transcript of detection.
#[derive(Clone, Debug, PartialEq)]
pub enum Transcript {
    /// What a bin/detect printed.
    Output {
        /// Its module.
        module: GroupElement,
        /// It neither passed nor opted out.
        erred: bool,
        /// The bytes, both streams as one; the same module may be in many groups.
        output: Arc<[u8]>,
    },
    /// Why a bin/detect counts as failed, besides its exit code.
    Error {
        /// Its module.
        module: GroupElement,
        /// Why.
        cause: String,
    },
    /// A module that the group cannot do without does not support the run image's target.
    TargetMismatch {
        /// The module.
        module: GroupElement,
        /// The run image's target.
        run: RunTarget,
        /// The targets that the module supports.
        supported: Vec<ModuleTarget>,
    },
    /// The results of a group's modules follow.
    Results,
    /// A module passed.
    Pass(GroupElement),
    /// A module opted out.
    OptedOut(GroupElement),
    /// A module could not decide; the exit code, if there was one.
    Erred(GroupElement, Option<i32>),
    /// No buildpack is left in the group.
    NoViableBuildpacks,
    /// A combination of build plans is tried; counted from 1 in each group.
    PlanTried(u64),
    /// Nobody provides, in time, what a module requires.
    Unprovided {
        /// The module; when it is optional the group goes on without it.
        module: GroupElement,
        /// What it requires.
        dependency: String,
    },
    /// Nobody requires, later, what a module provides.
    Unused {
        /// The module; when it is optional the group goes on without it.
        module: GroupElement,
        /// What it provides.
        dependency: String,
    },
    /// Not every module of the group takes part.
    Participating {
        /// How many do.
        chosen: usize,
        /// How many there are.
        of: usize,
    },
    /// The modules that take part, in order.
    Chosen(Vec<GroupElement>),
}
