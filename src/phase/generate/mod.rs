//! GENERATE: extensions write Dockerfiles, and choose what the app runs on. The detector does it when extensions take
//! part.
//!
//! Clause: image_extension.md#phase-2-generation, platform.md#detector; catalogue 1, section 3.9; catalogue
//! extend-launch-package, sections A3 to A5.

mod place;
mod run_image;

use std::path::PathBuf;

use self::place::PlaceError;
use self::run_image::Choice;
use super::run_image as names;
use crate::api::{DeprecationMode, PlatformApi, PlatformFeature};
use crate::buildpack::api::{ApiError, negotiate, verify};
use crate::buildpack::generate::{self as extension, Context, GenerateError, Generated};
use crate::buildpack::store::{Store, StoreError};
use crate::effect::Effects;
use crate::effect::events::{GenerateEvent, GenerateStep};
use crate::model::analyzed::AnalyzedRunImage;
use crate::model::env::Environment;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::order::GroupElement;
use crate::model::plan::{Plan, Require};
use crate::model::run_image::RunImages;
use crate::model::target::RunTarget;
use crate::os::error_text;

/// What generating works on.
pub struct Inputs {
    /// The Platform API.
    pub api: PlatformApi,
    /// What becomes of extensions with a deprecated Buildpack API.
    pub deprecation: DeprecationMode,
    /// The extensions of the group that detection chose.
    pub extensions: Vec<GroupElement>,
    /// The plan that detection agreed on.
    pub plan: Plan,
    /// The run image of analyzed.toml.
    pub run_image: Option<AnalyzedRunImage>,
    /// run.toml; empty if there is none.
    pub run_images: RunImages,
    /// Where extensions are.
    pub store: Store,
    /// The app directory.
    pub app_dir: PathBuf,
    /// The platform directory.
    pub platform_dir: PathBuf,
    /// The operator's build configuration.
    pub build_config_dir: PathBuf,
    /// Where Dockerfiles are put for the extender.
    pub generated_dir: PathBuf,
    /// The target of this very system, where the run image's is not known.
    pub host_target: RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: Environment,
    /// A folder for plans while programs read them; each extension's is made and removed below it.
    pub temp_dir: PathBuf,
}

/// What extensions decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// The run image for analyzed.toml.
    pub run_image: Option<AnalyzedRunImage>,
    /// The plan without what extensions meet.
    pub plan: Plan,
}

/// Why generating failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An extension asks for an API version that is not served. Exit code 12; the text is the whole message.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A bin/generate could not be run or said no. Exit code 91.
    #[error("{0}")]
    Extension(GenerateError),
    /// Anything else. Exit code 92.
    #[error(transparent)]
    Other(#[from] OtherError),
}

/// What can go wrong beside the programs of extensions.
#[derive(Debug, thiserror::Error)]
pub enum OtherError {
    /// A descriptor cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What an extension left is wrong.
    #[error(transparent)]
    Outputs(GenerateError),
    /// Two extensions would write into the same folder, for the extender too.
    #[error("extensions '{0}' and '{1}' have the same folder '{folder}' for what they generate", folder = .0.escaped())]
    SameFolder(ModuleId, ModuleId),
    /// The folder for outputs cannot be made.
    #[error("mkdir {}: {}", path.display(), error_text(source))]
    Scratch {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Dockerfiles cannot be put in their place.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// Runs bin/generate of each extension in order, chooses the run image, and puts Dockerfiles where the extender looks
/// for them.
///
/// # Errors
/// See [`Error`]; the first error ends it.
pub fn generate(effects: &Effects<'_>, inputs: &Inputs) -> Result<Outputs, Error> {
    for (index, element) in inputs.extensions.iter().enumerate() {
        verify(element, &element.api, inputs.deprecation, effects.events)?;
        let escaped = element.id.escaped();
        if let Some(other) = inputs.extensions[..index].iter().find(|other| other.id.escaped() == escaped) {
            return Err(OtherError::SameFolder(other.id.clone(), element.id.clone()).into());
        }
    }
    let found = inputs.run_image.as_ref().and_then(|image| image.target.as_ref());
    if found.is_none_or(|target| target.distro.is_none()) {
        effects.emit(GenerateEvent::TargetFromHost);
    }
    let target = RunTarget::completed(found, &inputs.host_target);
    let context = Context {
        app_dir: &inputs.app_dir,
        platform_dir: &inputs.platform_dir,
        build_config_dir: &inputs.build_config_dir,
        target: &target,
        env: &inputs.env,
        temp_dir: &inputs.temp_dir,
    };
    let in_place = inputs.api.has(PlatformFeature::GeneratedByExtension);
    let scratch = if in_place { None } else { Some(scratch(inputs)?) };
    let output_dir = scratch.as_ref().map_or(inputs.generated_dir.as_path(), tempfile::TempDir::path);

    let mut plan = inputs.plan.clone();
    let mut outputs: Vec<(ModuleId, Generated)> = Vec::new();
    for element in &inputs.extensions {
        effects.emit(GenerateEvent::Extension(element.clone()));
        effects.emit(GenerateEvent::Step(GenerateStep::LookUp));
        let descriptor =
            inputs.store.descriptor(ModuleKind::Extension, &element.id, &element.version).map_err(OtherError::from)?;
        let api = negotiate(element, &descriptor.api)?;
        effects.emit(GenerateEvent::Step(GenerateStep::FindPlan));
        let requires = requires_for(&plan, &element.id);
        effects.emit(GenerateEvent::Step(GenerateStep::Invoke));
        let output = output_dir.join(element.id.escaped());
        let generated = extension::generate(effects, context, &descriptor, api, &requires, &output).map_err(
            |error| match error {
                error if error.is_of_program() => Error::Extension(error),
                error => OtherError::Outputs(error).into(),
            },
        )?;
        outputs.push((element.id.clone(), generated));
        let is_met = |require: &Require| requires.iter().any(|met| met.name == require.name);
        plan.entries.retain(|entry| !entry.requires.iter().any(is_met));
        effects.emit(GenerateEvent::ExtensionDone(element.clone()));
    }

    effects.emit(GenerateEvent::Step(GenerateStep::CheckRunImage));
    let dockerfiles: Vec<_> = outputs.iter().map(|(_, generated)| generated.run.as_ref()).collect();
    let choice = run_image::choose(&dockerfiles);
    let run_image = switch(effects, inputs, &choice, &outputs);
    effects.emit(GenerateEvent::Step(GenerateStep::CopyDockerfiles));
    for (index, (id, generated)) in outputs.iter().enumerate() {
        let ignored = index < choice.first;
        if in_place {
            place::set_aside(&output_dir.join(id.escaped()), generated, ignored).map_err(OtherError::from)?;
        } else {
            place::copy(effects, output_dir, &inputs.generated_dir, id, generated, ignored)
                .map_err(OtherError::from)?;
        }
    }
    Ok(Outputs { run_image, plan })
}

/// What the run image of analyzed.toml is, now that extensions chose.
fn switch(
    effects: &Effects<'_>,
    inputs: &Inputs,
    choice: &Choice<'_>,
    outputs: &[(ModuleId, Generated)],
) -> Option<AnalyzedRunImage> {
    let mut run_image = inputs.run_image.clone();
    if let Some(base) = choice.base {
        let (extension, image) = (outputs[choice.first].0.clone(), base.to_owned());
        effects.emit(GenerateEvent::RunImageFound { extension, image });
        if run_image::is_new(inputs.api, run_image.as_ref(), base) {
            if names::find(&inputs.run_images, base).is_none() {
                effects.emit(GenerateEvent::RunImageUnlisted(base.to_owned()));
            }
            effects.emit(GenerateEvent::RunImageSwitched(base.to_owned()));
            run_image = Some(AnalyzedRunImage {
                reference: base.to_owned(),
                image: base.to_owned(),
                ..AnalyzedRunImage::default()
            });
        }
    }
    if choice.extend
        && let Some(run_image) = &mut run_image
    {
        effects.emit(GenerateEvent::RunImageExtended);
        run_image.extend = true;
    }
    run_image
}

/// What an extension is asked to provide. Its version does not matter.
fn requires_for(plan: &Plan, id: &ModuleId) -> Vec<Require> {
    plan.entries
        .iter()
        .filter(|entry| {
            entry.providers.iter().any(|provider| provider.kind == ModuleKind::Extension && provider.id == *id)
        })
        .flat_map(|entry| entry.requires.iter().cloned())
        .collect()
}

/// A folder for outputs that are copied out of it; it is removed when the value is dropped.
fn scratch(inputs: &Inputs) -> Result<tempfile::TempDir, OtherError> {
    let made = tempfile::Builder::new().prefix("cnb-extensions-generated.").tempdir_in(&inputs.temp_dir);
    made.map_err(|source| OtherError::Scratch { path: inputs.temp_dir.clone(), source })
}
