//! Sentences of [`SessionEvent`].

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Line;
use crate::effect::events::{Phase, SessionEvent as E, Timed};

/// What is said when a deprecated API is refused, before the failure itself.
const DEPRECATED_REFUSED: &str = "Deprecated APIs are disabled by CNB_DEPRECATION_MODE=error";

/// The lines for an event.
pub(super) fn lines(event: &E) -> Vec<Line> {
    vec![match event {
        E::Starting(name) => Line::debug(format!("Starting {name}...")),
        E::ParsingInputs => Line::debug("Parsing inputs..."),
        E::EnsuringPrivileges => Line::debug("Ensuring privileges..."),
        E::Executing => Line::debug("Executing command..."),
        E::FlagLikeArgument(arg) => Line::warn(format!(
            "Warning: unconsumed flag-like positional arg: \n\t{arg}\n\t This will not be interpreted as a flag.\n\t Did \
             you mean to put this before the first positional argument?"
        )),
        E::DeprecatedPlatformApi { version, refused } => {
            let text = format!("Platform requested deprecated API '{version}'");
            return guarded(text, *refused, DEPRECATED_REFUSED);
        }
        E::DeprecatedBuildpackApi { kind, module, version, refused } => {
            let text = format!("{kind} '{module}' requests deprecated API '{version}'");
            return guarded(text, *refused, DEPRECATED_REFUSED);
        }
        E::Experimental { feature, refused } => {
            let text = format!("Platform requested experimental feature '{feature}'");
            // The second line is the failure itself.
            return vec![if *refused { Line::error(text) } else { Line::warn(text) }];
        }
        E::NoCache => Line::warn("No cached data will be used, no cache specified."),
        E::LaunchCacheIgnored => Line::warn("Ignoring -launch-cache, only intended for use with -daemon"),
        E::DaemonAsleep(error) => Line::warn(format!("ping error: {error}")),
        E::ParallelWithoutCache => Line::warn(
            "Parallel export has been enabled, but it has not taken effect because no cache has been specified.",
        ),
        E::NoAnalyzed(path) => Line::warn(format!("No analyzed metadata found at path \"{}\"", path.display())),
        E::AnalyzedUnusable(cause) => Line::warn(format!("Not using analyzed data, usable file not found: {cause}")),
        E::NoRunMetadata(path) => Line::info(format!("No run metadata found at path \"{}\"", path.display())),
        E::NoStackMetadata(path) => Line::info(format!("No stack metadata found at path \"{}\"", path.display())),
        E::NoSystemBuildpacks(path) => {
            Line::debug(format!("No system buildpacks found at path \"{}\"", path.display()))
        }
        E::NoProjectMetadata(path) => Line::debug(format!("No project metadata found at path \"{}\"", path.display())),
        E::Banner(phase) => Line::info(format!("\x1b[36m===> {}\x1b[0m", banner(*phase))),
        E::TimerStarted { work, at } => Line::debug(format!("Timer: {} started at {}", timer(*work), rfc3339(*at))),
        E::TimerEnded { work, at, took } => {
            Line::debug(format!("Timer: {} ran for {} and ended at {}", timer(*work), duration(*took), rfc3339(*at)))
        }
        E::UnsafeRegistry { registry, plain: true } => {
            Line::info(format!("Registry {registry} is reached by plain http"))
        }
        E::UnsafeRegistry { registry, plain: false } => {
            Line::info(format!("The certificate of registry {registry} is not verified"))
        }
        E::HeldOutput(program) => Line::warn(format!(
            "{} has ended; a process that it started still holds its output and is not waited for",
            program.display()
        )),
        E::Delivering { waiting, deadline } => Line::info(format!(
            "Sending {waiting} spans and log records to the collector, for {} at most",
            duration(*deadline)
        )),
        E::Telemetry(text) => Line::warn(text.as_str()),
        E::Failed(text) => Line::error(text.as_str()),
        E::Hint(text) => Line::info(text.as_str()),
    }]
}

fn guarded(text: String, refused: bool, reason: &str) -> Vec<Line> {
    if refused { vec![Line::error(text), Line::error(reason)] } else { vec![Line::warn(text)] }
}

fn banner(phase: Phase) -> &'static str {
    match phase {
        Phase::Analyze => "ANALYZING",
        Phase::Detect => "DETECTING",
        Phase::Restore => "RESTORING",
        Phase::Extend => "EXTENDING",
        Phase::Build => "BUILDING",
        Phase::Export => "EXPORTING",
        Phase::Create => "CREATING",
        Phase::Rebase => "REBASING",
    }
}

fn timer(work: Timed) -> &'static str {
    match work {
        Timed::Generate => "Generator",
        Timed::Phase(Phase::Analyze) => "Analyzer",
        Timed::Phase(Phase::Detect) => "Detector",
        Timed::Phase(Phase::Restore) => "Restorer",
        Timed::Phase(Phase::Extend) => "Extender",
        Timed::Phase(Phase::Build) => "Builder",
        Timed::Phase(Phase::Export) => "Exporter",
        Timed::Phase(Phase::Create) => "Creator",
        Timed::Phase(Phase::Rebase) => "Rebaser",
    }
}

fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// A duration as Go prints one: `1.5s`, `12ms`.
fn duration(took: Duration) -> String {
    format!("{took:?}")
}
