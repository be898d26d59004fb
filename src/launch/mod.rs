//! The launcher: starts every process of an app image.
//!
//! Clauses: platform.md#launcher, buildpack.md#phase-5-launch.
//!
//! Read from above: [`run`] negotiates API versions ([`negotiate`]), reads `<layers>/config/metadata.toml` ([`metadata`]),
//! chooses a process ([`select`]), makes its environment from the layers ([`environment`], [`layers`]), runs the exec.d
//! programs ([`exec_d`]) and becomes the process ([`exec`]), in a shell ([`shell`]) or without one ([`path_lookup`]).
//!
//! The program lies in every app image, so it is small and quick before all else: no serde, no threads, no network,
//! and memory of its own ([`crate::os::arena`]).

pub mod console;
pub mod environment;
pub mod exec;
pub mod exec_d;
pub mod failure;
pub mod layers;
pub mod metadata;
pub mod negotiate;
pub mod path_lookup;
pub mod select;
pub mod shell;
pub mod toml;

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::api::PlatformFeature;
use crate::model::env::Environment;
use crate::model::process::DEFAULT_EXEC_ENV;
use crate::os::error_text;

use console::Console;
use failure::{Failure, LaunchError};
use select::{Request, Start};

/// Becomes the process that `args` and the image's metadata name. Does not come back unless that fails.
///
/// `args` starts with the name by which the launcher was called; `variables` is its environment. The working directory
/// of the calling process changes, and its signals get their default actions.
///
/// # Errors
/// What stopped the launch: its text is the line for the reader, [`Failure::exit_code`] the exit code.
pub fn run(args: &[OsString], variables: &Environment, console: &mut Console<'_>) -> Result<Infallible, Failure> {
    exec::reset_signals();
    let setting = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let mode = setting("CNB_DEPRECATION_MODE").unwrap_or(OsStr::new("warn"));

    let platform = negotiate::platform(setting("CNB_PLATFORM_API"), mode, console)?;
    let layers_dir = Path::new(setting("CNB_LAYERS_DIR").unwrap_or(OsStr::new("/layers")));
    let metadata = metadata::read(&path_lookup::join(layers_dir, "config/metadata.toml"))?;
    let buildpacks = negotiate::buildpacks(&metadata.buildpacks, mode, console)?;
    if let Some(process) = setting("CNB_PROCESS_TYPE") {
        console.warn(&format!("CNB_PROCESS_TYPE is not supported in Platform API {platform}"));
        let process = process.display();
        console.warn(&format!("Run with ENTRYPOINT '{process}' to invoke the '{process}' process type"));
    }

    let (caller, user_args) = args.split_first().map_or((OsStr::new(""), &[][..]), |(first, rest)| (first, rest));
    let exec_env = setting("CNB_EXEC_ENV").map_or(DEFAULT_EXEC_ENV.into(), OsStr::to_string_lossy);
    let start = select::select(&Request {
        process_type: select::process_type(caller, &metadata.processes),
        user_args,
        processes: &metadata.processes,
        buildpacks: &buildpacks,
        command_lists: platform.has(PlatformFeature::CommandLists),
        exec_env: platform.has(PlatformFeature::ExecEnv).then_some(&exec_env),
    })
    .map_err(LaunchError::Select)?;

    let app_dir = Path::new(setting("CNB_APP_DIR").unwrap_or(OsStr::new("/workspace")));
    change_dir(app_dir).map_err(LaunchError::AppDir)?;
    let mut env = environment::without_own(variables);
    let ids = buildpacks.iter().map(|buildpack| buildpack.id.as_str());
    let layers = environment::add_layers(&mut env, layers_dir, ids, &start.r#type).map_err(LaunchError::Environment)?;
    exec_d::run_all(&layers, &start.r#type, &mut env).map_err(LaunchError::ExecD)?;

    if start.direct {
        direct(&start, app_dir, &env)
    } else {
        in_shell(&start, caller, app_dir, &layers, &env, &buildpacks)
    }
    .map_err(Failure::from)
}

/// Becomes a process without a shell.
fn direct(start: &Start, app_dir: &Path, env: &Environment) -> Result<Infallible, LaunchError> {
    let path = env.get("PATH").unwrap_or(OsStr::new(""));
    if path.as_encoded_bytes().contains(&0) {
        return Err(LaunchError::SetPath);
    }
    let command = start.command.first().ok_or_else(|| LaunchError::NoCommand(start.r#type.clone()))?;
    let program = path_lookup::look_path(command, path).map_err(LaunchError::PathLookup)?;
    let working_dir = if start.working_dir.is_empty() { app_dir } else { Path::new(&start.working_dir) };
    change_dir(working_dir).map_err(LaunchError::WorkingDir)?;
    let mut args: Vec<&OsStr> = start.command.iter().map(OsString::as_os_str).collect();
    args.extend(start.args.iter().map(OsString::as_os_str));
    Err(LaunchError::DirectExec(exec::exec(&program, &args, env)))
}

/// Becomes bash, which sources the profiles and then becomes the process.
fn in_shell(
    start: &Start,
    caller: &OsStr,
    app_dir: &Path,
    layers: &[layers::BuildpackLayers],
    env: &Environment,
    buildpacks: &[negotiate::Buildpack],
) -> Result<Infallible, LaunchError> {
    let profiles = shell::profiles(layers, &start.r#type, app_dir).map_err(LaunchError::Profiles)?;
    let known = start.buildpack_id.is_empty() || buildpacks.iter().any(|buildpack| buildpack.id == start.buildpack_id);
    if !start.args.is_empty() && !known {
        return Err(LaunchError::UnknownBuildpack {
            process: start.r#type.clone(),
            buildpack: start.buildpack_id.clone(),
        });
    }
    let working_dir = if start.working_dir.is_empty() { app_dir.as_os_str() } else { OsStr::new(&start.working_dir) };
    let script = shell::script(&profiles, working_dir, start.args.len());
    let command = start.command.join(OsStr::new(" "));
    let mut args = vec![OsStr::new("bash"), OsStr::new("-c"), &script, caller, &command];
    args.extend(start.args.iter().map(OsString::as_os_str));
    Err(LaunchError::BashExec(exec::exec(Path::new(shell::BASH), &args, env)))
}

/// Changes the working directory; the error is the reference's text.
fn change_dir(dir: &Path) -> Result<(), String> {
    std::env::set_current_dir(dir).map_err(|error| format!("chdir {}: {}", dir.display(), error_text(&error)))
}
