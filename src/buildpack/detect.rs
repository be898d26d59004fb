//! Running bin/detect of one buildpack or extension, and reading the build plan that it leaves.
//!
//! Clauses: buildpack.md#detection, buildpack.md#build-plan-toml, image_extension.md#detection.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment;
use crate::api::{BuildpackApi, BuildpackFeature};
use crate::effect::Effects;
use crate::effect::events::{Facts, Note, Ongoing, Outcome, Step, Work};
use crate::effect::processes::{Command, Exit, Output};
use crate::model::descriptor::Descriptor;
use crate::model::env::Environment;
use crate::model::id::ModuleKind;
use crate::model::order::GroupElement;
use crate::model::plan::DetectPlan;
use crate::model::target::RunTarget;
use crate::os::error_text;
use crate::schema;

/// The exit code of a program that does not want to take part.
const OPTED_OUT: i32 = 100;

/// What every bin/detect of a build is given.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The app directory: the working directory.
    pub app_dir: &'a Path,
    /// The platform directory.
    pub platform_dir: &'a Path,
    /// The operator's build configuration.
    pub build_config_dir: &'a Path,
    /// The execution environment; may be empty.
    pub exec_env: &'a str,
    /// The target of the build.
    pub target: &'a RunTarget,
    /// The lifecycle's own environment, unfiltered.
    pub env: &'a Environment,
    /// Where the file of the build plan is made, and removed again.
    pub temp_dir: &'a Path,
}

/// What became of one bin/detect.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it printed, both streams as one.
    pub output: Arc<[u8]>,
    /// What it decided.
    pub verdict: Verdict,
}

/// What one bin/detect decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It takes part, with this plan.
    Pass(DetectPlan),
    /// It does not want to take part: exit code 100.
    Fail,
    /// It could not decide.
    Error {
        /// Its exit code, if it ended with one that is not 0.
        code: Option<i32>,
        /// What went wrong, if there is more to say.
        cause: Option<String>,
    },
}

/// Why a run counts as failed although the program did not say so: a fixed word for telemetry, and the text.
struct Fault {
    kind: &'static str,
    text: String,
}

impl Fault {
    fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Runs bin/detect of a module. An extension without one passes, with `detect/plan.toml` as its plan if it has one.
///
/// Whatever goes wrong is a [`Verdict`]: other modules of the group still run.
pub fn detect(
    effects: &Effects<'_>,
    context: &Context<'_>,
    module: &GroupElement,
    descriptor: &Descriptor,
    api: BuildpackApi,
) -> Run {
    let program = descriptor.root.join("bin").join("detect");
    if descriptor.kind == ModuleKind::Extension && is_missing(&program) {
        let verdict = match prepared_plan(&descriptor.root).and_then(|plan| check(plan, descriptor)) {
            Ok(plan) => Verdict::Pass(plan),
            Err(fault) => Verdict::Error { code: None, cause: Some(fault.text) },
        };
        return Run { output: Arc::default(), verdict };
    }
    let work = effects.begin(Work::Process {
        step: Step::Detect,
        kind: module.kind,
        id: module.id.clone(),
        version: module.version.clone(),
    });
    let mut output = Vec::new();
    let result = run(effects, context, &work, program, descriptor, api, &mut output);
    let verdict = conclude(work, module, result);
    Run { output: output.into(), verdict }
}

/// How a program that could be run ended, and its plan if that was well.
enum Ended {
    Passed(DetectPlan),
    With(Exit),
}

fn run(
    effects: &Effects<'_>,
    context: &Context<'_>,
    work: &Ongoing<'_>,
    program: PathBuf,
    descriptor: &Descriptor,
    api: BuildpackApi,
    output: &mut Vec<u8>,
) -> Result<Ended, Fault> {
    let plan_path = new_plan(context.temp_dir).map_err(|error| {
        Fault::new("io", format!("open {}/plan.: {}", context.temp_dir.display(), error_text(&error)))
    })?;
    let telemetry = effects.telemetry.variables(work.id());
    let command = Command {
        program,
        args: vec![context.platform_dir.into(), plan_path.as_os_str().to_owned()],
        dir: context.app_dir.to_owned(),
        env: environment(context, &telemetry, descriptor, api, &plan_path)?,
    };
    let finished = effects.processes.run(&command, Output::Collect).map_err(|error| Fault::new("start", error.0))?;
    *output = finished.output;
    if !finished.exit.is_success() {
        return Ok(Ended::With(finished.exit));
    }
    let plan = read_plan(&plan_path)?;
    check(plan, descriptor).map(Ended::Passed)
}

/// Tells how the run ended, and says what that means.
fn conclude(work: Ongoing<'_>, module: &GroupElement, result: Result<Ended, Fault>) -> Verdict {
    match result {
        Ok(Ended::Passed(plan)) => {
            work.note(Note::DetectPass { id: module.id.clone(), version: module.version.clone() });
            work.end(Outcome::Success, Facts::default());
            Verdict::Pass(plan)
        }
        Ok(Ended::With(Exit::Code(OPTED_OUT))) => {
            work.end(Outcome::Skip, Facts { exit_code: Some(OPTED_OUT), ..Facts::default() });
            Verdict::Fail
        }
        Ok(Ended::With(Exit::Code(code))) => {
            let facts = Facts { exit_code: Some(code), error_type: Some("exit"), ..Facts::default() };
            work.end(Outcome::Failure, facts);
            Verdict::Error { code: Some(code), cause: None }
        }
        Ok(Ended::With(Exit::Signal(_))) => {
            work.end(Outcome::Failure, Facts { error_type: Some("signal"), ..Facts::default() });
            Verdict::Error { code: None, cause: None }
        }
        Err(fault) => {
            work.end(Outcome::Error, Facts { error_type: Some(fault.kind), ..Facts::default() });
            Verdict::Error { code: None, cause: Some(fault.text) }
        }
    }
}

/// The environment of the program: what it may see of ours, telemetry, the user's and the operator's variables, and
/// last, so that nothing replaces them, those of the contract.
fn environment(
    context: &Context<'_>,
    telemetry: &[(&'static str, OsString)],
    descriptor: &Descriptor,
    api: BuildpackApi,
    plan_path: &Path,
) -> Result<Environment, Fault> {
    let mut env = environment::base(context.env);
    for (name, value) in telemetry {
        env.set(name, value);
    }
    if !descriptor.clear_env {
        environment::add_platform(&mut env, context.platform_dir).map_err(|error| Fault::new("io", error.0))?;
    }
    environment::add_build_config(&mut env, context.build_config_dir).map_err(|error| Fault::new("io", error.0))?;
    env.set(
        match descriptor.kind {
            ModuleKind::Buildpack => "CNB_BUILDPACK_DIR",
            ModuleKind::Extension => "CNB_EXTENSION_DIR",
        },
        &descriptor.root,
    );
    if api.has(BuildpackFeature::PathVariables) {
        env.set("CNB_PLATFORM_DIR", context.platform_dir);
        env.set("CNB_BUILD_PLAN_PATH", plan_path);
    }
    if api.has(BuildpackFeature::TargetVariables) {
        environment::set_target(&mut env, context.target);
    }
    if api.has(BuildpackFeature::ExecEnv) && !context.exec_env.is_empty() {
        env.set("CNB_EXEC_ENV", context.exec_env);
    }
    Ok(env)
}

/// Refuses what the grammar of a build plan allows and the specification does not.
fn check(plan: DetectPlan, descriptor: &Descriptor) -> Result<DetectPlan, Fault> {
    let kind = match descriptor.kind {
        ModuleKind::Buildpack => "buildpack",
        ModuleKind::Extension => "extension",
    };
    let id = &descriptor.id;
    let mut requires = plan.alternatives.iter().flat_map(|section| &section.requires).peekable();
    if descriptor.kind == ModuleKind::Extension && requires.peek().is_some() {
        return Err(Fault::new("plan", format!("{kind} {id} outputs \"requires\" which is not allowed")));
    }
    if requires.any(|require| require.version.as_ref().is_some_and(|version| !version.is_empty())) {
        return Err(Fault::new(
            "plan",
            format!(
                "{kind} {id} has a \"version\" key which is not supported. \"metadata.version\" should be used instead"
            ),
        ));
    }
    Ok(plan)
}

/// The plan of an extension without bin/detect: its folder is what the program would have written.
fn prepared_plan(root: &Path) -> Result<DetectPlan, Fault> {
    let path = root.join("detect").join("plan.toml");
    if is_missing(&path) {
        return parse_plan("");
    }
    read_plan(&path)
}

fn read_plan(path: &Path) -> Result<DetectPlan, Fault> {
    let failed = |reason: &str| Fault::new("plan", format!("open {}: {reason}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| failed(&error_text(&error)))?;
    if !metadata.is_file() {
        // Opening a fifo would wait for ever.
        return Err(failed("not a regular file"));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(&error_text(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::new("plan", "toml: invalid UTF-8"))?;
    parse_plan(&text)
}

fn parse_plan(text: &str) -> Result<DetectPlan, Fault> {
    schema::detect_plan::parse(text).map_err(|error| Fault::new("plan", error.to_string()))
}

fn is_missing(path: &Path) -> bool {
    matches!(std::fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Makes the empty file for a build plan, which only its owner reads; it goes when the path is dropped. In a folder of
/// its own it would cost six times as much on ext4, which looks for a place for each new folder: a tenth of a short phase.
fn new_plan(temp_dir: &Path) -> io::Result<tempfile::TempPath> {
    Ok(tempfile::Builder::new().prefix("plan.").suffix(".toml").tempfile_in(temp_dir)?.into_temp_path())
}
