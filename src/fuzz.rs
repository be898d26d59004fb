//! Properties and parsers under any input, for tests: a number of cases in `make test`, a time in `make fuzz`.
//!
//! A fuzz test is a unit test in a module called `fuzz`, so `cargo test --lib fuzz::` runs all of them. The variable
//! `FUZZ_SECONDS` gives each so many seconds; without it each has the number of cases that it asks for. Parsers start
//! from the files of `spec-fixtures/corpus/<target>`: each is read as it is, for what once went wrong stays mended, and
//! then changed in every way.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

/// How long each test may look for faults, if that is said.
fn budget() -> Option<Duration> {
    #[expect(clippy::disallowed_methods, reason = "make fuzz says it; no program of this crate sees it")]
    let seconds = std::env::var("FUZZ_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("FUZZ_SECONDS is a number of seconds")))
}

/// Holds a property for many values: `cases` of them, or as many as fit into the time that `FUZZ_SECONDS` gives.
pub(crate) fn property<S: Strategy>(cases: u32, strategy: &S, holds: impl Fn(S::Value) -> TestCaseResult) {
    if let Err(error) = search(cases, strategy, holds) {
        panic!("{error}");
    }
}

fn search<S: Strategy>(
    cases: u32,
    strategy: &S,
    holds: impl Fn(S::Value) -> TestCaseResult,
) -> Result<(), TestError<S::Value>> {
    let end = budget().map(|time| Instant::now() + time);
    loop {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        // What `make test` finds, it finds each time; new cases are the business of `make fuzz`.
        let mut runner = match end {
            Some(_) => TestRunner::new(config),
            None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::default())),
        };
        runner.run(strategy, &holds)?;
        if end.is_none_or(|end| Instant::now() >= end) {
            return Ok(());
        }
    }
}

/// Gives a parser every file of a corpus, `seeds` besides, and what becomes of them by changes. It must not panic; a
/// fault is written to `target/fuzz/<target>` as small as it can be made: into the corpus with it.
pub(crate) fn parser(target: &str, cases: u32, seeds: &[Vec<u8>], parse: impl Fn(&[u8])) {
    inputs(target, cases, seeds, &[], |bytes| {
        parse(bytes);
        Ok(())
    });
}

/// The same for a target that also holds a property; `words` are put in as well.
pub(crate) fn documents(target: &str, words: &[&'static str], holds: impl Fn(&[u8]) -> TestCaseResult) {
    inputs(target, 256, &[], words, holds);
}

fn inputs(
    target: &str,
    cases: u32,
    seeds: &[Vec<u8>],
    words: &[&'static str],
    holds: impl Fn(&[u8]) -> TestCaseResult,
) {
    let mut known = corpus(target);
    known.extend(seeds.iter().enumerate().map(|(at, bytes)| (format!("seed {at}"), bytes.clone())));
    assert!(!known.is_empty(), "spec-fixtures/corpus/{target} is empty");
    for (name, bytes) in &known {
        let held = catch_unwind(AssertUnwindSafe(|| holds(bytes)));
        assert!(held.is_ok(), "{target}: {name} makes it panic");
        if let Ok(Err(error)) = held {
            panic!("{target}: {name}: {error}");
        }
    }
    let seeds: Vec<Vec<u8>> = known.into_iter().map(|(_, bytes)| bytes).collect();
    let result = search(cases, &changed(seeds, words), |input| holds(&input.0));
    if let Err(TestError::Fail(reason, input)) = &result {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(target), &input.0).unwrap();
        panic!("{target}: {reason} at {input:?}, kept in target/fuzz/{target}");
    }
    result.map_err(|error| error.to_string()).unwrap();
}

/// The files of a corpus, by their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec-fixtures/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
    paths.into_iter().map(read).collect()
}

/// Bytes for a parser, shown as text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// One change of some bytes. Places are anywhere, also at the end.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A part of one of the seeds, put somewhere else.
    Transplant {
        seed: Index,
        from: Index,
        length: usize,
        to: Index,
    },
    Cut(Index),
}

/// What parsers of text and numbers have to be careful with.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"'",
    b"\"\"\"",
    b"'''",
    b"\\",
    b"\\u",
    b"\\uD800",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b"(",
    b")",
    b"=",
    b":",
    b",",
    b".",
    b"..",
    b"/",
    b"@",
    b"#",
    b"\n",
    b"\r\n",
    b"\t",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b" ",
    b"-",
    b"+",
    b"0",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"0x",
    b"nan",
    b"true",
    b"null",
    b"1979-05-27T07:32:00Z",
    "\u{e9}\u{2028}".as_bytes(),
];

fn change(words: &[&'static str]) -> impl Strategy<Value = Change> + use<> {
    let place = any::<Index>;
    let tokens: Vec<&[u8]> = TOKENS.iter().copied().chain(words.iter().map(|word| word.as_bytes())).collect();
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (place(), prop::sample::select(tokens)).prop_map(|(at, token)| Change::Insert(at, token.to_vec())),
        (place(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place(), 1_usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
        (place(), place(), 1_usize..200, place()).prop_map(|(seed, from, length, to)| Change::Transplant {
            seed,
            from,
            length,
            to
        }),
        place().prop_map(Change::Cut),
    ]
}

fn changed(seeds: Vec<Vec<u8>>, words: &[&'static str]) -> impl Strategy<Value = Input> + use<> {
    (any::<Index>(), vec(change(words), 0..10)).prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in &changes {
            apply(change, &mut bytes, &seeds);
        }
        Input(bytes)
    })
}

fn apply(change: &Change, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = |place: &Index, bytes: &[u8]| place.index(bytes.len() + 1);
    match change {
        Change::Set(place, byte) => {
            let at = at(place, bytes);
            bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
        }
        Change::Insert(place, more) => {
            let at = at(place, bytes);
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Remove(place, length) => {
            let at = at(place, bytes);
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Change::Transplant { seed, from, length, to } => {
            let seed = seed.get(seeds);
            let from = at(from, seed);
            let to = at(to, bytes);
            bytes.splice(to..to, seed[from..(from + length).min(seed.len())].iter().copied());
        }
        Change::Cut(place) => bytes.truncate(at(place, bytes)),
    }
}

#[test]
fn a_fault_is_found_and_made_small() {
    let seeds = vec![b"a seed of some length".to_vec()];
    let error = search(5_000, &changed(seeds, &[]), |input| {
        prop_assert!(!input.0.contains(&b'\0'));
        Ok(())
    });
    let Err(TestError::Fail(_, input)) = error else { panic!("no fault was found") };
    let places: Vec<_> = input.0.iter().enumerate().filter(|(_, byte)| **byte == 0).collect();
    assert_eq!(places.len(), 1, "{input:?}");
}
