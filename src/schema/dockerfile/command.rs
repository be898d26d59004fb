//! The arguments of each instruction.

use super::split::{self, BLANKS, Parts};
use super::{flags, heredoc, suggestion};
use crate::model::dockerfile::{Argument, Command, CommandLine, Flag, Healthcheck, Pair, Source, Transfer};
use crate::model::duration;

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads an instruction, and the flags that it knows.
pub(super) fn parse(parts: &Parts<'_>, escape: char) -> Result<(Command, Vec<Flag>), String> {
    let text = parts.arguments;
    let name = parts.name.to_ascii_uppercase();
    let list = || text_list(text);
    let with = |command: Command, known| Ok((command, flags::parse(&parts.flags, known)?));
    match name.as_str() {
        "ADD" => with(Command::Add(transfer("ADD", text)?), flags::ADD),
        "ARG" => Ok((Command::Arg(arguments(text, escape)?), Vec::new())),
        "CMD" => with(Command::Cmd(command_line(text)?), flags::NONE),
        "COPY" => with(Command::Copy(transfer("COPY", text)?), flags::COPY),
        "ENTRYPOINT" => with(Command::Entrypoint(command_line(text)?), flags::NONE),
        "ENV" => with(Command::Env(pairs("ENV", text, escape)?), flags::NONE),
        "EXPOSE" => {
            let mut ports = some("EXPOSE", split::at_blanks(text))?;
            ports.sort();
            with(Command::Expose(ports), flags::NONE)
        }
        "FROM" => with(from(text)?, flags::FROM),
        "HEALTHCHECK" => healthcheck(text, &parts.flags),
        "LABEL" => with(Command::Label(pairs("LABEL", text, escape)?), flags::NONE),
        "MAINTAINER" => with(Command::Maintainer(one("MAINTAINER", text)?), flags::NONE),
        "ONBUILD" => with(onbuild(text, escape)?, flags::NONE),
        "RUN" => {
            let flags = flags::parse(&parts.flags, flags::RUN)?;
            flags::check_run(&flags)?;
            Ok((Command::Run(command_line(text)?), flags))
        }
        "SHELL" => match json(text)? {
            Some(words) if !words.is_empty() => with(Command::Shell(words), flags::NONE),
            None if !text.is_empty() => Err("SHELL requires the arguments to be in JSON form".to_owned()),
            _ => Err("SHELL requires at least one argument".to_owned()),
        },
        "STOPSIGNAL" => Ok((Command::StopSignal(one("STOPSIGNAL", text)?), Vec::new())),
        "USER" => with(Command::User(one("USER", text)?), flags::NONE),
        "VOLUME" => {
            let volumes: Vec<String> = some("VOLUME", list()?)?.iter().map(|volume| volume.trim().to_owned()).collect();
            if volumes.iter().any(String::is_empty) {
                return Err("VOLUME specified can not be an empty string".to_owned());
            }
            with(Command::Volume(volumes), flags::NONE)
        }
        "WORKDIR" => with(Command::Workdir(one("WORKDIR", text)?), flags::NONE),
        _ => Err(format!("unknown instruction: {}{}", parts.name, suggestion::nearest(parts.name, &NAMES))),
    }
}

/// Reads a list in JSON; `None` where there is none.
pub(super) fn json(text: &str) -> Result<Option<Vec<String>>, String> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let texts = values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>();
    let text = || "when using JSON array syntax, arrays must be comprised of strings only".to_owned();
    texts.map(Some).ok_or_else(text)
}

fn text_list(text: &str) -> Result<Vec<String>, String> {
    Ok(json(text)?.unwrap_or_else(|| split::at_blanks(text)))
}

fn command_line(text: &str) -> Result<CommandLine, String> {
    Ok(json(text)?.map_or_else(|| CommandLine::Shell(text.to_owned()), CommandLine::Exec))
}

fn one(name: &str, text: &str) -> Result<String, String> {
    if text.is_empty() { Err(format!("{name} requires exactly one argument")) } else { Ok(text.to_owned()) }
}

fn some(name: &str, list: Vec<String>) -> Result<Vec<String>, String> {
    if list.is_empty() { Err(format!("{name} requires at least one argument")) } else { Ok(list) }
}

fn transfer(name: &str, text: &str) -> Result<Transfer, String> {
    let mut words = text_list(text)?;
    let destination = words.pop().filter(|_| !words.is_empty()).ok_or_else(|| {
        format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    })?;
    if heredoc::parse(&destination).is_some() {
        return Err(format!("{name} cannot accept a heredoc as a destination"));
    }
    let source = |word: String| match heredoc::parse(&word) {
        Some(heredoc) => Source::Heredoc(heredoc.name),
        None => Source::Path(word),
    };
    Ok(Transfer { sources: words.into_iter().map(source).collect(), destination })
}

fn arguments(text: &str, escape: char) -> Result<Vec<Argument>, String> {
    let words = some("ARG", split::words(text, escape))?;
    let argument = |word: String| match word.split_once('=') {
        Some(("", _)) => Err("ARG names can not be blank".to_owned()),
        Some((name, default)) => Ok(Argument { name: name.to_owned(), default: Some(default.to_owned()) }),
        None => Ok(Argument { name: word, default: None }),
    };
    words.into_iter().map(argument).collect()
}

/// `key=value ...`, or the older `key value` where the first word has no `=`.
fn pairs(name: &str, text: &str, escape: char) -> Result<Vec<Pair>, String> {
    let words = some(name, split::words(text, escape))?;
    let pair = |key: &str, value: &str| {
        if key.is_empty() {
            return Err(format!("{name} names can not be blank"));
        }
        Ok(Pair { key: key.to_owned(), value: value.to_owned() })
    };
    if !words[0].contains('=') {
        let (key, value) = text.split_once(BLANKS).ok_or_else(|| format!("{name} must have two arguments"))?;
        return Ok(vec![pair(key, value.trim_start_matches(BLANKS))?]);
    }
    let split = |word: &String| {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value"))?;
        pair(key, value)
    };
    words.iter().map(split).collect()
}

fn from(text: &str) -> Result<Command, String> {
    let words = split::at_blanks(text);
    match words.as_slice() {
        [image] => Ok(Command::From { image: image.clone(), stage: None }),
        [image, word, stage] if word.eq_ignore_ascii_case("as") => {
            let name = stage.to_lowercase();
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_name) {
                return Err(format!(
                    "invalid name for build stage: {stage:?}, name can't start with a number or contain symbols"
                ));
            }
            Ok(Command::From { image: image.clone(), stage: Some(name) })
        }
        _ => Err("FROM requires either one or three arguments".to_owned()),
    }
}

fn onbuild(text: &str, escape: char) -> Result<Command, String> {
    let text = some("ONBUILD", vec![text.to_owned()].into_iter().filter(|text| !text.is_empty()).collect())?.remove(0);
    match split::instruction(&text, escape).name.to_ascii_uppercase().as_str() {
        "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        name @ ("MAINTAINER" | "FROM") => Err(format!("{name} isn't allowed as an ONBUILD trigger")),
        _ => Ok(Command::Onbuild(text)),
    }
}

fn healthcheck(text: &str, given: &[String]) -> Result<(Command, Vec<Flag>), String> {
    if text.is_empty() {
        return Err("HEALTHCHECK requires at least one argument".to_owned());
    }
    let (kind, rest) =
        text.split_once(char::is_whitespace).map_or((text, ""), |(kind, rest)| (kind, rest.trim_start()));
    let mut check = Healthcheck {
        test: None,
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
    };
    if kind.eq_ignore_ascii_case("none") {
        // Its flags mean nothing, and are not looked at.
        let error = || "HEALTHCHECK NONE takes no arguments".to_owned();
        return rest.is_empty().then_some((Command::Healthcheck(check), Vec::new())).ok_or_else(error);
    }
    let flags = flags::parse(given, flags::HEALTHCHECK)?;
    if !kind.eq_ignore_ascii_case("cmd") {
        let kind = kind.to_uppercase();
        return Err(format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"));
    }
    let test = command_line(rest)?;
    if matches!(&test, CommandLine::Exec(words) if words.is_empty()) || rest.is_empty() {
        return Err("Missing command after HEALTHCHECK CMD".to_owned());
    }
    check.test = Some(test);
    for flag in &flags {
        let value = flag.value.as_deref().unwrap_or_default();
        let field = match flag.name.as_str() {
            "interval" => &mut check.interval,
            "timeout" => &mut check.timeout,
            "start-period" => &mut check.start_period,
            "start-interval" => &mut check.start_interval,
            _ => {
                check.retries = retries(value)?;
                continue;
            }
        };
        *field = interval(&flag.name, value)?;
    }
    Ok((Command::Healthcheck(check), flags))
}

/// Nothing and 0 leave the time as it is in the base image.
fn interval(name: &str, value: &str) -> Result<Option<std::time::Duration>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let positive = value.strip_prefix('-').unwrap_or(value);
    let time = duration::parse(positive).ok_or_else(|| format!("time: invalid duration {value:?}"))?;
    if time.is_zero() {
        return Ok(None);
    }
    if positive != value || time < std::time::Duration::from_millis(1) {
        return Err(format!("Interval {name:?} cannot be less than 1ms"));
    }
    Ok(Some(time))
}

fn retries(value: &str) -> Result<Option<u32>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let number: i32 = value.parse().map_err(|_| format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))?;
    u32::try_from(number).map(Some).map_err(|_| format!("--retries cannot be negative ({number})"))
}
