//! What the tables name as proof: a case by its path, a Rust test by the name of its function.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::case::files;
use super::cases;

/// The names of every test function of this package.
static TESTS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "acceptance"].map(|folder| files(&root.join(folder)));
    let sources = folders.into_iter().flatten().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    sources.flat_map(|path| test_functions(&fs::read_to_string(path).unwrap())).collect()
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

/// Says whether a name is that of a case: those of tests have no slash.
pub(super) fn is_case(name: &str) -> bool {
    name.contains('/')
}

/// The names that are neither a case nor a test.
pub(super) fn unknown(names: &[String]) -> Vec<String> {
    let known = |name: &str| if is_case(name) { CASES.contains(name) } else { TESTS.contains(name) };
    names.iter().filter(|name| !known(name)).cloned().collect()
}

#[test]
fn test_functions_are_found() {
    let text = "#[test]\n#[expect(x)]\nfn one() {\n}\nfn two() {}\n    #[test]\n    fn three(a in 0..1) {";
    assert_eq!(test_functions(text), ["one", "three"]);
}
