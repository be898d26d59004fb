//! The program: from arguments and environment to one phase, and from its outcome to an exit code.
//!
//! `inputs` is the table of inputs, `parse` and `resolve` read them, `session` holds what a phase runs with, `wire`
//! chooses the real effects, `stores` those for images and caches, `stop` ends them at a signal, `ending` tells how telemetry
//! ended, `command` has one file for each phase, `failure` and `exit` end it.
//!
//! Clause: platform.md#operations; catalogue 1, sections 1.1 to 1.4.

mod capture;
mod command;
mod credentials;
mod delivery;
mod dispatch;
mod documents;
mod ending;
mod exit;
mod failure;
mod help;
pub mod inputs;
mod parse;
mod resolve;
mod secrets;
mod session;
mod stop;
mod stores;
mod version;
mod wire;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

pub use version::info as lifecycle_info;

use dispatch::Dispatch;
use failure::Failure;
use inputs::Key;
use parse::UsageError;
use resolve::Values;
use session::Session;

use crate::api::{DeprecationMode, Negotiated, PlatformApi, Support};
use crate::effect::clock::Clock;
use crate::effect::events::{Events as _, Phase, SessionEvent};
use crate::model::env::Environment;
use crate::os::clock::SystemClock;
use crate::os::{signal, terminal};
use crate::report::console::{Console, Threshold};
use crate::report::text::Level;

/// Everything that the operating system gives a program.
pub struct Program {
    /// All arguments, the program's own name first.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: Environment,
    /// The working directory.
    pub cwd: PathBuf,
    /// Standard output.
    pub out: Box<dyn Write + Send>,
    /// Standard error: usage alone goes there.
    pub err: Box<dyn Write + Send>,
}

/// Runs the program; returns its exit code.
pub fn run(program: Program) -> u8 {
    let Program { args, env, cwd, mut out, mut err } = program;
    // A limit on the size of files is told by an error then, as a full disk is, with telemetry and without (T13).
    signal::survive_file_size_limit();
    match dispatch::dispatch(&args) {
        Dispatch::Version => {
            let _ = writeln!(out, "{}", version::text(&version::info()));
            exit::SUCCESS
        }
        Dispatch::Ship(args) => command::ship::run(&args, &env, &mut *out, &mut *err),
        Dispatch::Trace(args) => command::trace::run(&args, &env, &mut *out, &mut *err),
        // These faults come before colour and log level are known: always in colour, always shown.
        Dispatch::NoPhase => fail(&Console::new(out, Threshold::From(Level::Info), true), &Failure::NoPhase),
        Dispatch::Unknown(name) => {
            let console = Console::new(out, Threshold::From(Level::Info), true);
            let failure = negotiate(&env, &console).err().unwrap_or(Failure::UnknownPhase(name));
            fail(&console, &failure)
        }
        Dispatch::Phase { phase, name, args } => {
            let out = wire::Shared::new(out);
            let console = Console::new(Box::new(out.clone()), Threshold::From(Level::Info), true);
            let api = match negotiate(&env, &console) {
                Ok(api) => api,
                Err(failure) => return fail(&console, &failure),
            };
            let raw = match parse::parse(phase, api, &args) {
                Ok(raw) => raw,
                Err(error) => return usage(&mut *err, phase, api, &error),
            };
            let values = Values::resolve(&raw, &env, &cwd, std::path::Path::exists);
            if values.flag(Key::Version) {
                let _ = writeln!(out.clone(), "{}", version::text(&version::info()));
                return exit::SUCCESS;
            }
            if let Err(error) = values.check_ids(inputs::flags(phase, api)) {
                return usage(&mut *err, phase, api, &error);
            }
            // Policy P2: NO_COLOR, which the reference does not know, turns colours off too.
            let no_color = values.flag(Key::NoColor)
                || (env.get("NO_COLOR").is_some_and(|value| !value.is_empty())
                    && values.origin(Key::NoColor) == resolve::Origin::Default);
            let threshold = match Threshold::parse(&values.text(Key::LogLevel)) {
                Ok(threshold) => threshold,
                Err(error) => {
                    let console = Console::new(Box::new(out), Threshold::From(Level::Info), !no_color);
                    return fail(&console, &Failure::LogLevel(error));
                }
            };
            let console = Console::on_terminal(Box::new(out), threshold, !no_color, terminal());
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            delivery::protect(&env);
            let capture = capture::begin(&values, &env, &clock, !no_color);
            if let Some(logs) = capture.as_ref().and_then(|capture| capture.logs.clone()) {
                console.heard_by(logs);
            }
            for argument in values.positional.iter().filter(|argument| argument.starts_with('-')) {
                console.emit(SessionEvent::FlagLikeArgument(argument.clone()).into());
            }
            console.emit(SessionEvent::Starting(name).into());
            console.emit(SessionEvent::ParsingInputs.into());
            let mut session = Session::new(phase, api, values, env, cwd, Arc::clone(&console), clock);
            session.capture = capture;
            match command::run(session) {
                Ok(()) => exit::SUCCESS,
                Err(failure) => fail(&console, &failure),
            }
        }
    }
}

/// How wide the terminal is that the user looks at, if there is one.
fn terminal() -> Option<usize> {
    if terminal::is_stdout() { terminal::columns() } else { None }
}

/// Negotiates the Platform API; a deprecated one is told or refused as `CNB_DEPRECATION_MODE` says.
fn negotiate(env: &Environment, console: &Console) -> Result<PlatformApi, Failure> {
    negotiate_of(PlatformApi::SUPPORT, env, console).map(PlatformApi::from)
}

fn negotiate_of(support: Support<'_>, env: &Environment, console: &Console) -> Result<Negotiated, Failure> {
    use crate::api::NegotiationError as E;
    let requested = env.get("CNB_PLATFORM_API").map(|value| value.to_string_lossy().into_owned());
    let negotiated = support.negotiate(requested.as_deref()).map_err(|error| {
        Failure::PlatformApi(match error {
            E::Missing => "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired \
                           platform API version"
                .to_owned(),
            E::Unparsable(text) => format!("failed to parse platform API '{text}'"),
            E::Unsupported(text) => incompatible(&text),
        })
    })?;
    let mode = session::deprecation(env);
    if negotiated.deprecated && mode != DeprecationMode::Quiet {
        let version = negotiated.version.to_string();
        let refused = mode == DeprecationMode::Error;
        console.emit(SessionEvent::DeprecatedPlatformApi { version: version.clone(), refused }.into());
        if refused {
            return Err(Failure::PlatformApi(incompatible(&version)));
        }
    }
    Ok(negotiated)
}

fn incompatible(version: &str) -> String {
    format!("failed to set platform API: platform API version '{version}' is incompatible with the lifecycle")
}

/// Tells a failure and gives its exit code.
fn fail(console: &Console, failure: &Failure) -> u8 {
    failure.events().into_iter().for_each(|event| console.emit(event));
    exit::code(failure)
}

/// Prints what is wrong with the flags, and the flags there are.
fn usage(err: &mut dyn Write, phase: Phase, api: PlatformApi, error: &UsageError) -> u8 {
    let usage = help::usage(phase, api);
    let (reason, code) = match error {
        UsageError::Help => (String::new(), exit::SUCCESS),
        error => (format!("{error}\n"), exit::USAGE),
    };
    let _ = write!(err, "{reason}{usage}");
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Version;

    /// What a console printed, and how negotiation ended.
    fn negotiated(api: &str, mode: Option<&str>) -> (String, Result<(), u8>) {
        const OLD: Version = Version::new(0, 7);
        let support = Support { supported: &[OLD, Version::new(0, 8)], deprecated: &[OLD] };
        let file = tempfile::NamedTempFile::new().unwrap();
        let console = Console::new(Box::new(file.reopen().unwrap()), Threshold::From(Level::Info), false);
        let mode = mode.map(|mode| ("CNB_DEPRECATION_MODE", mode));
        let env: Environment = [("CNB_PLATFORM_API", api)].into_iter().chain(mode).collect();
        let result = negotiate_of(support, &env, &console).map(drop);
        let code = result.map_err(|failure| fail(&console, &failure));
        (std::fs::read_to_string(file.path()).unwrap(), code)
    }

    #[test]
    fn a_deprecated_platform_api_is_told_or_refused() {
        assert_eq!(negotiated("0.8", Some("error")), (String::new(), Ok(())));
        assert_eq!(negotiated("0.7", Some("quiet")), (String::new(), Ok(())));
        let text = "Platform requested deprecated API '0.7'\n";
        for mode in [None, Some("warn"), Some("unknown")] {
            assert_eq!(negotiated("0.7", mode), (format!("Warning: {text}"), Ok(())), "{mode:?}");
        }
        let (said, code) = negotiated("0.7", Some("error"));
        assert_eq!(code, Err(11));
        let refused = "ERROR: Deprecated APIs are disabled by CNB_DEPRECATION_MODE=error\n\
                       ERROR: failed to set platform API: platform API version '0.7' is incompatible with the lifecycle\n";
        assert!(said.starts_with(&format!("ERROR: {text}{refused}")), "{said}");
    }
}
