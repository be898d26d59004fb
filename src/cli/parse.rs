//! Arguments in Go's flag form.
//!
//! `-name`, `--name`, `-name=value`, `-name value`; a boolean takes a value only behind `=`; parsing stops at the first
//! positional argument or behind `--`. What is found is brought to clap's form, so that one table makes both the parser
//! and the help. Catalogue 1, section 1.3.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::num::IntErrorKind;

use clap::{Arg, ArgAction, Command};

use super::inputs::{Input, Key, Kind, flags};
use crate::api::PlatformApi;
use crate::effect::events::Phase;

/// What the command line gave, nothing resolved yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawFlags {
    /// Values by input; more than one for lists only.
    pub values: BTreeMap<Key, Vec<OsString>>,
    /// Positional arguments.
    pub positional: Vec<OsString>,
}

/// The command line is wrong: exit code 2, with the usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UsageError {
    /// `-h` or `-help`: exit code 0.
    #[error("flag: help requested")]
    Help,
    /// A word like `---x` or `-=x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// The phase has no such flag at this version.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// There is no value behind the flag.
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    /// The value of a boolean is none.
    #[error("invalid boolean value \"{1}\" for -{0}: parse error")]
    Boolean(String, String),
    /// The value does not fit.
    #[error("invalid value \"{1}\" for flag -{0}: parse error")]
    Value(String, String),
    /// The value is a number that is too large.
    #[error("invalid value \"{1}\" for flag -{0}: value out of range")]
    Range(String, String),
    /// The number is no id of a user or group.
    #[error("invalid value \"{1}\" for {0}: a user or group id is a number from 0 to 4294967294")]
    Id(String, String),
}

/// Reads Go's booleans.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Reads Go's integers: a sign, a prefix `0x`, `0o`, `0b` or `0`, digits.
pub(super) fn parse_int(text: &str) -> Result<i64, IntErrorKind> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((radix, lower.strip_prefix(prefix)?)))
        .unwrap_or_else(|| match lower.strip_prefix('0') {
            Some(rest) if !rest.is_empty() => (8, rest),
            _ => (10, lower.as_str()),
        });
    if digits.starts_with(['+', '-']) {
        return Err(IntErrorKind::InvalidDigit);
    }
    let number = i64::from_str_radix(digits, radix).map_err(|error| *error.kind())?;
    Ok(if negative { -number } else { number })
}

/// Makes the clap command of a phase at a version.
pub(super) fn command(phase: Phase, api: PlatformApi) -> Command {
    let mut command = Command::new(phase.program())
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .arg(Arg::new(POSITIONAL).action(ArgAction::Append).last(true).value_parser(clap::value_parser!(OsString)));
    for input in flags(phase, api) {
        command = command.arg(
            Arg::new(input.flag)
                .long(input.flag)
                .help(input.help)
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .value_parser(clap::value_parser!(OsString)),
        );
    }
    command
}

const POSITIONAL: &str = "positional";

/// Parses the arguments of a phase at a version.
///
/// # Errors
/// See [`UsageError`]; the first fault counts.
pub(super) fn parse(phase: Phase, api: PlatformApi, args: &[OsString]) -> Result<RawFlags, UsageError> {
    // Platforms often say all by the environment, and making clap's command is a good part of a short phase.
    if args.is_empty() {
        return Ok(RawFlags::default());
    }
    let known: Vec<&Input> = flags(phase, api).collect();
    let matches = command(phase, api)
        .no_binary_name(true)
        .try_get_matches_from(to_clap(&known, args)?)
        .map_err(|error| UsageError::Syntax(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
    let mut raw = RawFlags::default();
    for input in known {
        if let Some(values) = matches.get_many::<OsString>(input.flag) {
            let mut values: Vec<OsString> = values.cloned().collect();
            if input.kind != Kind::List {
                values.drain(..values.len() - 1);
            }
            raw.values.insert(input.key, values);
        }
    }
    raw.positional = matches.get_many::<OsString>(POSITIONAL).into_iter().flatten().cloned().collect();
    Ok(raw)
}

/// Brings arguments from Go's form to `--name=value ... -- positional ...`, and says what Go says of wrong ones.
fn to_clap(known: &[&Input], args: &[OsString]) -> Result<Vec<OsString>, UsageError> {
    let mut words = args.iter();
    let mut clap = Vec::with_capacity(args.len() + 1);
    let mut positional = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let Some(dashed) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            positional.push(word.clone());
            break;
        };
        let body = match dashed.strip_prefix('-') {
            Some("") => break,
            Some(body) => body,
            None => dashed,
        };
        if body.starts_with(['-', '=']) {
            return Err(UsageError::Syntax(text.into_owned()));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let Some(input) = known.iter().find(|input| input.flag == name) else {
            return Err(match name {
                "h" | "help" => UsageError::Help,
                _ => UsageError::Unknown(name.to_owned()),
            });
        };
        let value = match (input.kind, value) {
            (_, Some(_)) => value_behind_equals(word),
            (Kind::Bool | Kind::BoolOrAll, None) => "true".into(),
            (_, None) => words.next().cloned().ok_or_else(|| UsageError::NoValue(name.to_owned()))?,
        };
        check(input, &value)?;
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        clap.push(argument);
    }
    clap.push("--".into());
    clap.extend(positional);
    clap.extend(words.cloned());
    Ok(clap)
}

/// The bytes behind the first `=`, which need not be UTF-8.
fn value_behind_equals(word: &OsString) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let bytes = word.as_bytes();
    let start = bytes.iter().position(|b| *b == b'=').map_or(bytes.len(), |at| at + 1);
    OsString::from_vec(bytes[start..].to_vec())
}

/// Holds that a value is one of its input.
pub(super) fn check(input: &Input, value: &OsStr) -> Result<(), UsageError> {
    let text = value.to_string_lossy();
    let fault = |make: fn(String, String) -> UsageError| Err(make(input.flag.to_owned(), text.clone().into_owned()));
    match input.kind {
        Kind::Bool if parse_bool(&text).is_none() => fault(UsageError::Boolean),
        Kind::BoolOrAll if text != "all" && parse_bool(&text).is_none() => fault(UsageError::Boolean),
        Kind::Int => match parse_int(&text) {
            Ok(_) => Ok(()),
            Err(IntErrorKind::PosOverflow) => fault(UsageError::Range),
            Err(_) => fault(UsageError::Value),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(text: &str) -> PlatformApi {
        PlatformApi::negotiate(Some(text)).unwrap()
    }

    fn parsed(phase: Phase, version: &str, args: &[&str]) -> Result<RawFlags, UsageError> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        parse(phase, api(version), &args)
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        for args in [&["-layers", "/x"][..], &["--layers", "/x"], &["-layers=/x"], &["--layers=/x"]] {
            let raw = parsed(Phase::Detect, "0.12", args).unwrap();
            assert_eq!(raw.values[&Key::Layers], [OsString::from("/x")], "{args:?}");
        }
    }

    #[test]
    fn a_boolean_takes_a_value_only_behind_an_equals_sign() {
        let raw = parsed(Phase::Analyze, "0.12", &["-daemon", "false"]).unwrap();
        assert_eq!(raw.values[&Key::Daemon], [OsString::from("true")]);
        assert_eq!(raw.positional, [OsString::from("false")]);
        let raw = parsed(Phase::Analyze, "0.12", &["-daemon=0", "img"]).unwrap();
        assert_eq!(raw.values[&Key::Daemon], [OsString::from("0")]);
    }

    #[test]
    fn live_spans_are_off_on_or_all() {
        for (args, value) in [(&["-traces-otlp", "all"][..], "true"), (&["-traces-otlp=all"], "all")] {
            let raw = parsed(Phase::Rebase, "0.7", args).unwrap();
            assert_eq!(raw.values[&Key::TracesOtlp], [OsString::from(value)], "{args:?}");
        }
        let error = parsed(Phase::Build, "0.12", &["-traces-otlp=some"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid boolean value \"some\" for -traces-otlp: parse error");
    }

    #[test]
    fn parsing_stops_at_the_first_positional_and_at_two_dashes() {
        let raw = parsed(Phase::Analyze, "0.12", &["img", "-daemon"]).unwrap();
        assert_eq!(raw.positional, [OsString::from("img"), OsString::from("-daemon")]);
        assert!(raw.values.is_empty());
        let raw = parsed(Phase::Analyze, "0.12", &["-daemon", "--", "-layers"]).unwrap();
        assert_eq!(raw.positional, [OsString::from("-layers")]);
    }

    #[test]
    fn a_value_may_begin_with_a_dash() {
        let raw = parsed(Phase::Detect, "0.12", &["-layers", "-x", "-log-level", "--"]).unwrap();
        assert_eq!(raw.values[&Key::Layers], [OsString::from("-x")]);
        assert_eq!(raw.values[&Key::LogLevel], [OsString::from("--")]);
    }

    #[test]
    fn the_last_value_counts_and_lists_keep_all() {
        let raw = parsed(Phase::Analyze, "0.13", &["-tag", "a", "-tag=b", "-layers", "/1", "-layers", "/2"]).unwrap();
        assert_eq!(raw.values[&Key::Tag], [OsString::from("a"), OsString::from("b")]);
        assert_eq!(raw.values[&Key::Layers], [OsString::from("/2")]);
    }

    #[test]
    fn faults_are_worded_as_go_words_them() {
        for (args, text) in [
            (&["-bogus"][..], "flag provided but not defined: -bogus"),
            (&["-layers"], "flag needs an argument: -layers"),
            (&["-no-color=maybe"], "invalid boolean value \"maybe\" for -no-color: parse error"),
            (&["---x"], "bad flag syntax: ---x"),
        ] {
            assert_eq!(parsed(Phase::Detect, "0.12", args).unwrap_err().to_string(), text);
        }
        let error = parsed(Phase::Analyze, "0.12", &["-uid", "x"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid value \"x\" for flag -uid: parse error");
        let error = parsed(Phase::Analyze, "0.12", &["-uid", "99999999999999999999"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid value \"99999999999999999999\" for flag -uid: value out of range");
    }

    #[test]
    fn a_later_flag_is_not_defined_at_an_earlier_version() {
        assert!(parsed(Phase::Detect, "0.9", &["-extensions", "x"]).is_err());
        assert!(parsed(Phase::Detect, "0.10", &["-extensions", "x"]).is_ok());
    }

    #[test]
    fn integers_have_the_prefixes_of_go() {
        for (text, number) in [
            ("10", Some(10)),
            ("0x10", Some(16)),
            ("0o17", Some(15)),
            ("0b11", Some(3)),
            ("010", Some(8)),
            ("-1", Some(-1)),
            ("", None),
            ("0x", None),
            ("--1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_int(text).ok(), number, "{text}");
        }
    }
}
