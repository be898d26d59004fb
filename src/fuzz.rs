//! Fuzzing: hostile documents for readers of this crate.
//!
//! A target is a test that calls [`documents`], with `fuzzed` in its name. `make test` gives it the documents under
//! `spec-fixtures/fuzz/<target>` (seeds, and what once broke something) and some hundred mutations of them; `make fuzz`
//! goes on for `FUZZ_SECONDS` and keeps the smallest document that breaks something there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestError, TestRunner};

/// How many mutations `make test` tries.
const CASES: u32 = 256;

/// How many are tried between two looks at the clock.
const ROUND: u32 = 2048;

/// Gives documents to a target: those of its folder as they are, and then mutations of them, into which `words` are put.
/// The target fails by a panic, or by `prop_assert!`.
#[track_caller]
pub(crate) fn documents(target: &str, words: &[&'static str], check: impl Fn(&[u8]) -> TestCaseResult) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec-fixtures/fuzz").join(target);
    let seeds = read(&folder);
    assert!(!seeds.is_empty(), "{} has no documents", folder.display());
    for (path, seed) in &seeds {
        if let Err(error) = check(seed) {
            panic!("{}: {error}", path.display());
        }
    }
    let mutations = mutations(seeds.into_iter().map(|(_, seed)| seed).collect(), words.to_vec());
    let end = seconds().map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tried = 0;
    loop {
        let cases = if end.is_some() { ROUND } else { CASES };
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        match runner.run(&mutations, |document| check(&document)) {
            Ok(()) => tried += cases,
            Err(TestError::Fail(reason, document)) => {
                let kept = folder.join(format!("found-{:08x}", digest(&document)));
                if end.is_some() {
                    std::fs::write(&kept, &document).unwrap();
                }
                panic!("{target}: {reason}, by \"{}\" ({})", document.escape_ascii(), kept.display());
            }
            Err(error) => panic!("{target}: {error}"),
        }
        if end.is_none_or(|end| Instant::now() >= end) {
            break;
        }
    }
    if end.is_some() {
        println!("{target}: {tried} documents, nothing broke");
    }
}

/// How long `make fuzz` wants a target to go on.
#[expect(clippy::disallowed_methods, reason = "make gives its arguments to tests as variables")]
fn seconds() -> Option<u64> {
    std::env::var("FUZZ_SECONDS").ok().map(|text| text.parse().unwrap())
}

/// The files of a folder, in the order of their names.
fn read(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A number that tells documents apart (FNV-1a).
fn digest(document: &[u8]) -> u32 {
    document.iter().fold(0x811c_9dc5, |digest, byte| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// One change of a document.
#[derive(Clone, Debug)]
enum Change {
    Cut(Index, Index),
    Repeat(Index, Index),
    End(Index),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
}

fn mutations(seeds: Vec<Vec<u8>>, words: Vec<&'static str>) -> impl Strategy<Value = Vec<u8>> {
    let index = any::<Index>;
    let change = prop_oneof![
        3 => (index(), select(words)).prop_map(|(at, word)| Change::Insert(at, word.into())),
        2 => (index(), index()).prop_map(|(from, to)| Change::Cut(from, to)),
        2 => (index(), index()).prop_map(|(from, to)| Change::Repeat(from, to)),
        1 => index().prop_map(Change::End),
        2 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (index(), "\\PC").prop_map(|(at, text)| Change::Insert(at, text.into_bytes())),
    ];
    (select(seeds), proptest::collection::vec(change, 0..8)).prop_map(|(seed, changes)| {
        changes.into_iter().fold(seed, |mut document, change| {
            apply(&mut document, change);
            document
        })
    })
}

fn apply(document: &mut Vec<u8>, change: Change) {
    let length = document.len();
    let at = |index: Index| index.index(length + 1);
    // At most a dozen bytes at once, so that much of the document stays what it was.
    let part = |from: Index, to: Index| at(from)..(at(from) + to.index(12)).min(length);
    match change {
        Change::Cut(from, to) => drop(document.drain(part(from, to))),
        Change::Repeat(from, to) => {
            let repeated = document[part(from, to)].to_vec();
            document.splice(at(from)..at(from), repeated);
        }
        Change::End(end) => document.truncate(at(end)),
        Change::Set(index, byte) => {
            if let Some(old) = document.get_mut(at(index)) {
                *old = byte;
            }
        }
        Change::Insert(index, bytes) => drop(document.splice(at(index)..at(index), bytes)),
    }
}
