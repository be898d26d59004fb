//! A fault of the lifecycle's own ends its spans too.
//!
//! No input makes the program panic, and it has nothing in it that would for a test. So a standard output that panics
//! stands for the fault: all of the program but its `main` runs here, in a process of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;

use cnb_lifecycle::cli::{Program, run};

use super::{ON, spans_of};
use crate::support::{APP_IMAGE, World, nothing_starts};

const NAME: &str = "telemetry::panics::r18_a_panic_ends_what_is_open_and_says_no_more";
/// Says which program that process is.
const PROGRAM: &str = "TEST_PROGRAM";
/// What the output panics at, and with.
const FAULT: &str = "canary";

/// A standard output with a fault.
struct Faulty(io::Stdout);

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.windows(FAULT.len()).any(|part| part == FAULT.as_bytes()), "{FAULT}");
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "one of two processes is the program, whose edge this is")]
fn r18_a_panic_ends_what_is_open_and_says_no_more() {
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    match variables.iter().find(|(name, _)| name == PROGRAM) {
        Some((_, program)) => {
            let program = Program {
                args: vec![program.clone()],
                env: variables.into_iter().collect(),
                cwd: std::env::current_dir().unwrap(),
                out: Box::new(Faulty(io::stdout())),
                err: Box::new(io::stderr()),
            };
            assert_eq!(run(program), 0);
        }
        None => panics(),
    }
}

fn panics() {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", "exit 0", &format!("if [ -e panic ]; then echo {FAULT}; fi"));
    world.order(&[&["test/one"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    // The user of the build may not get to the folder where cargo put this.
    let harness = world.path("tmp/harness");
    let alone = nothing_starts();
    fs::copy("/proc/self/exe", &harness).unwrap();
    drop(alone);
    fs::set_permissions(&harness, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |program: &str| {
        world.run_with("../tmp/harness", &["--exact", NAME, "--nocapture"], &[ON, (PROGRAM, Some(program))])
    };
    run("detector").exits(0).done();
    run("builder").exits(0).done();
    let file = world.path("layers/tracing/lifecycle/build.jsonl");
    let before = spans_of(&file);
    assert!(before.iter().all(|span| span["status"]["code"] == 0), "{before:#?}");

    world.write("workspace/panic", "");
    run("builder").exits(101).complains(FAULT).done();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(FAULT), "{text}");
    let spans = spans_of(&file).split_off(before.len());
    let ended: Vec<String> = spans
        .iter()
        .map(|span| {
            let attribute = |key: &str| {
                let pairs = span["attributes"].as_array().unwrap();
                let pair = pairs.iter().find(|pair| pair["key"] == key);
                pair.map_or("", |pair| pair["value"]["stringValue"].as_str().unwrap()).to_owned()
            };
            let [result, error] = ["cicd.pipeline.task.run.result", "error.type"].map(attribute);
            format!("{} {result} {error} {}", span["name"].as_str().unwrap(), span["status"]["message"])
        })
        .collect();
    let expected = [
        "build started   \"\"",
        "buildpack-build started   \"\"",
        "buildpack-build error panic \"could not be done\"",
        "build error panic \"could not be done\"",
    ];
    assert_eq!(ended, expected);
    world.run("lifecycle", &["trace", "layers/tracing"]).exits(0).says("test/one").does_not_say(FAULT).done();
}
