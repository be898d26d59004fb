//! Running bin/detect of all modules of a group at the same time, and of each module once.
//!
//! Clause: buildpack.md#phase-1-detection: "The lifecycle MUST execute each module's detect executable in parallel".

use std::collections::BTreeMap;

use super::order::Candidate;
use crate::buildpack::detect::{Context, Run, detect};
use crate::effect::Effects;
use crate::model::id::ModuleKind;
use crate::model::order::GroupElement;
use crate::model::target::{ModuleTarget, RunTarget};
use crate::phase::parallel;

/// What is known of a module's detection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Recorded {
    /// Its bin/detect ran.
    Ran(Run),
    /// It did not, as the run image's target is none of those that it supports.
    Mismatch { run: RunTarget, supported: Vec<ModuleTarget> },
}

/// Results by module, for the whole phase: a module that is in several groups runs once.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<(ModuleKind, String), Recorded>);

impl Runs {
    /// Runs what has not run yet. A target mismatch is kept in place of what was known, as the reference keeps it.
    pub(super) fn complete(&mut self, effects: &Effects<'_>, context: &Context<'_>, group: &[Candidate]) {
        for candidate in group {
            if let Some(supported) = &candidate.mismatch {
                let mismatch = Recorded::Mismatch { run: context.target.clone(), supported: supported.clone() };
                self.0.insert(key(&candidate.element), mismatch);
            }
        }
        let pending: Vec<&Candidate> =
            group.iter().filter(|candidate| !self.0.contains_key(&key(&candidate.element))).collect();
        let runs = parallel::each(&pending, |candidate| {
            detect(effects, context, &candidate.element, &candidate.descriptor, candidate.api)
        });
        for (candidate, run) in pending.iter().zip(runs) {
            self.0.insert(key(&candidate.element), Recorded::Ran(run));
        }
    }

    /// Finds what is known of a module.
    pub(super) fn get(&self, element: &GroupElement) -> Option<&Recorded> {
        self.0.get(&key(element))
    }
}

fn key(element: &GroupElement) -> (ModuleKind, String) {
    (element.kind, element.to_string())
}
