//! docs/PARITY.md: each difference that a client can see names cases or tests, and they exist.

use std::fs;
use std::path::Path;

use super::proof;

/// The rows of the tables whose last column is `Test`, each with its last cell.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let mut rows = Vec::new();
    let mut wanted = false;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            wanted &= line.starts_with('|');
            continue;
        };
        let last = cells.rsplit(" | ").next().unwrap();
        if last == "Test" {
            wanted = true;
        } else if wanted {
            rows.push((cells.split(" | ").next().unwrap(), last));
        }
    }
    rows
}

/// The names in a cell, as the tables write them: a test without a file is in the file of the one before.
fn names(cell: &str) -> Vec<String> {
    let mut file = String::new();
    let mut names = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        if let Some(case) = name.strip_prefix("case ") {
            names.push(case.to_owned());
        } else if let Some((of, _)) = name.split_once(": ") {
            of.clone_into(&mut file);
            names.push(name.to_owned());
        } else {
            names.push(format!("{file}: {name}"));
        }
    }
    names
}

#[test]
fn every_difference_has_tests_that_exist() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PARITY.md")).unwrap();
    let mut faults = Vec::new();
    let rows = rows(&text);
    for (what, cell) in &rows {
        let names = names(cell);
        if names.is_empty() {
            faults.push(format!("{what}: no test"));
        }
        faults.extend(proof::unknown(&names).iter().map(|name| format!("{what}: there is no {name}")));
    }
    assert!(rows.len() > 90, "only {} rows were found", rows.len());
    assert!(faults.is_empty(), "{faults:#?}");
    println!("{} differences", rows.len());
}

#[test]
fn rows_and_their_tests_are_found() {
    let text = "| What | Test |\n|---|---|\n| one | `a/b: c`, `d` (x), `case e/f` |\n\n| What | Sees |\n|---|---|\n| two | `g` |\n";
    assert_eq!(rows(text), [("one", "`a/b: c`, `d` (x), `case e/f`")]);
    assert_eq!(names(rows(text)[0].1), ["a/b: c", "a/b: d", "e/f"]);
}
