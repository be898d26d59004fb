//! DETECT: which buildpacks take part, and what they agreed on.
//!
//! Clause: buildpack.md#phase-1-detection, platform.md#detector; catalogue 1, section 3.

mod combinations;
mod eligible;
#[cfg(test)]
mod fixtures;
mod order;
mod plan;
mod runs;
mod system;
mod trial;
mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use self::order::{Admission, Candidate, Ground, Stop};
use self::runs::Runs;
use crate::api::{DeprecationMode, PlatformApi, PlatformFeature};
use crate::buildpack::api::{self, ApiError, negotiate};
use crate::buildpack::detect::Context;
use crate::buildpack::store::{Store, StoreError};
use crate::effect::Effects;
use crate::effect::events::{DetectEvent, Events, Facts, Ongoing, Outcome, Transcript, Work, WorkId};
use crate::model::descriptor::Descriptor;
use crate::model::env::Environment;
use crate::model::id::ModuleKind;
use crate::model::order::{Group, GroupElement, Order, SystemBuildpacks};
use crate::model::plan::Plan;
use crate::model::target::{ModuleTarget, RunTarget};

/// What the detect phase works on.
pub struct Inputs {
    /// The Platform API.
    pub api: PlatformApi,
    /// What becomes of modules with a deprecated Buildpack API.
    pub deprecation: DeprecationMode,
    /// Groups to try.
    pub order: Order,
    /// Buildpacks around each group; ignored below Platform API 0.15.
    pub system: SystemBuildpacks,
    /// Where buildpacks and extensions are.
    pub store: Store,
    /// The app directory.
    pub app_dir: PathBuf,
    /// The platform directory.
    pub platform_dir: PathBuf,
    /// The operator's build configuration.
    pub build_config_dir: PathBuf,
    /// The execution environment; empty turns filtering off.
    pub exec_env: String,
    /// The run image's target; `None` when analyzed.toml has none.
    pub target: Option<RunTarget>,
    /// The target of this very system, from /etc/os-release and the architecture, where the run image's is not known.
    pub host_target: RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: Environment,
    /// A folder for build plans while programs write them; each phase makes and removes its own below it.
    pub temp_dir: PathBuf,
}

/// What detection chose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// group.toml.
    pub group: Group,
    /// plan.toml.
    pub plan: Plan,
}

/// Why detection failed. The text is what stands behind `failed to <action>: `, see [`Error::action`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A module declares a Buildpack API version that is not supported. Exit code 12.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A module that the order itself names cannot be read. Exit code 1.
    #[error(transparent)]
    Init(StoreError),
    /// No group passed; no program failed otherwise. Exit code 20.
    #[error("no buildpacks participating")]
    NoGroup,
    /// No group passed, and some program failed otherwise. Exit code 21.
    #[error("buildpack(s) failed with err")]
    BuildpackFailed,
    /// The order cannot be resolved. Exit code 22.
    #[error(transparent)]
    Other(Unresolvable),
}

/// Why an order cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Unresolvable {
    /// A module inside a composite cannot be read.
    #[error(transparent)]
    Module(StoreError),
    /// Composites contain each other without end: the way from one back to itself.
    #[error("composite buildpacks contain each other: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
}

impl Error {
    /// What the phase failed to do, for `failed to <action>: <error>`; `None` where the text already says so.
    pub fn action(&self) -> Option<&'static str> {
        match self {
            Self::Api(_) => None,
            Self::Init(_) => Some("initialize detector"),
            Self::NoGroup | Self::BuildpackFailed | Self::Other(_) => Some("detect"),
        }
    }
}

/// Chooses the first group whose required modules pass and whose plan resolves.
///
/// # Errors
/// See [`Error`].
pub fn detect(effects: &Effects<'_>, inputs: &Inputs) -> Result<Outputs, Error> {
    let work = effects.begin(Work::ResolveOrder);
    let mut detection = Detection::new(effects, inputs, work.id());
    let order = detection.whole_order();
    let result = detection.verify(&order).and_then(|()| {
        order::search(&mut detection, &order).map_err(|stop| match stop {
            Stop::NotDetected => Error::NoGroup,
            Stop::BuildpackFailed => Error::BuildpackFailed,
            Stop::Abort(error) => error,
        })
    });
    let forced = result.is_err();
    for entry in detection.transcript {
        effects.emit(DetectEvent::Transcript { forced, entry });
    }
    let outcome = match &result {
        Ok(_) => Outcome::Success,
        Err(Error::NoGroup) => Outcome::Skip,
        Err(Error::BuildpackFailed) => Outcome::Failure,
        Err(Error::Api(_) | Error::Init(_) | Error::Other(_)) => Outcome::Error,
    };
    work.end(outcome, Facts::default());
    if let Err(error @ (Error::NoGroup | Error::BuildpackFailed)) = &result {
        effects.emit(DetectEvent::NoGroupPassed { check_path: matches!(error, Error::NoGroup) });
    }
    result
}

/// Checks what detection checks before it runs anything, for who has more to check behind it: that every module the
/// order names is there and its API supported.
///
/// # Errors
/// One is not.
pub fn verify(inputs: &Inputs, events: &dyn Events) -> Result<(), Error> {
    elements(&inputs.order).try_for_each(|element| {
        let descriptor = inputs.store.descriptor(element.kind, &element.id, &element.version).map_err(Error::Init)?;
        Ok(api::verify(element, &descriptor.api, inputs.deprecation, events)?)
    })
}

fn elements(order: &Order) -> impl Iterator<Item = &GroupElement> {
    order.buildpacks.iter().chain(&order.extensions).flat_map(|group| &group.elements)
}

/// The phase while it goes on.
struct Detection<'a> {
    effects: &'a Effects<'a>,
    inputs: &'a Inputs,
    /// Searching the order: plan resolution is a part of it.
    work: WorkId,
    target: RunTarget,
    host_distro_told: bool,
    descriptors: BTreeMap<(ModuleKind, String), Arc<Descriptor>>,
    runs: Runs,
    transcript: Vec<Transcript>,
}

impl<'a> Detection<'a> {
    fn new(effects: &'a Effects<'a>, inputs: &'a Inputs, work: WorkId) -> Self {
        Self {
            effects,
            inputs,
            work,
            target: RunTarget::completed(inputs.target.as_ref(), &inputs.host_target),
            host_distro_told: inputs.target.as_ref().is_some_and(|target| target.distro.is_some()),
            descriptors: BTreeMap::new(),
            runs: Runs::default(),
            transcript: Vec::new(),
        }
    }

    /// The order with the buildpacks of the system.
    fn whole_order(&self) -> Order {
        let order = self.inputs.order.clone();
        if !self.inputs.api.has(PlatformFeature::SystemBuildpacks) {
            return order;
        }
        let merge = |group| {
            let merged = system::merge(group, &self.inputs.system);
            if merged.prepended > 0 {
                self.effects.emit(DetectEvent::SystemPrepended(merged.prepended));
            }
            if merged.appended > 0 {
                self.effects.emit(DetectEvent::SystemAppended(merged.appended));
            }
            merged.group
        };
        Order { buildpacks: order.buildpacks.iter().map(merge).collect(), ..order }
    }

    /// Checks, before anything runs, that every module the order names is there and its API supported.
    fn verify(&mut self, order: &Order) -> Result<(), Error> {
        elements(order).try_for_each(|element| {
            let descriptor = self.read(element).map_err(Error::Init)?;
            Ok(api::verify(element, &descriptor.api, self.inputs.deprecation, self.effects.events)?)
        })
    }

    fn read(&mut self, element: &GroupElement) -> Result<Arc<Descriptor>, StoreError> {
        let key = (element.kind, element.to_string());
        if let Some(descriptor) = self.descriptors.get(&key) {
            return Ok(Arc::clone(descriptor));
        }
        let descriptor = Arc::new(self.inputs.store.descriptor(element.kind, &element.id, &element.version)?);
        self.descriptors.insert(key, Arc::clone(&descriptor));
        Ok(descriptor)
    }

    /// Says whether one of the targets is that of the run image; no target is any target.
    fn matches(&self, targets: &[ModuleTarget]) -> bool {
        targets.is_empty()
            || targets.iter().any(|target| {
                self.effects.emit(DetectEvent::TargetCompared(target.clone()));
                target.is_satisfied_by(&self.target)
            })
    }
}

impl Ground for Detection<'_> {
    fn descriptor(&mut self, element: &GroupElement) -> Result<Arc<Descriptor>, Error> {
        self.read(element).map_err(|error| Error::Other(Unresolvable::Module(error)))
    }

    fn admit(&mut self, element: &GroupElement, descriptor: &Arc<Descriptor>) -> Result<Admission, Error> {
        let api = negotiate(element, &descriptor.api)?;
        if !self.host_distro_told {
            self.host_distro_told = true;
            self.effects.emit(DetectEvent::HostDistro);
        }
        if self.inputs.api.has(PlatformFeature::TargetChecks) {
            let supported = eligible::targets(descriptor, api, |file| descriptor.root.join(file).exists());
            // An optional module runs all the same, as in the reference (policy P17).
            if !self.matches(&supported) && !element.optional {
                return Ok(Admission::Mismatch(api, supported));
            }
        }
        let current = &self.inputs.exec_env;
        if self.inputs.api.has(PlatformFeature::ExecEnv)
            && !current.is_empty()
            && !eligible::supports_exec_env(descriptor, api, current)
        {
            self.effects.emit(DetectEvent::ExecEnvSkipped {
                module: element.clone(),
                current: current.clone(),
                supported: descriptor.exec_env.clone(),
            });
            return Ok(Admission::LeftOut);
        }
        Ok(Admission::Runs(api))
    }

    fn judge(&mut self, group: &[Candidate]) -> Result<Outputs, Stop> {
        let context = Context {
            app_dir: &self.inputs.app_dir,
            platform_dir: &self.inputs.platform_dir,
            build_config_dir: &self.inputs.build_config_dir,
            exec_env: &self.inputs.exec_env,
            target: &self.target,
            env: &self.inputs.env,
            temp_dir: &self.inputs.temp_dir,
        };
        self.runs.complete(self.effects, &context, group);
        let results: Vec<_> = group
            .iter()
            .filter_map(|candidate| self.runs.get(&candidate.element).map(|recorded| (&candidate.element, recorded)))
            .collect();
        let passed = verdict::judge(&results, &mut self.transcript)?;
        let work = Ongoing::begin(self.effects.events, Some(self.work), Work::ResolvePlan);
        let Some(agreement) = plan::resolve(&passed, &mut self.transcript) else {
            work.end(Outcome::Failure, Facts::default());
            return Err(Stop::NotDetected);
        };
        work.end(Outcome::Success, Facts::default());
        tell_group(&agreement.modules, group.len(), &mut self.transcript);
        let (buildpacks, extensions) = agreement
            .modules
            .into_iter()
            .map(|module| GroupElement { optional: false, ..module })
            .partition(|module| module.kind == ModuleKind::Buildpack);
        Ok(Outputs { group: Group { buildpacks, extensions }, plan: agreement.plan })
    }
}

/// Tells which modules of a group take part.
fn tell_group(chosen: &[GroupElement], of: usize, transcript: &mut Vec<Transcript>) {
    if chosen.len() != of {
        transcript.push(Transcript::Participating { chosen: chosen.len(), of });
    }
    transcript.push(Transcript::Chosen(chosen.to_vec()));
}
