//! The rules of the house, as tests: who may see whom, where versions are compared, how files are made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its text, by its path from the root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Says whether a file holds tests of the code beside it, which may see more.
fn is_tests(name: &str) -> bool {
    ["/tests.rs", "/fixtures.rs", "/fuzz.rs", "/properties.rs"].iter().any(|end| name.ends_with(end))
        || name.contains("/tests/")
}

/// The text of a file without its unit tests, which may see more.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap()
}

/// The modules of this crate that a file names: in `use crate::x`, `crate::x::y` and `use crate::{x, y}`.
fn modules_named(text: &str) -> Vec<String> {
    let code = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<&str> = code.collect();
    let code = code.join("\n");
    code.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        })
        .collect()
}

/// What each module may see besides itself.
const MAY_SEE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("model", &["api"]),
    ("schema", &["api", "model"]),
    ("effect", &["api", "model"]),
    ("archive", &["effect", "model", "os"]),
    ("os", &["effect", "model"]),
    ("buildpack", &["api", "effect", "model", "os", "schema"]),
    ("phase", &["api", "archive", "buildpack", "effect", "model", "os", "schema"]),
    ("launch", &["api", "effect", "model", "os", "schema"]),
    ("image", &["api", "archive", "effect", "model", "net", "os", "schema"]),
    ("net", &["model", "os"]),
    ("cache", &["archive", "effect", "model", "os", "schema"]),
    ("release", &["api", "archive", "effect", "image", "model", "os", "schema"]),
    ("telemetry", &["api", "effect", "model", "net", "os"]),
    ("report", &["api", "effect", "model", "os", "telemetry"]),
    ("trace", &["model", "os", "telemetry"]),
    // For tests alone.
    ("fuzz", &[]),
];

#[test]
fn modules_see_only_what_lies_below_them() {
    let mut faults = Vec::new();
    for (name, text) in sources("src").into_iter().filter(|(name, _)| !is_tests(name)) {
        let module = name.split('/').nth(1).unwrap().trim_end_matches(".rs");
        let Some((_, allowed)) = MAY_SEE.iter().find(|(of, _)| *of == module) else { continue };
        for seen in modules_named(&text) {
            if seen != module && !allowed.contains(&seen.as_str()) {
                faults.push(format!("{name} sees {seen}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_module_has_a_rule() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        let known = MAY_SEE.iter().any(|(of, _)| *of == module) || ["cli", "lib"].contains(&module);
        assert!(known, "src/{name} has no row in MAY_SEE");
    }
}

#[test]
fn phases_see_no_environment_clock_socket_or_terminal() {
    let banned = ["std::env", "std::net", "SystemTime::now", "Instant::now", "println!", "std::io::stdout"];
    for (name, text) in sources("src/phase").into_iter().filter(|(name, _)| !is_tests(name)) {
        for word in banned {
            assert!(!without_tests(&text).contains(word), "{name} uses {word}");
        }
    }
}

#[test]
fn versions_are_compared_in_api_alone() {
    for (name, text) in sources("src") {
        let is_table = ["src/api/", "src/cli/inputs.rs"].iter().any(|table| name.starts_with(table));
        let text = without_tests(&text);
        let compares =
            ["is_at_least", "Gate::Since", "Gate::Until", "Version::new("].iter().any(|word| text.contains(word));
        assert!(is_table || !compares, "{name} compares versions: add a row to a table of src/api");
    }
}

#[test]
fn every_file_says_what_it_is_responsible_for() {
    for folder in ["src", "cmd", "tests", "acceptance"] {
        for (name, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{name} does not open with //!");
        }
    }
}

#[test]
fn no_name_says_nothing() {
    for folder in ["src", "cmd", "tests", "acceptance"] {
        for name in sources(folder).keys() {
            let stem = Path::new(name).file_stem().unwrap().to_str().unwrap();
            assert!(!["util", "utils", "helpers", "common", "types", "imp", "misc"].contains(&stem), "{name}");
        }
    }
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    for folder in ["src", "cmd", "tests", "acceptance"] {
        for (name, text) in sources(folder) {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let allows = line.trim_start().starts_with("#[allow(") || line.trim_start().starts_with("#![allow(");
                assert!(!allows, "{name}: {line}");
                let ignores = line.trim_start().starts_with("#[ignore");
                assert!(!ignores, "{name}: {line}");
            }
        }
    }
}

#[test]
fn programs_are_a_few_lines() {
    for (name, text) in sources("cmd") {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
        assert!(lines <= 30, "{name} has {lines} lines: its work belongs into the library");
    }
}
