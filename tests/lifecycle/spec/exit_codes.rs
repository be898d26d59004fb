//! `spec-fixtures/exit-codes.toml`: each condition is provoked and ends the program with its code and text.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::case::Variable;
use super::{PLATFORM_APIS, proof, table, versions};
use crate::support::World;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExitCodes {
    /// What each code means.
    codes: BTreeMap<String, String>,
    condition: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    exit: i32,
    /// What has happened.
    what: String,
    /// What is said on standard output, or with `usage` on standard error.
    #[serde(default)]
    says: Vec<String>,
    /// The text goes to standard error.
    #[serde(default)]
    usage: bool,
    /// The programs that end so, each run with the arguments, variables and files below.
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Variable>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    apis: Option<String>,
    /// Cases and tests that provoke it, where more is needed than a few files.
    #[serde(default)]
    cases: Vec<String>,
    /// Why nothing provokes it.
    reason: Option<String>,
}

impl Condition {
    fn provoke(&self, program: &str, api: &'static str) {
        let world = World::new().at(api);
        for (name, text) in &self.files {
            world.write(name, text);
        }
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let env: Vec<(&String, Option<String>)> =
            self.env.iter().map(|(name, value)| (name, value.value(str::to_owned))).collect();
        let env: Vec<(&str, Option<&str>)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let mut outcome = world.run_with(program, &args, &env).exits(self.exit);
        for text in &self.says {
            outcome = if self.usage { outcome.complains(text) } else { outcome.says(text) };
        }
        outcome.done();
    }
}

#[test]
fn every_condition_ends_with_its_code_and_text() {
    let table: ExitCodes = table("exit-codes.toml");
    for condition in &table.condition {
        let apis =
            condition.apis.as_deref().map_or_else(|| vec!["0.12", "0.15"], |range| versions(range, PLATFORM_APIS));
        for api in apis {
            for program in &condition.programs {
                condition.provoke(program, api);
            }
        }
    }
}

#[test]
fn every_condition_is_provoked_somewhere_or_says_why_not() {
    let table: ExitCodes = table("exit-codes.toml");
    let mut faults = Vec::new();
    for condition in &table.condition {
        let provoked = !condition.programs.is_empty() || !condition.cases.is_empty();
        if provoked == condition.reason.is_some() {
            faults.push(format!("{}: either provoked or a reason", condition.what));
        }
        if !table.codes.contains_key(&condition.exit.to_string()) {
            faults.push(format!("{}: {} has no meaning", condition.what, condition.exit));
        }
        faults.extend(
            proof::unknown(&condition.cases).iter().map(|name| format!("{}: there is no {name}", condition.what)),
        );
    }
    for code in table.codes.keys() {
        if !table.condition.iter().any(|condition| condition.exit.to_string() == *code) {
            faults.push(format!("no condition ends with {code}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
