//! Running bin/generate of one extension, and reading what it writes.
//!
//! Clause: image_extension.md#generation; catalogue extend-launch-package, section A3; catalogue 1, section 3.9.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use super::dockerfile::{DockerfileError, RunDockerfile, check_build, check_run};
use super::program::{self, Program, ProgramError};
use super::{environment, prepared};
use crate::api::{BuildpackApi, BuildpackFeature};
use crate::effect::Effects;
use crate::effect::events::{GenerateEvent, GenerateStep, Step};
use crate::effect::processes::{Exit, StartError};
use crate::model::descriptor::Descriptor;
use crate::model::dockerfile::DockerfileKind;
use crate::model::env::Environment;
use crate::model::id::ModuleId;
use crate::model::plan::Require;
use crate::model::target::RunTarget;
use crate::os::env_dir::EnvDirError;
use crate::os::error_text;
use crate::schema;

/// The file with arguments for Dockerfiles, in an output folder.
pub const EXTEND_CONFIG: &str = "extend-config.toml";

/// What every bin/generate of a build is given.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The app directory: the working directory.
    pub app_dir: &'a Path,
    /// The platform directory.
    pub platform_dir: &'a Path,
    /// The operator's build configuration.
    pub build_config_dir: &'a Path,
    /// The target of the build.
    pub target: &'a RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: &'a Environment,
    /// Where the folder of the plan is made, and removed again.
    pub temp_dir: &'a Path,
}

/// What an extension generated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    /// What its run.Dockerfile does, if it has one.
    pub run: Option<RunDockerfile>,
    /// It has a build.Dockerfile.
    pub build: bool,
}

/// Why an extension failed. The texts are the reference's.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// bin/generate said no. The exit code is 91.
    #[error("{0}")]
    Exit(Exit),
    /// bin/generate could not be started. The exit code is 91.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file of an `env` folder cannot be read.
    #[error(transparent)]
    Environment(#[from] EnvDirError),
    /// A file or folder cannot be read or written.
    #[error("{action} {}: {}", path.display(), error_text(source))]
    Io {
        /// What was tried, as a system call's name.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: IoError,
    },
    /// extend-config.toml is wrong.
    #[error("reading extend config: {0}")]
    Config(schema::Error),
    /// extend-config.toml has an argument that only the lifecycle may give.
    #[error("validating extend config: invalid content: arg with name \"{0}\" is not allowed")]
    ReservedArgument(String),
    /// A Dockerfile is wrong.
    #[error("failed to parse {} for extension {extension}: {source}", kind.file_name())]
    Dockerfile {
        /// Which.
        kind: DockerfileKind,
        /// Whose.
        extension: ModuleId,
        /// Why.
        source: DockerfileError,
    },
    /// There are folders for one image and for both.
    #[error("image-specific context dir is provided together with a shared context")]
    Contexts,
}

impl GenerateError {
    /// Says whether bin/generate itself failed, and not what it left.
    pub fn is_of_program(&self) -> bool {
        matches!(self, Self::Exit(_) | Self::Start(_))
    }

    /// Says whether what it left is wrong, and no folder of the lifecycle in the way.
    pub fn is_of_outputs(&self) -> bool {
        match self {
            Self::Config(_) | Self::ReservedArgument(_) | Self::Dockerfile { .. } | Self::Contexts => true,
            Self::Exit(_) | Self::Start(_) | Self::Environment(_) | Self::Io { .. } => false,
        }
    }
}

/// Runs bin/generate of an extension with the requirements that it shall meet, or copies the folder `generate` of one
/// without, and reads what is then in `output`, which is made anew.
///
/// # Errors
/// See [`GenerateError`].
pub fn generate(
    effects: &Effects<'_>,
    context: Context<'_>,
    extension: &Descriptor,
    api: BuildpackApi,
    requires: &[Require],
    output: &Path,
) -> Result<Generated, GenerateError> {
    let step = |step| effects.emit(GenerateEvent::Step(step));
    step(GenerateStep::CreatePlan);
    let (_plan_dir, plan) = program::write_plan(&extension.id.escaped(), requires, context.temp_dir)
        .map_err(|(action, path, source)| GenerateError::Io { action, path, source })?;
    step(GenerateStep::PreparePaths);
    make_empty(output)?;
    step(GenerateStep::Run);
    let bin = extension.root.join("bin/generate");
    match std::fs::metadata(&bin) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            prepared::copy(&extension.root.join("generate"), output)
                .map_err(|(action, path, source)| GenerateError::Io { action, path, source })?;
        }
        Err(error) => return Err(io("stat", &bin, error)),
        Ok(_) => run(effects, context, extension, api, bin, &plan, output)?,
    }
    step(GenerateStep::ReadOutputs);
    read(effects, &extension.id, output)
}

/// Makes a folder without anything in it: what an earlier build on the same volume left would be taken for this one's.
fn make_empty(dir: &Path) -> Result<(), GenerateError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("unlinkat", dir, error)),
        _ => std::fs::create_dir_all(dir).map_err(|error| io("mkdir", dir, error)),
    }
}

/// Runs bin/generate.
fn run(
    effects: &Effects<'_>,
    context: Context<'_>,
    extension: &Descriptor,
    api: BuildpackApi,
    path: PathBuf,
    plan: &Path,
    output: &Path,
) -> Result<(), GenerateError> {
    let program = Program {
        step: Step::Generate,
        descriptor: extension,
        path,
        args: vec![output.into(), context.platform_dir.into(), plan.into()],
        app_dir: context.app_dir,
        platform_dir: context.platform_dir,
        build_config_dir: context.build_config_dir,
    };
    let own = |env: &mut Environment| {
        env.set("CNB_BP_PLAN_PATH", plan);
        env.set("CNB_EXTENSION_DIR", &extension.root);
        env.set("CNB_OUTPUT_DIR", output);
        env.set("CNB_PLATFORM_DIR", context.platform_dir);
        // CNB_EXEC_ENV, which bin/detect and bin/build get, is not given: trap T40.
        if api.has(BuildpackFeature::TargetVariables) {
            environment::set_target(env, context.target);
        }
    };
    program.run(effects, environment::base(context.env), own).map_err(|error| match error {
        ProgramError::Exit(exit) => GenerateError::Exit(exit),
        ProgramError::Start(error) => error.into(),
        ProgramError::Environment(error) => error.into(),
    })
}

/// Reads and checks what an extension wrote.
fn read(effects: &Effects<'_>, extension: &ModuleId, output: &Path) -> Result<Generated, GenerateError> {
    if let Some(text) = read_file(&output.join(EXTEND_CONFIG))? {
        let config = schema::extend_config::parse(&text).map_err(GenerateError::Config)?;
        if let Some(name) = config.reserved() {
            return Err(GenerateError::ReservedArgument(name.to_owned()));
        }
    }
    let found = |kind: DockerfileKind| read_file(&output.join(kind.file_name()));
    let wrong = |kind| move |source| GenerateError::Dockerfile { kind, extension: extension.clone(), source };
    let told = |kind| effects.emit(GenerateEvent::DockerfileFound(kind));
    let mut generated = Generated::default();
    if let Some(text) = found(DockerfileKind::Run)? {
        generated.run = Some(check_run(effects, &text).map_err(wrong(DockerfileKind::Run))?);
        told(DockerfileKind::Run);
    }
    if let Some(text) = found(DockerfileKind::Build)? {
        check_build(effects, &text).map_err(wrong(DockerfileKind::Build))?;
        generated.build = true;
        told(DockerfileKind::Build);
    }
    check_contexts(effects, output)?;
    Ok(generated)
}

/// Checks that folders for builds are either for both images or for one each.
fn check_contexts(effects: &Effects<'_>, output: &Path) -> Result<(), GenerateError> {
    let mut found = Vec::new();
    for name in ["context", "context.build", "context.run"] {
        let path = output.join(name);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let shared = name == "context";
                if !shared && found.contains(&"context") {
                    return Err(GenerateError::Contexts);
                }
                found.push(name);
                effects.emit(GenerateEvent::ContextFound { shared, path });
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("stat", &path, error)),
            _ => {}
        }
    }
    effects.emit(GenerateEvent::ContextsFound(found.len()));
    Ok(())
}

/// Reads a file that may be missing. Bytes that are no text, which instructions may have, are replaced: what counts is
/// copied from the file itself.
fn read_file(path: &Path) -> Result<Option<String>, GenerateError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("stat", path, error)),
        // Opening a fifo would wait for ever.
        Ok(metadata) if !metadata.is_file() => {
            return Err(io("open", path, IoError::other("not a regular file")));
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(|error| io("open", path, error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn io(action: &'static str, path: &Path, source: IoError) -> GenerateError {
    GenerateError::Io { action, path: path.to_owned(), source }
}
