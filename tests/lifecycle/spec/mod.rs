//! `spec-fixtures`: the specification as data, compared with the code and played with the programs.

/// Cases: a folder in, a phase, a folder out.
mod case;
/// Runs cases and compares.
mod cases;
/// The ledger of clauses.
mod clauses;
/// What the reference was seen to do.
mod conformance;
/// Exit codes.
mod exit_codes;
/// What the API versions differ in.
mod features;
/// Flags, variables and defaults.
mod inputs;
/// The differences of docs/PARITY.md.
mod parity;
/// Names of cases and tests in the tables, and whether there are such.
mod proof;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The Platform APIs that are supported, lowest first.
const PLATFORM_APIS: &[&str] = &["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16"];

/// The Buildpack APIs that are supported, lowest first.
const BUILDPACK_APIS: &[&str] = &["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13"];

/// The folder of the fixtures.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("spec-fixtures")
}

/// Reads a table of the fixtures.
fn table<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The versions of a list that a range names: `0.12..` from 0.12 on, `..0.12` those before it, `0.9..0.12` both,
/// `0.12` that one.
fn versions(range: &str, list: &'static [&'static str]) -> Vec<&'static str> {
    let place = |version: &str| {
        list.iter().position(|known| *known == version).unwrap_or_else(|| panic!("{range}: no version {version}"))
    };
    let (from, to) = range.split_once("..").map_or_else(
        || (place(range), place(range) + 1),
        |(from, to)| {
            let from = if from.is_empty() { 0 } else { place(from) };
            (from, if to.is_empty() { list.len() } else { place(to) })
        },
    );
    assert!(from < to, "{range} is empty");
    list[from..to].to_vec()
}

#[test]
fn the_lists_of_versions_are_those_of_the_code() {
    let platform: Vec<String> = cnb_lifecycle::api::PlatformApi::all().map(|api| api.to_string()).collect();
    let buildpack: Vec<String> = cnb_lifecycle::api::BuildpackApi::all().map(|api| api.to_string()).collect();
    assert_eq!(platform, PLATFORM_APIS);
    assert_eq!(buildpack, BUILDPACK_APIS);
}
