//! What the tables and docs/PARITY.md name as proof: a case by its path, a Rust test by the name of its function, alone or
//! behind the file that it is in (`phase/restore: ...` below `src`, `tests/...` below `tests/lifecycle`, `acceptance/...`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::case::{files, relative};
use super::cases;

/// The names of the test functions of each file of this package.
static TESTS: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [("src", ""), ("tests/lifecycle", "tests/"), ("acceptance", "acceptance/")];
    let sources = folders.iter().flat_map(|(folder, prefix)| {
        let folder = root.join(folder);
        files(&folder).into_iter().map(move |path| (format!("{prefix}{}", relative(&path, &folder)), path))
    });
    sources
        .filter_map(|(name, path)| {
            let tests = test_functions(&fs::read_to_string(path).ok()?);
            Some((name.strip_suffix(".rs")?.to_owned(), tests.into_iter().collect()))
        })
        .collect()
});

static CASES: LazyLock<BTreeSet<String>> = LazyLock::new(|| cases::paths().into_iter().collect());

/// The functions behind a `#[test]`, whatever other attributes lie between.
fn test_functions(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            names.push(rest.split(['(', '<']).next().unwrap().to_owned());
            is_test = false;
        }
    }
    names
}

/// Says whether a name is that of a case: those of tests have no slash, or a file and a colon in front.
pub(super) fn is_case(name: &str) -> bool {
    name.contains('/') && !name.contains(": ")
}

fn is_known(name: &str) -> bool {
    match name.split_once(": ") {
        Some((file, test)) => TESTS.get(file).is_some_and(|tests| tests.contains(test)),
        None if is_case(name) => CASES.contains(name),
        None => TESTS.values().any(|tests| tests.contains(name)),
    }
}

/// The names that are neither a case nor a test.
pub(super) fn unknown(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !is_known(name)).cloned().collect()
}

#[test]
fn test_functions_are_found() {
    let text = "#[test]\n#[expect(x)]\nfn one() {\n}\nfn two() {}\n    #[test]\n    fn three(a in 0..1) {";
    assert_eq!(test_functions(text), ["one", "three"]);
}

#[test]
fn names_of_tests_may_tell_their_file() {
    assert!(is_known("tests/spec/proof: names_of_tests_may_tell_their_file"));
    assert!(is_known("names_of_tests_may_tell_their_file"));
    assert!(!is_known("tests/spec/mod: names_of_tests_may_tell_their_file"));
    assert!(!is_known("no_such_test") && !is_known("no/such/case"));
}
