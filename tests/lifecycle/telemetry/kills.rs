//! Builds that are killed at any moment: what was written stays valid.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use super::{ON, send, spans_of};
use crate::support::{APP_IMAGE, World};

/// Numbers that look random and are the same each time: splitmix64.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// In one layers folder, so that each run opens what the one before it left.
#[test]
fn r13_r14_a_hundred_kills_tear_no_line_but_the_last() {
    let world = World::new();
    let ids = ["test/a", "test/b", "test/c", "test/d"];
    for id in ids {
        world.buildpack(id, "0.12", "", "exit 0", "exit 0");
    }
    world.order(&[&ids]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let file = world.path("layers/tracing/lifecycle/build.jsonl");
    let read = || fs::read(&file).unwrap_or_default();
    let (mut moments, mut before, mut killed) = (Moments(7), Vec::new(), 0);
    let mut longest = 60_000;
    while killed < 100 {
        let builder = world.start("builder", &[], &[ON]);
        let moment = moments.next(longest);
        thread::sleep(Duration::from_micros(moment));
        let _ = std::process::Command::new("kill").args(["-KILL", &builder.id().to_string()]).output();
        if builder.outcome().exit == 128 + 9 {
            killed += 1;
        } else {
            // It had ended before: this machine is faster.
            longest = moment.max(1_000);
        }
        let after = read();
        assert!(after.len() >= before.len(), "the file got shorter");
        let whole = after.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in after[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            serde_json::from_slice::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}"));
        }
        before = after;
    }
    world.run_with("builder", &[], &[ON]).exits(0).does_not_say("Warning").done();
    let spans = spans_of(&file);
    let ids: BTreeSet<String> = spans.iter().map(|span| span["spanId"].to_string()).collect();
    assert_eq!(ids.len(), spans.len(), "R16: a span is there twice");
}

/// What a torn line leaves is certain only when it is made by hand.
#[test]
fn r14_the_next_phase_makes_a_torn_line_whole() {
    let world = World::new();
    let run = || world.run_with("analyzer", &[APP_IMAGE], &[ON]).exits(0).does_not_say("Warning").done();
    run();
    let file = world.path("layers/tracing/lifecycle/analyze.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let spans = spans_of(&file).len();
    fs::write(&file, &text[..text.len() - 40]).unwrap();
    run();
    assert!(fs::read_to_string(&file).unwrap().len() > text.len());
    assert_eq!(spans_of(&file).len(), 2 * spans - 1);
}

#[test]
fn r15_what_was_killed_is_known_by_its_marker() {
    let world = World::new();
    world.buildpack("test/slow", "0.12", "", "exit 0", "echo > \"$CNB_LAYERS_DIR/on\"; exec sleep 8");
    world.order(&[&["test/slow"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let builder = world.start("builder", &[], &[ON]);
    super::wait_for(|| world.path("layers/test_slow/on").exists().then_some(()));
    let id = builder.id().to_string();
    // The program would go on and hold the test's pipes.
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    send("-KILL", &id);
    for child in children.split_whitespace() {
        send("-KILL", child);
    }
    builder.outcome().exits(128 + 9).done();
    let names: Vec<String> = spans_of(&world.path("layers/tracing/lifecycle/build.jsonl"))
        .iter()
        .map(|span| span["name"].to_string())
        .collect();
    assert_eq!(names, ["\"build started\"", "\"buildpack-build started\""]);
    world.run("lifecycle", &["trace", "layers/tracing"]).exits(0).says("not ended").says("test/slow").done();
}
