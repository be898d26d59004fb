//! Running bin/build of one buildpack, and reading what it leaves.
//!
//! Clauses: buildpack.md#phase-3-build, buildpack.md#buildtoml-toml, buildpack.md#launchtoml-toml; catalogue 1, sections
//! 5.3 to 5.8.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use super::environment;
use super::layers::{self, LayerFileError};
use super::program::{self, Program, ProgramError};
use super::sbom::{self, SbomError, SbomFile};
use crate::api::{BuildpackApi, BuildpackFeature};
use crate::effect::Effects;
use crate::effect::events::{BuildEvent, BuildStep, Step};
use crate::effect::processes::{Exit, StartError};
use crate::model::descriptor::Descriptor;
use crate::model::env::Environment;
use crate::model::id::LayerName;
use crate::model::launch::{BomEntry, BomSource, Launch};
use crate::model::layers_dir::LayersDir;
use crate::model::plan::Require;
use crate::model::target::RunTarget;
use crate::os::env_dir::EnvDirError;
use crate::os::{document, error_text};
use crate::schema;

/// A buildpack whose turn it is.
#[derive(Clone, Copy, Debug)]
pub struct Buildpack<'a> {
    /// What it says of itself.
    pub descriptor: &'a Descriptor,
    /// The Buildpack API of its descriptor.
    pub api: BuildpackApi,
}

/// What every buildpack of a build gets alike.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The layers folder.
    pub layers: &'a LayersDir,
    /// The app directory: the working directory of bin/build.
    pub app_dir: &'a Path,
    /// The platform directory.
    pub platform_dir: &'a Path,
    /// The operator's build configuration.
    pub build_config_dir: &'a Path,
    /// The execution environment; empty if there is none.
    pub exec_env: &'a str,
    /// The target for `CNB_TARGET_*`.
    pub target: &'a RunTarget,
    /// Where the folder for the plan is made.
    pub temp_dir: &'a Path,
}

/// What one buildpack contributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contribution {
    /// launch.toml, its processes with the buildpack's id, its BOM entries with their source.
    pub launch: Launch,
    /// The BOM entries of build.toml, with their source.
    pub build_bom: Vec<BomEntry>,
    /// Names of requirements that are met, so that no later buildpack sees them.
    pub met: Vec<String>,
    /// SBOM files.
    pub sbom: Vec<SbomFile>,
}

/// Why a buildpack failed. The texts are the reference's, with the name of the file where it has none.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// bin/build said no. The phase's exit code is 51.
    #[error("{0}")]
    Exit(Exit),
    /// bin/build could not be started. The phase's exit code is 51.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file of an `env` folder cannot be read.
    #[error(transparent)]
    Environment(#[from] EnvDirError),
    /// A file or folder cannot be read or written.
    #[error("{action} {}: {}", path.display(), error_text(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: IoError,
    },
    /// A layer's toml is wrong.
    #[error("failed to process buildpack layer: failed to decode layer metadata file: {0}")]
    LayerFile(LayerFileError),
    /// The folder of a layer without a purpose cannot be set aside.
    #[error("failed to process buildpack layer: failed to rename layer directory: {0}")]
    SetAside(LayerFileError),
    /// launch.toml or build.toml is wrong.
    #[error("{}: {source}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        source: schema::Error,
    },
    /// build.toml has an unmet requirement without a name.
    #[error("unmet.name is required")]
    UnmetWithoutName,
    /// build.toml has an unmet requirement that the buildpack was not asked for.
    #[error("unmet.name '{0}' must match a requested dependency")]
    UnmetUnknown(String),
    /// A BOM entry has a version outside its metadata.
    #[error(
        "bom entry '{0}' has a top level version which is not allowed. The buildpack should instead set metadata.version"
    )]
    BomVersion(String),
    /// The SBOM files are wrong.
    #[error(transparent)]
    Sbom(#[from] SbomError),
}

impl BuildError {
    /// Says whether bin/build itself failed, and not what it left.
    pub fn is_of_program(&self) -> bool {
        matches!(self, Self::Exit(_) | Self::Start(_))
    }
}

/// Runs bin/build of a buildpack with the requirements that it shall meet, and reads what it leaves. Its build layers
/// are added to `env` for the buildpacks behind it.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    effects: &Effects<'_>,
    buildpack: Buildpack<'_>,
    requires: &[Require],
    around: Surroundings<'_>,
    env: &mut Environment,
) -> Result<Contribution, BuildError> {
    let step = |step| effects.emit(BuildEvent::Step(step));
    let dir = around.layers.buildpack(&buildpack.descriptor.id);
    step(BuildStep::CreatePlan);
    std::fs::create_dir_all(&dir).map_err(|error| io("mkdir", &dir, error))?;
    let (plan_dir, plan) = program::write_plan(&buildpack.descriptor.id.escaped(), requires, around.temp_dir)
        .map_err(|(action, path, source)| BuildError::Io { action, path, source })?;
    step(BuildStep::PreparePaths);
    step(BuildStep::Run);
    run(effects, buildpack, &dir, &plan, around, env)?;
    drop(plan_dir);
    step(BuildStep::ProcessLayers);
    let layers = layers::declared(&dir).map_err(BuildError::LayerFile)?;
    for (name, _) in layers.iter().filter(|(_, metadata)| metadata.types.is_none()) {
        set_aside(&dir, name)?;
    }
    step(BuildStep::UpdateEnvironment);
    for (name, _) in layers.iter().filter(|(_, metadata)| metadata.types.build) {
        let layer = dir.join(name.as_str());
        environment::add_layer_folders(env, &layer);
        environment::add_layer_files(env, &layer)?;
    }
    step(BuildStep::ReadOutputs);
    let (met, build_bom) = read_build(effects, &dir, requires)?;
    let sbom = sbom::find(&dir, buildpack.descriptor, &layers)?;
    let launch = read_launch(effects, &dir, buildpack)?;
    let source = |bom| with_source(bom, buildpack.descriptor);
    Ok(Contribution { build_bom: source(build_bom), met, sbom, launch: Launch { bom: source(launch.bom), ..launch } })
}

/// Runs bin/build.
fn run(
    effects: &Effects<'_>,
    buildpack: Buildpack<'_>,
    dir: &Path,
    plan: &Path,
    around: Surroundings<'_>,
    env: &Environment,
) -> Result<(), BuildError> {
    let descriptor = buildpack.descriptor;
    let program = Program {
        step: Step::Build,
        descriptor,
        path: descriptor.root.join("bin/build"),
        args: vec![dir.into(), around.platform_dir.into(), plan.into()],
        app_dir: around.app_dir,
        platform_dir: around.platform_dir,
        build_config_dir: around.build_config_dir,
    };
    let own = |env: &mut Environment| {
        env.set("CNB_BUILDPACK_DIR", &descriptor.root);
        if buildpack.api.has(BuildpackFeature::PathVariables) {
            env.set("CNB_PLATFORM_DIR", around.platform_dir);
            env.set("CNB_BP_PLAN_PATH", plan);
            env.set("CNB_LAYERS_DIR", dir);
        }
        if buildpack.api.has(BuildpackFeature::TargetVariables) {
            environment::set_target(env, around.target);
        }
        if buildpack.api.has(BuildpackFeature::ExecEnv) && !around.exec_env.is_empty() {
            env.set("CNB_EXEC_ENV", around.exec_env);
        }
    };
    program.run(effects, env.clone(), own).map_err(|error| match error {
        ProgramError::Exit(exit) => BuildError::Exit(exit),
        ProgramError::Start(error) => error.into(),
        ProgramError::Environment(error) => error.into(),
    })
}

/// Renames the folder of a layer that is for nothing to `<layer>.ignore`. What an earlier build on the same volume set
/// aside makes room, unless it is a layer of its own.
fn set_aside(dir: &Path, name: &LayerName) -> Result<(), BuildError> {
    let (from, to) = (dir.join(name.as_str()), dir.join(format!("{name}.ignore")));
    if from.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    if dir.join(format!("{name}.ignore.toml")).symlink_metadata().is_err() {
        layers::remove_tree(&to).map_err(BuildError::SetAside)?;
    }
    std::fs::rename(&from, &to)
        .map_err(|source| BuildError::SetAside(LayerFileError::Io { action: "rename", path: from, source }))
}

/// Reads build.toml: the names of requirements that are met, and BOM entries.
fn read_build(
    effects: &Effects<'_>,
    dir: &Path,
    requires: &[Require],
) -> Result<(Vec<String>, Vec<BomEntry>), BuildError> {
    let build = read_document(&dir.join("build.toml"), schema::build::parse)?;
    check_bom(effects, dir, &build.bom)?;
    for name in &build.unmet {
        if name.is_empty() {
            return Err(BuildError::UnmetWithoutName);
        }
        if !requires.iter().any(|require| require.name == *name) {
            return Err(BuildError::UnmetUnknown(name.clone()));
        }
    }
    let met = requires.iter().map(|require| require.name.clone()).filter(|name| !build.unmet.contains(name));
    Ok((met.collect(), build.bom))
}

/// Reads launch.toml.
fn read_launch(effects: &Effects<'_>, dir: &Path, buildpack: Buildpack<'_>) -> Result<Launch, BuildError> {
    let mut launch = read_document(&dir.join("launch.toml"), |text| schema::launch::parse(text, buildpack.api))?;
    check_bom(effects, dir, &launch.bom)?;
    for process in &mut launch.processes {
        if !process.working_dir.is_empty() && !buildpack.api.has(BuildpackFeature::ProcessWorkingDir) {
            effects.emit(BuildEvent::WorkingDirIgnored { process: process.r#type.clone() });
            process.working_dir.clear();
        }
        process.buildpack_id = buildpack.descriptor.id.to_string();
    }
    Ok(launch)
}

/// Reads a document that may be missing.
fn read_document<T: Default>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, schema::Error>,
) -> Result<T, BuildError> {
    match document::read_file(path).map_err(|error| io("open", path, error))? {
        Some(text) => parse(&text).map_err(|source| BuildError::Document { path: path.to_owned(), source }),
        None => Ok(T::default()),
    }
}

fn check_bom(effects: &Effects<'_>, dir: &Path, bom: &[BomEntry]) -> Result<(), BuildError> {
    if !bom.is_empty() && !sbom::any(dir) {
        effects.emit(BuildEvent::BomDeprecated);
    }
    match bom.iter().find(|entry| entry.version.as_ref().is_some_and(|version| !version.is_empty())) {
        Some(entry) => Err(BuildError::BomVersion(entry.name.clone())),
        None => Ok(()),
    }
}

fn with_source(bom: Vec<BomEntry>, buildpack: &Descriptor) -> Vec<BomEntry> {
    let source = BomSource { id: buildpack.id.clone(), version: buildpack.version.clone() };
    bom.into_iter().map(|entry| BomEntry { buildpack: Some(source.clone()), ..entry }).collect()
}

fn io(action: &'static str, path: &Path, source: IoError) -> BuildError {
    BuildError::Io { action, path: path.to_owned(), source }
}
