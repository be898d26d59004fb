//! Running the program of a buildpack or an extension that shapes the build: bin/build and bin/generate.
//!
//! Clause: buildpack.md#phase-3-build, image_extension.md#generation; catalogue 1, sections 3.9 and 5.3. Each has its own
//! part of the plan in a file, and hears of the platform and the operator through its environment.

use std::ffi::OsString;
use std::io::Error as IoError;
use std::path::{Path, PathBuf};

use super::environment;
use crate::effect::Effects;
use crate::effect::events::{Facts, Outcome, Step, Work};
use crate::effect::processes::{Command, Exit, Output, StartError};
use crate::model::descriptor::Descriptor;
use crate::model::env::Environment;
use crate::model::plan::Require;
use crate::os::env_dir::EnvDirError;
use crate::schema;

/// A program that is about to run.
pub(super) struct Program<'a> {
    /// What it does.
    pub(super) step: Step,
    /// Whose it is.
    pub(super) descriptor: &'a Descriptor,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// The app directory: its working directory.
    pub(super) app_dir: &'a Path,
    /// The platform directory.
    pub(super) platform_dir: &'a Path,
    /// The operator's build configuration.
    pub(super) build_config_dir: &'a Path,
}

/// Why a program failed.
pub(super) enum ProgramError {
    /// It said no.
    Exit(Exit),
    /// It could not be started.
    Start(StartError),
    /// A file of an `env` folder cannot be read.
    Environment(EnvDirError),
}

impl Program<'_> {
    /// Runs it in an environment that is `env`, then what the platform and the operator say, then what `own` sets.
    pub(super) fn run(
        self,
        effects: &Effects<'_>,
        mut env: Environment,
        own: impl FnOnce(&mut Environment),
    ) -> Result<(), ProgramError> {
        let Self { step, descriptor, path, args, app_dir, platform_dir, build_config_dir } = self;
        let work = effects.begin(Work::Process {
            step,
            kind: descriptor.kind,
            id: descriptor.id.clone(),
            version: descriptor.version.clone(),
        });
        for (name, value) in effects.telemetry.variables(work.id()) {
            env.set(name, value);
        }
        if !descriptor.clear_env {
            environment::add_platform(&mut env, platform_dir).map_err(ProgramError::Environment)?;
        }
        environment::add_build_config(&mut env, build_config_dir).map_err(ProgramError::Environment)?;
        own(&mut env);
        let command = Command { program: path, args, dir: app_dir.to_owned(), env, work: Some(work.id()) };
        let failed = |error_type| Facts { error_type: Some(error_type), ..Facts::default() };
        let exit = match effects.processes.run(&command, Output::Stream) {
            Ok(finished) => finished.exit,
            Err(error) => {
                work.end(Outcome::Error, failed("start"));
                return Err(ProgramError::Start(error));
            }
        };
        match exit {
            Exit::Code(0) => {
                work.end(Outcome::Success, Facts { exit_code: Some(0), ..Facts::default() });
                return Ok(());
            }
            Exit::Code(code) => work.end(Outcome::Failure, Facts { exit_code: Some(code), ..failed("exit") }),
            Exit::Signal(_) => work.end(Outcome::Failure, failed("signal")),
        }
        Err(ProgramError::Exit(exit))
    }
}

/// Writes the plan for a module as `<id>/plan.toml` below a folder of its own, which is removed when the first value is
/// dropped.
///
/// # Errors
/// Which call failed on which path, and why.
pub(super) fn write_plan(
    id: &str,
    requires: &[Require],
    temp_dir: &Path,
) -> Result<(tempfile::TempDir, PathBuf), (&'static str, PathBuf, IoError)> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |error| (action, path, error)
    };
    let outer = tempfile::Builder::new().prefix(&format!("{id}-")).tempdir_in(temp_dir);
    let outer = outer.map_err(failed("mkdir", temp_dir))?;
    let inner = outer.path().join(id);
    std::fs::create_dir(&inner).map_err(failed("mkdir", &inner))?;
    let plan = inner.join("plan.toml");
    std::fs::write(&plan, schema::plan::render_for_module(requires)).map_err(failed("open", &plan))?;
    Ok((outer, plan))
}
