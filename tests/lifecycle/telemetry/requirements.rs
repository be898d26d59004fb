//! Each requirement of telemetry has a test that is named after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every decision and every requirement. There is no R29.
fn required() -> BTreeSet<String> {
    let requirements = (1..=28).chain(30..=41).map(|number| format!("r{number}"));
    let decisions = (1..=14).map(|number| format!("t{number}"));
    requirements.chain(decisions).collect()
}

/// The numbers at the front of a name such as `r3_r4_lines_are_valid`.
fn numbers(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').take_while(|part| {
        let digits = part.strip_prefix(['r', 't']).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn tests_below(folder: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for pair in lines.windows(2).filter(|pair| pair[0] == "#[test]") {
                let Some(name) = pair[1].strip_prefix("fn ").and_then(|rest| rest.split('(').next()) else { continue };
                for number in numbers(name) {
                    found.entry(number.to_owned()).or_default().push(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_requirement_has_a_test_of_its_name() {
    let (mut found, required) = (BTreeMap::new(), required());
    for folder in ["src", "tests", "acceptance"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    let numbers: BTreeSet<String> = found.keys().cloned().collect();
    let differ: Vec<&String> = numbers.symmetric_difference(&required).collect();
    assert!(differ.is_empty(), "{differ:?}: a requirement without a test, or a test without a requirement: {found:#?}");
}
