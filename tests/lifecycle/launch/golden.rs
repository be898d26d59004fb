//! The same 200 starts by this launcher and by another one.
//!
//! What the reference did with them is recorded in spec-fixtures/launcher/golden.txt: exit code, and a digest of what
//! the process said. With `OTHER` the other launcher itself is asked, and everything is compared: `make compare-launcher
//! OTHER=<its folder>`. With `RECORD=yes` besides, its answers are recorded.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::generator::generate;
use super::{folder, launcher};
use crate::support::{output, sha256};

const CASES: usize = 200;

/// What a launcher did.
#[derive(PartialEq)]
struct Observation {
    /// Its exit code, or that of what it became.
    code: Option<i32>,
    /// What it and the process wrote, with odd bytes escaped.
    said: String,
    /// The process's descriptors and signals, which depend on the machine too.
    inherited: String,
    /// The number of lines on standard error, whose text is the shells' own.
    complaints: usize,
}

impl Observation {
    /// A line for the record.
    fn line(&self, index: usize) -> String {
        let digest = &sha256(self.said.as_bytes())[7..23];
        let first = self.said.lines().next().unwrap_or_default().replace("\\x1b[", "");
        let first = first.char_indices().nth(90).map_or(first.as_str(), |(end, _)| &first[..end]);
        format!("{index} {} {digest} {first}", self.code.map_or("signal".into(), |code| code.to_string()))
    }

    fn shown(&self) -> String {
        let Self { code, said, inherited, complaints } = self;
        format!("exit {code:?}, {complaints} lines of complaint\n{said}{inherited}")
    }
}

fn observe(launcher: &Path, index: usize) -> Observation {
    let root = tempfile::Builder::new().prefix("launch-").tempdir_in("/tmp").unwrap();
    let start = generate(root.path(), index);
    let mut command = Command::new(launcher);
    command.arg0(&start.argv0).args(start.args).env_clear().envs(start.env).current_dir("/").stdin(Stdio::null());
    // A script is busy as long as another thread of these tests starts something while it is written.
    let output = std::iter::repeat_with(|| output(&mut command).unwrap())
        .find(|output| !output.stdout.windows(4).any(|window| window == b"busy"))
        .unwrap();
    let here = root.path().to_str().unwrap();
    let said = sorted_environment(&output.stdout).escape_ascii().to_string();
    let said = said.replace(here, "{root}").replace("\\n", "\n");
    let (said, inherited) = said.split_once("==machine==").unwrap_or((&said, ""));
    let said = without_syntax(said).lines().map(readable).collect::<Vec<_>>().join("\n");
    let complaints = output.stderr.split(|byte| *byte == b'\n').count();
    Observation { code: output.status.code(), said, inherited: signals(inherited), complaints }
}

/// Sorts the environment that a probe wrote: its order means nothing.
fn sorted_environment(said: &[u8]) -> Vec<u8> {
    let at = |marker: &[u8]| said.windows(marker.len()).position(|window| window == marker);
    let (Some(start), Some(end)) = (at(b"==env==\n"), at(b"\n==dir==\n")) else { return said.to_vec() };
    let mut variables: Vec<&[u8]> = said[start + 8..end].split(|byte| *byte == 0).collect();
    variables.sort_unstable();
    [&said[..start], &variables.join(&b'\n'), &said[end..]].concat()
}

/// Leaves out what a TOML parser calls an error of syntax, and its last key: each has its own words. They come last.
fn without_syntax(said: &str) -> String {
    let own = ["incompatible types", "unknown command type", "type mismatch", "Key "];
    match said.split_once("toml: line ") {
        Some((before, error)) if !own.iter().any(|own| error.contains(own)) => {
            format!("{before}toml: line {}: ...", error.split([' ', ':']).next().unwrap())
        }
        _ => said.to_owned(),
    }
}

/// Shows bytes that are no UTF-8 as this launcher does in messages: docs/PARITY.md has a row.
fn readable(line: &str) -> String {
    if !line.contains("ERROR: ") {
        return line.to_owned();
    }
    ["\\xff", "\\xfe"].iter().fold(line.to_owned(), |line, byte| line.replace(byte, "\\xef\\xbf\\xbd"))
}

/// Leaves the signals out that C libraries and runtimes keep to themselves, 32 to 34.
fn signals(inherited: &str) -> String {
    let line = |line: &str| match line.split_once(":\\t") {
        Some((name, mask)) => format!("{name} {:x}", u64::from_str_radix(mask, 16).unwrap() & !(7 << 31)),
        None => line.to_owned(),
    };
    inherited.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn record() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("spec-fixtures/launcher/golden.txt")
}

/// Observes every case, two at a time.
fn observe_all(launcher: &Path) -> Vec<Observation> {
    let half = |range: std::ops::Range<usize>| range.map(|index| observe(launcher, index)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| half(0..CASES / 2));
        let second = half(CASES / 2..CASES);
        first.join().unwrap().into_iter().chain(second).collect()
    })
}

#[test]
fn starts_two_hundred_generated_images_as_the_reference_does() {
    let ours = observe_all(&launcher());
    for (index, one) in ours.iter().enumerate() {
        assert!(!one.said.contains("panicked"), "case {index}: {}", one.said);
    }
    if let Some(other) = folder("OTHER") {
        let others = observe_all(&other.join("launcher"));
        if folder("RECORD").is_some() {
            let lines: Vec<String> = others.iter().enumerate().map(|(index, one)| one.line(index)).collect();
            std::fs::create_dir_all(record().parent().unwrap()).unwrap();
            std::fs::write(record(), lines.join("\n") + "\n").unwrap();
        }
        let differ: Vec<usize> = (0..CASES).filter(|index| ours[*index] != others[*index]).collect();
        for index in differ.iter().take(10) {
            println!("== case {index}\n-- ours: {}\n-- other: {}", ours[*index].shown(), others[*index].shown());
        }
        assert!(differ.is_empty(), "{} of {CASES} cases differ: {differ:?}", differ.len());
        println!(
            "{CASES} cases: arguments, environment, folder, descriptors, signals, texts and exit codes are the same"
        );
    } else {
        let recorded = std::fs::read_to_string(record()).unwrap();
        assert_eq!(recorded.lines().count(), CASES);
        for ((index, one), line) in ours.iter().enumerate().zip(recorded.lines()) {
            assert_eq!(one.line(index), line, "case {index}\n{}", one.shown());
        }
    }
}

#[test]
fn the_generated_images_cover_what_they_are_for() {
    let recorded = std::fs::read_to_string(record()).unwrap();
    let with_code = |wanted: &str| recorded.lines().filter(|line| line.split(' ').nth(1) == Some(wanted)).count();
    assert!(with_code("0") > CASES / 3, "{} start", with_code("0"));
    for code in ["1", "11", "82", "127"] {
        assert!(with_code(code) > 1, "nothing ends with {code}");
    }
}
