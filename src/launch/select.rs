//! Which process to start, and with which arguments.
//!
//! Clause: platform.md#launcher.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::negotiate::Buildpack;
use crate::api::BuildpackFeature;
use crate::model::process::Process;

/// All that the choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The process that the name of the launcher stands for, if any: see [`process_type`].
    pub process_type: Option<&'a str>,
    /// What the user gave beside that name.
    pub user_args: &'a [OsString],
    /// The processes of the image.
    pub processes: &'a [Process],
    /// The buildpacks of the image.
    pub buildpacks: &'a [Buildpack],
    /// Commands are lists whose tail a user cannot replace: Platform API 0.10.
    pub command_lists: bool,
    /// The execution environment, where the Platform API knows it: 0.15.
    pub exec_env: Option<&'a str>,
}

/// A process as it will be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Its type; empty for a command of the user.
    pub r#type: String,
    /// The program, and more only from a Platform API without command lists.
    pub command: Vec<OsString>,
    /// Everything that follows.
    pub args: Vec<OsString>,
    /// Starts without a shell.
    pub direct: bool,
    /// Where it starts; empty means the app directory.
    pub working_dir: String,
    /// The buildpack that contributed it; empty for a command of the user.
    pub buildpack_id: String,
}

/// Why there is nothing to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// Neither a process nor a command.
    #[error("when there is no default process a command is required")]
    NoCommand,
    /// The process exists, but not in this execution environment.
    #[error("process type {0} was not found")]
    NotFound(String),
    /// Nobody knows whether arguments replace those of the process.
    #[error("failed to find buildpack for process {process} with buildpack ID {buildpack}")]
    UnknownBuildpack {
        /// The process.
        process: String,
        /// The buildpack that it names.
        buildpack: String,
    },
}

/// Finds the process type by which the launcher was called, as `/cnb/process/<type>`: the last part of `argv[0]`.
pub fn process_type<'a>(argv0: &OsStr, processes: &'a [Process]) -> Option<&'a str> {
    let name = argv0.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default();
    let found = processes.iter().find(|process| process.r#type.as_bytes() == name)?;
    Some(found.r#type.as_str()).filter(|name| !name.is_empty())
}

/// Chooses the process and its arguments.
///
/// # Errors
/// There is nothing to start.
pub fn select(request: &Request<'_>) -> Result<Start, SelectError> {
    let Some(wanted) = request.process_type else { return of_user(request.user_args) };
    let process = request
        .processes
        .iter()
        .find(|process| process.r#type == wanted && request.exec_env.is_none_or(|env| process.is_for(env)))
        .ok_or_else(|| SelectError::NotFound(wanted.to_owned()))?;
    let (command, args) = arguments(process, request)?;
    Ok(Start {
        r#type: process.r#type.clone(),
        command,
        args,
        direct: process.direct,
        working_dir: process.working_dir.clone(),
        buildpack_id: process.buildpack_id.clone(),
    })
}

/// Takes the user's own command: `-- <command> <args>` is direct, anything else is for the shell.
fn of_user(user_args: &[OsString]) -> Result<Start, SelectError> {
    let (command, args, direct) = match user_args {
        [] => return Err(SelectError::NoCommand),
        [dashes, command, args @ ..] if dashes == "--" => (command, args, true),
        [command, args @ ..] => (command, args, false),
    };
    Ok(Start { command: vec![command.clone()], args: args.to_vec(), direct, ..Start::default() })
}

/// Splits a process into its command and its arguments, and decides whether a user's arguments replace the own ones.
fn arguments(process: &Process, request: &Request<'_>) -> Result<(Vec<OsString>, Vec<OsString>), SelectError> {
    let mut command: Vec<OsString> = process.command.iter().map(OsString::from).collect();
    let has_tail = request.command_lists && command.len() > 1;
    let mut args = if has_tail { command.split_off(1) } else { Vec::new() };
    let replaced = match request.user_args {
        [] => false,
        _ if !request.command_lists => false,
        _ if has_tail => true,
        _ => replaces(process, request.buildpacks)?,
    };
    if !replaced {
        args.extend(process.args.iter().flatten().map(OsString::from));
    }
    args.extend_from_slice(request.user_args);
    Ok((command, args))
}

/// Says whether the process comes from a buildpack whose arguments a user replaces.
fn replaces(process: &Process, buildpacks: &[Buildpack]) -> Result<bool, SelectError> {
    match buildpacks.iter().find(|buildpack| buildpack.id == process.buildpack_id) {
        Some(buildpack) => Ok(buildpack.api.has(BuildpackFeature::OverridableArguments)),
        None => Err(SelectError::UnknownBuildpack {
            process: process.r#type.clone(),
            buildpack: process.buildpack_id.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BuildpackApi;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn os(texts: &[&str]) -> Vec<OsString> {
        texts.iter().map(OsString::from).collect()
    }

    fn process(command: &[&str], buildpack: &str) -> Process {
        Process {
            r#type: "web".into(),
            command: strings(command),
            args: Some(strings(&["own"])),
            buildpack_id: buildpack.into(),
            ..Process::default()
        }
    }

    fn buildpacks() -> Vec<Buildpack> {
        [("old", "0.8"), ("new", "0.9")]
            .map(|(id, api)| Buildpack { id: id.into(), api: BuildpackApi::negotiate(Some(api)).unwrap() })
            .to_vec()
    }

    fn selected(process: Process, user: &[&str], command_lists: bool) -> Result<Start, SelectError> {
        select(&Request {
            process_type: Some("web"),
            user_args: &os(user),
            processes: &[process],
            buildpacks: &buildpacks(),
            command_lists,
            exec_env: None,
        })
    }

    fn argv(process: Process, user: &[&str], command_lists: bool) -> Vec<String> {
        let start = selected(process, user, command_lists).unwrap();
        start.command.iter().chain(&start.args).map(|arg| arg.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_last_part_of_the_own_name_is_the_process_type() {
        let processes = ["web", "with.dots", ""].map(|name| Process { r#type: name.into(), ..Process::default() });
        let named = |argv0: &str| process_type(OsStr::new(argv0), &processes);
        assert_eq!(named("/cnb/process/web"), Some("web"));
        assert_eq!(named("web"), Some("web"));
        assert_eq!(named("/cnb/process/with.dots"), Some("with.dots"));
        assert_eq!(named("/cnb/lifecycle/launcher"), None);
        assert_eq!(named("/cnb/process/"), None);
        assert_eq!(named(""), None);
    }

    #[test]
    fn a_user_needs_a_command_and_two_dashes_make_it_direct() {
        let user = |args: &[&str]| {
            select(&Request {
                process_type: None,
                user_args: &os(args),
                processes: &[],
                buildpacks: &[],
                command_lists: true,
                exec_env: None,
            })
        };
        assert_eq!(user(&[]), Err(SelectError::NoCommand));
        let direct = Start { command: os(&["a"]), args: os(&["b", "--"]), direct: true, ..Start::default() };
        assert_eq!(user(&["--", "a", "b", "--"]), Ok(direct));
        let shell = Start { command: os(&["a"]), args: os(&["--", "b"]), ..Start::default() };
        assert_eq!(user(&["a", "--", "b"]), Ok(shell));
        assert_eq!(user(&["--"]), Ok(Start { command: os(&["--"]), ..Start::default() }));
    }

    #[test]
    fn without_command_lists_user_arguments_are_added() {
        assert_eq!(argv(process(&["a"], "new"), &["u"], false), ["a", "own", "u"]);
        assert_eq!(argv(process(&["a", "b"], "nobody"), &["u"], false), ["a", "b", "own", "u"]);
    }

    #[test]
    fn user_arguments_replace_the_own_ones_behind_a_command_list() {
        assert_eq!(argv(process(&["a", "b"], "nobody"), &[], true), ["a", "b", "own"]);
        assert_eq!(argv(process(&["a", "b"], "nobody"), &["u"], true), ["a", "b", "u"]);
        assert_eq!(selected(process(&["a", "b"], "new"), &[], true).unwrap().command, ["a"]);
    }

    #[test]
    fn the_buildpacks_api_decides_about_user_arguments_behind_a_single_command() {
        assert_eq!(argv(process(&["a"], "nobody"), &[], true), ["a", "own"]);
        assert_eq!(argv(process(&["a"], "old"), &["u"], true), ["a", "own", "u"]);
        assert_eq!(argv(process(&["a"], "new"), &["u"], true), ["a", "u"]);
        assert_eq!(argv(process(&[], "new"), &[], true), ["own"]);
        let error = selected(process(&["a"], "nobody"), &["u"], true).unwrap_err();
        assert_eq!(error.to_string(), "failed to find buildpack for process web with buildpack ID nobody");
    }

    #[test]
    fn a_process_of_another_execution_environment_is_not_found() {
        let only_test = Process { exec_env: strings(&["test"]), ..process(&["a"], "new") };
        let later = Process { exec_env: strings(&["*"]), ..process(&["b"], "new") };
        let chosen = |exec_env: Option<&str>, processes: &[Process]| {
            let request = Request {
                process_type: Some("web"),
                user_args: &[],
                processes,
                buildpacks: &[],
                command_lists: true,
                exec_env,
            };
            select(&request).map(|start| start.command)
        };
        let first = std::slice::from_ref(&only_test);
        assert_eq!(chosen(Some("test"), first), Ok(os(&["a"])));
        assert_eq!(chosen(None, first), Ok(os(&["a"])));
        let error = chosen(Some("production"), first).unwrap_err();
        assert_eq!(error.to_string(), "process type web was not found");
        assert_eq!(chosen(Some("production"), &[only_test, later]), Ok(os(&["b"])));
    }
}
