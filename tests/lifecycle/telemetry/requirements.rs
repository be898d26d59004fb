//! Each requirement of telemetry has a test that is named after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The requirements on files, crashes, context and content, and the decisions behind them. T11 and T12, and R30
/// to R36, are of build logs.
fn required() -> BTreeSet<String> {
    let requirements = (1..=28).chain(37..=41).map(|number| format!("r{number}"));
    let decisions = (1..=14).filter(|number| ![11, 12].contains(number)).map(|number| format!("t{number}"));
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
    let mut found = BTreeMap::new();
    for folder in ["src", "tests", "acceptance"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    let missing: Vec<String> = required().into_iter().filter(|number| !found.contains_key(number)).collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}; there are {found:#?}");
}
