//! Phases that are told to stop: policy P38.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{APP_IMAGE, Collector, Started, World, nothing_starts};
use crate::telemetry::{kill, panics, send, wait_for};

#[test]
fn a_buildpack_that_is_told_to_stop_may_clean_up_and_say_so() {
    let world = World::new();
    let wait =
        "trap 'sleep 0.3; echo cleaned; exit 1' TERM; echo > \"$CNB_LAYERS_DIR/on\"; while :; do sleep 0.05; done";
    world.buildpack("test/slow", "0.12", "", "exit 0", wait);
    world.order(&[&["test/slow"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let builder = world.start("builder", &[], &[]);
    wait_for(|| world.path("layers/test_slow/on").exists().then_some(()));
    kill(&builder.id().to_string());
    builder.outcome().exits(128 + 15).says("cleaned").does_not_say("ERROR").done();
}

/// The first process of a container is so, and programs of a parent that ignores the signal.
#[test]
fn a_phase_ends_also_where_the_signal_alone_would_not_end_it() {
    let world = World::new();
    let builder = deaf_builder(&world, "TERM");
    kill(&builder.id().to_string());
    builder.outcome().exits(128 + 15).does_not_say("ERROR").done();
}

/// Shells start so what they leave in the background: an interrupt means who is in the foreground.
#[test]
fn an_interrupt_that_was_ignored_from_the_start_stays_so() {
    let world = World::new();
    let builder = deaf_builder(&world, "INT");
    send("-INT", &builder.id().to_string());
    world.write("workspace/go", "");
    builder.outcome().exits(0).done();
}

/// A builder that was started with a signal ignored. Its buildpack runs now, until the app has the file `go`.
fn deaf_builder(world: &World, ignored: &str) -> Started {
    let wait = "echo > \"$CNB_LAYERS_DIR/on\"; for i in $(seq 160); do [ ! -e go ] || exit 0; sleep 0.05; done; exit 1";
    world.buildpack("test/slow", "0.12", "", "exit 0", wait);
    world.order(&[&["test/slow"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let deaf = world.path("bin/deaf");
    {
        let _alone = nothing_starts();
        fs::write(&deaf, format!("#!/bin/sh\ntrap '' {ignored}\nexec bin/builder\n")).unwrap();
        fs::set_permissions(&deaf, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let builder = world.start("deaf", &[], &[]);
    wait_for(|| world.path("layers/test_slow/on").exists().then_some(()));
    builder
}

/// Whoever waits for the phase wants to know by what it died, however often it was told.
#[test]
fn a_phase_dies_by_the_first_of_several_signals() {
    for (first, second) in [("-TERM", "-INT"), ("-INT", "-TERM")] {
        let world = World::new();
        let deaf = "trap '' TERM INT; echo > \"$CNB_LAYERS_DIR/on\"; exec sleep 8";
        world.buildpack("test/slow", "0.12", "", "exit 0", deaf);
        world.order(&[&["test/slow"]]);
        world.run("analyzer", &[APP_IMAGE]).exits(0).done();
        world.run("detector", &[]).exits(0).done();
        let builder = world.start("builder", &[], &[]);
        wait_for(|| world.path("layers/test_slow/on").exists().then_some(()));
        let id = builder.id().to_string();
        for signal in [first, second] {
            send(signal, &id);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        builder.outcome().exits(128 + if first == "-TERM" { 15 } else { 2 }).done();
    }
}

/// Who no longer reads what a phase prints must still be able to end it.
#[test]
fn a_phase_whose_output_nobody_reads_ends_by_the_signal() {
    let world = World::new();
    world.buildpack("test/loud", "0.12", "", "exit 0", "echo > \"$CNB_LAYERS_DIR/on\"; exec seq 1 300000");
    world.order(&[&["test/loud"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let nobody = ("OTEL_EXPORTER_OTLP_ENDPOINT", Some("http://127.0.0.1:9"));
    let mut builder = world.start("builder", &[], &[("CNB_BUILD_LOGS_OTLP", Some("true")), nobody]);
    wait_for(|| world.path("layers/test_loud/on").exists().then_some(()));
    // The pipe is full soon; until then it would end the sooner.
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill(&builder.id().to_string());
    wait_for(|| builder.ended());
}

/// Whoever is told to stop in its first moments leaves nothing behind.
#[test]
fn r17_a_phase_that_is_told_to_stop_as_its_spool_is_made_leaves_none() {
    let world = World::new();
    let (library, collector) = (panics::faults(&world), Collector::http());
    let endpoint = collector.endpoint();
    let more = [
        ("LD_PRELOAD", Some(library.as_str())),
        ("INTERRUPTED_AT", Some(".spool")),
        ("CNB_BUILD_LOGS_OTLP", Some("true")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(endpoint.as_str())),
    ];
    let outcome = world.run_with("analyzer", &[APP_IMAGE], &more).exits(128 + 2);
    let left: Vec<_> = fs::read_dir(world.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // There may have been no time to send the first lines.
    let is_told = |path: &std::path::PathBuf| outcome.stdout.contains(&format!("wait in '{}'", path.display()));
    assert!(left.iter().all(is_told), "{left:?}: {}", outcome.report());
    outcome.done();
}

/// What is wrong with spans is told at this end, too.
#[test]
fn r17_a_phase_that_is_told_to_stop_says_what_is_missing_of_its_telemetry() {
    let world = World::new();
    let build = "rm \"$CNB_OTEL_LOG_PATH\"; echo > \"$CNB_LAYERS_DIR/on\"; exec sleep 60";
    world.buildpack("test/slow", "0.12", "", "exit 0", build);
    world.order(&[&["test/slow"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let builder = world.start("builder", &[], &[("CNB_TELEMETRY", Some("true"))]);
    wait_for(|| world.path("layers/test_slow/on").exists().then_some(()));
    kill(&builder.id().to_string());
    builder.outcome().exits(128 + 15).says("was cut or replaced by the program it was made for").done();
}
