//! `spec-fixtures/inputs/<api>.toml` beside the table of inputs in `cli::inputs`, both ways.

use std::collections::{BTreeMap, BTreeSet};

use cnb_lifecycle::api::PlatformApi;
use cnb_lifecycle::cli::inputs::{INPUTS, Input, Kind, flags};
use cnb_lifecycle::effect::events::Phase;
use serde::Deserialize;

use super::{PLATFORM_APIS, table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    api: String,
    flags: BTreeMap<String, BTreeSet<String>>,
    values: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Value {
    kind: String,
    env: Vec<String>,
    default: String,
}

const PHASES: [Phase; 8] = [
    Phase::Analyze,
    Phase::Detect,
    Phase::Restore,
    Phase::Extend,
    Phase::Build,
    Phase::Export,
    Phase::Create,
    Phase::Rebase,
];

/// The name in the fixtures of an input: its flag, or for one without its key in the fixtures' spelling.
fn name(input: &Input) -> String {
    if !input.flag.is_empty() {
        return input.flag.to_owned();
    }
    let mut name = String::new();
    for letter in format!("{:?}", input.key).chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn value(input: &Input) -> Value {
    let kind = match input.kind {
        Kind::Text => "text",
        Kind::File => "path",
        Kind::Dir => "folder",
        Kind::Bool => "boolean",
        Kind::BoolOrAll => "boolean-or-all",
        Kind::Int => "integer",
        Kind::List => "list",
    };
    let env = input.env.iter().map(|name| (*name).to_owned()).collect();
    Value { kind: kind.to_owned(), env, default: input.default.to_owned() }
}

#[test]
fn flags_variables_and_defaults_are_those_of_the_specification() {
    let values: BTreeMap<String, Value> = INPUTS.iter().map(|input| (name(input), value(input))).collect();
    let mut faults = Vec::new();
    for version in PLATFORM_APIS {
        let fixture: Inputs = table(&format!("inputs/{version}.toml"));
        assert_eq!(fixture.api, *version);
        let api = PlatformApi::negotiate(Some(version)).unwrap();
        for phase in PHASES {
            let known: BTreeSet<String> = flags(phase, api).map(|input| input.flag.to_owned()).collect();
            let wanted = &fixture.flags[phase.program()];
            for flag in wanted.symmetric_difference(&known) {
                let which = if wanted.contains(flag) { "the code lacks" } else { "only the code has" };
                faults.push(format!("{version} {}: {which} -{flag}", phase.program()));
            }
        }
        for name in fixture.values.keys().chain(values.keys()).collect::<BTreeSet<_>>() {
            let (wanted, found) = (fixture.values.get(name), values.get(name));
            if wanted != found {
                faults.push(format!("{version} {name}: {wanted:?}, but the code has {found:?}"));
            }
        }
        let given: BTreeSet<_> = fixture.flags.keys().map(String::as_str).collect();
        assert_eq!(given, PHASES.iter().map(|phase| phase.program()).collect(), "{version}");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
