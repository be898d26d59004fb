//! Flags of instructions: which there are, and what they may be.

use super::suggestion;
use crate::model::dockerfile::Flag;

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `--x`, `--x=true` or `--x=false`.
    Bool,
    /// `--x=value`, once.
    Text,
    /// `--x=value`, any number of times.
    Texts,
}

use Takes::{Bool, Text, Texts};

/// Flags by name.
pub(super) type Known = &'static [(&'static str, Takes)];

pub(super) const NONE: Known = &[];
pub(super) const ADD: Known = &[
    ("chown", Text),
    ("chmod", Text),
    ("link", Bool),
    ("keep-git-dir", Bool),
    ("checksum", Text),
    ("unpack", Bool),
    ("exclude", Texts),
];
pub(super) const COPY: Known =
    &[("chown", Text), ("from", Text), ("chmod", Text), ("link", Bool), ("exclude", Texts), ("parents", Bool)];
pub(super) const FROM: Known = &[("platform", Text)];
pub(super) const HEALTHCHECK: Known =
    &[("interval", Text), ("timeout", Text), ("start-period", Text), ("start-interval", Text), ("retries", Text)];
pub(super) const RUN: Known = &[("mount", Texts), ("network", Text), ("security", Text), ("device", Texts)];

/// Checks the flags of an instruction.
pub(super) fn parse(given: &[String], known: Known) -> Result<Vec<Flag>, String> {
    let mut flags: Vec<Flag> = Vec::new();
    for word in given {
        let (dashed, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let name = dashed.strip_prefix("--").ok_or_else(|| format!("arg should start with -- : {word}"))?;
        let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(format!("unknown flag: {dashed}{}", suggestion::nearest(name, &names)));
        };
        if *takes != Texts && flags.iter().any(|flag| flag.name == name) {
            return Err(format!("duplicate flag specified: {dashed}"));
        }
        match (takes, value.map(str::to_ascii_lowercase).as_deref()) {
            (Text | Texts, None) | (Bool, Some("")) => return Err(format!("missing a value on flag: {dashed}")),
            (Bool, None | Some("true" | "false")) | (Text | Texts, Some(_)) => {}
            (Bool, Some(_)) => {
                return Err(format!("expecting boolean value for flag {dashed}, not: {}", value.unwrap_or_default()));
            }
        }
        flags.push(Flag { name: name.to_owned(), value: value.map(str::to_owned) });
    }
    Ok(flags)
}

/// Checks the values of the flags of `RUN`.
pub(super) fn check_run(flags: &[Flag]) -> Result<(), String> {
    for flag in flags {
        let value = flag.value.as_deref().unwrap_or_default();
        match flag.name.as_str() {
            "network" if !["default", "none", "host"].contains(&value) => {
                return Err(format!("invalid network mode {value:?}"));
            }
            "security" if !["insecure", "sandbox"].contains(&value) => {
                return Err(format!("security {value:?} is not valid"));
            }
            "mount" => {
                let from = value.split(',').filter_map(|field| field.split_once('='));
                let mut from = from.filter(|(key, _)| key.eq_ignore_ascii_case("from")).map(|(_, value)| value);
                if from.any(|value| value.find('$').is_some_and(|at| at + 1 < value.len())) {
                    let text = "'from' doesn't support variable expansion, define alias stage instead";
                    return Err(text.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}
