//! Telemetry from outside: files, variables, one trace for a build, and nothing of it in the image.

/// What is wrong with inputs changes no exit code.
mod bad_input;
/// Builds that are killed.
mod kills;
/// What is turned on by what.
mod opt_in;
/// Faults of the lifecycle's own. They come with a library, which a static program does not load.
#[cfg(not(target_feature = "crt-static"))]
pub(crate) mod panics;
/// What may be in no trace.
mod privacy;
/// Requests to registries and daemons.
mod requests;
/// Each requirement has a test.
mod requirements;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{APP_IMAGE, RUN_IMAGE, World};

/// A world with a buildpack that prints the telemetry variables it gets, and takes part with a launch layer.
fn world() -> World {
    let world = World::new();
    let print = r"env | grep -E '^(CNB_OTEL_|TRACE)' | sort || true";
    let build = format!(
        r#"{print}
if [ -n "$CNB_OTEL_LOG_PATH" ]; then test -w "$CNB_OTEL_LOG_PATH" && echo "file can be written"; fi
mkdir -p "$CNB_LAYERS_DIR/app"; echo x > "$CNB_LAYERS_DIR/app/file"
printf '[types]\nlaunch = true\n' > "$CNB_LAYERS_DIR/app.toml"
"#
    );
    world.buildpack("test/one", "0.12", "", &format!("{print}\nexit 0"), &build);
    world.order(&[&["test/one"]]);
    world
}

const ON: (&str, Option<&str>) = ("CNB_TELEMETRY", Some("true"));

fn build(world: &World, more: &[(&str, Option<&str>)]) -> String {
    let run = |program: &str, args: &[&str]| world.run_with(program, args, more).exits(0);
    run("analyzer", &[APP_IMAGE]).done();
    run("detector", &[]).done();
    run("restorer", &["-cache-dir", "cache"]).done();
    let output = run("builder", &[]).stdout.clone();
    run("exporter", &["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE]).done();
    output
}

/// The lines of a file of the lifecycle's, each of which must be one span.
#[track_caller]
fn spans_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", path.display());
    let parse = |line: &str| -> Option<Value> {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();
        // What was torn is a line without spans.
        span.is_object().then_some(span)
    };
    text.lines().filter_map(parse).collect()
}

/// Every span of the lifecycle's own files.
#[track_caller]
fn own_spans(world: &World) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(world.path("layers/tracing/lifecycle")) else { return Vec::new() };
    let files = entries.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.flat_map(|path| spans_of(&path)).collect()
}

/// Every span of every trace file.
fn spans(world: &World) -> Vec<Value> {
    let mut found = Vec::new();
    for folder in ["lifecycle", "buildpacks"] {
        for entry in fs::read_dir(world.path("layers/tracing").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                    found.push(line["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone());
                }
            }
        }
    }
    found
}

#[test]
fn r1_off_means_no_folder_and_no_variable() {
    let world = world();
    let output = build(&world, &[]);
    assert!(!world.path("layers/tracing").exists());
    assert!(!output.contains("TRACE") && !output.contains("CNB_OTEL"), "{output}");
}

#[test]
fn r1_off_means_no_thread_and_on_needs_none() {
    let threads = |more: &[(&str, Option<&str>)]| {
        let world = world();
        world.buildpack("test/one", "0.12", "", "exit 0", "grep Threads /proc/$PPID/status");
        let output = build(&world, more);
        output.lines().find(|line| line.starts_with("Threads")).expect(&output).to_owned()
    };
    assert_eq!(threads(&[ON]), threads(&[]));
}

#[test]
fn t1_every_phase_at_every_platform_api_can_be_asked_for_traces() {
    for api in ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16"] {
        let world = world().at(api);
        // Below 0.12 there is no run.toml.
        world.write("stack.toml", "[run-image]\nimage = \"example.com/test/run\"\n");
        let stack = ("CNB_STACK_PATH", Some(world.path("stack.toml").to_str().unwrap().to_owned()));
        let stack = [(stack.0, stack.1.as_deref()), ("CNB_STACK_ID", Some("test"))];
        let stacks = ["0.7", "0.8", "0.9", "0.10", "0.11"].contains(&api);
        let flags = ["-telemetry"];
        let variables = [&stack[..], &[ON]].concat();
        let exported = ["-launcher", "bin/launcher", APP_IMAGE];
        let rebased = ["-run-image", RUN_IMAGE, APP_IMAGE];
        for (phase, args) in [
            ("analyzer", &[APP_IMAGE][..]),
            ("detector", &[]),
            ("restorer", &[]),
            ("builder", &[]),
            ("exporter", &exported),
            ("rebaser", &rebased),
            ("creator", &exported),
        ] {
            let file = world.path(&format!("layers/tracing/lifecycle/{}.jsonl", verb(phase)));
            // Below 0.12 a rebase asks for stacks, and this image has none: it has spans of that all the same.
            let code = if phase == "rebaser" && stacks { 72 } else { 0 };
            world.run_with(phase, &[&flags[..], args].concat(), &stack).exits(code).done();
            let by_flag = spans_of(&file).len();
            world.run_with(phase, args, &variables).exits(code).done();
            assert!(by_flag > 0 && spans_of(&file).len() > by_flag, "{api}: {phase}");
        }
    }
}

fn verb(program: &str) -> &str {
    match program {
        "builder" => "build",
        "analyzer" => "analyze",
        "restorer" => "restore",
        "creator" => "create",
        "rebaser" => "rebase",
        program => &program[..6],
    }
}

#[test]
fn r10_an_image_is_the_same_with_and_without() {
    let world = world();
    build(&world, &[]);
    let without = world.app_image().0;
    fs::remove_dir_all(world.path("images/example.com/test/app")).unwrap();
    fs::remove_dir_all(world.path("cache")).unwrap();
    fs::create_dir(world.path("cache")).unwrap();
    world.fresh_layers();
    build(&world, &[ON]);
    assert_eq!(world.app_image().0, without);
    assert!(world.path("layers/tracing/lifecycle/export.jsonl").exists());
    let cached = fs::read_dir(world.path("cache/committed")).unwrap().count();
    assert_eq!(cached, 1, "the metadata alone: the buildpack caches nothing");
}

/// What is below what, as `parent > child`.
fn tree(world: &World) -> BTreeSet<String> {
    let spans = own_spans(world);
    let name = |id: &Value| {
        let parent = spans.iter().find(|span| span["spanId"] == *id);
        parent.map_or("", |span| span["name"].as_str().unwrap()).to_owned()
    };
    let real = spans.iter().filter(|span| !span["name"].as_str().unwrap().ends_with(" started"));
    real.map(|span| format!("{} > {}", name(&span["parentSpanId"]), span["name"].as_str().unwrap())).collect()
}

#[test]
fn r24_a_build_is_a_tree_of_its_steps() {
    let world = World::new();
    let layer = "mkdir -p \"$CNB_LAYERS_DIR/app\"; echo x > \"$CNB_LAYERS_DIR/app/file\"\n\
                 printf '[types]\\nlaunch = true\\ncache = true\\n' > \"$CNB_LAYERS_DIR/app.toml\"";
    world.buildpack("test/one", "0.12", "", "exit 0", layer);
    world.order(&[&["test/one"]]);
    build(&world, &[ON]);
    let first = [
        " > analyze",
        " > build",
        " > detect",
        " > export",
        " > restore",
        "analyze > read-run-image",
        "build > buildpack-build",
        "detect > buildpack-detect",
        "detect > resolve-order",
        "export > cache-layer",
        "export > commit-cache",
        "export > hash-layer",
        "export > read-run-image",
        "export > write-image",
        "export > write-layer",
        "resolve-order > resolve-plan",
    ];
    let found = tree(&world);
    for step in first {
        assert!(found.contains(step), "no {step} in {found:#?}");
    }
    world.fresh_layers();
    build(&world, &[ON]);
    let found = tree(&world);
    for step in ["restore > restore-layer", "analyze > read-previous-image", "export > hash-layer"] {
        assert!(found.contains(step), "no {step} in {found:#?}");
    }
    let flags = |name: &str, key: &str| -> Vec<bool> {
        let spans = own_spans(&world).into_iter().filter(|span| span["name"] == name);
        let attributes = spans.flat_map(|span| span["attributes"].as_array().unwrap().clone());
        attributes.filter(|pair| pair["key"] == key).map(|pair| pair["value"]["boolValue"] == true).collect()
    };
    assert_eq!(flags("restore-layer", "cnb.cache.hit"), [true]);
    let reused = flags("hash-layer", "cnb.layer.reused");
    assert!(reused.len() > 3 && reused.iter().all(|reused| *reused), "{reused:?}");
    // The creator's phases are below it, its own span is below nothing.
    world.fresh_layers();
    world.run_with("creator", &["-cache-dir=cache", "-launcher=bin/launcher", APP_IMAGE], &[ON]).exits(0).done();
    let found = tree(&world);
    for step in [" > create", "create > analyze", "create > export", "export > commit-cache"] {
        assert!(found.contains(step), "no {step} in {found:#?}");
    }
}

#[test]
fn t6_all_phases_of_a_build_share_a_trace_and_the_next_build_has_another() {
    let world = world();
    let traces = |world: &World| -> BTreeSet<String> {
        spans(world).iter().map(|span| span["traceId"].as_str().unwrap().to_owned()).collect()
    };
    build(&world, &[ON]);
    let first = traces(&world);
    assert_eq!(first.len(), 1, "{first:?}");
    // A platform may keep the layers folder: its trace must not go on.
    build(&world, &[ON]);
    assert_eq!(traces(&world).len(), 2);
}

/// As with pack's containers for a builder that is not trusted: a folder for traces that is kept, which detector and
/// builder alone have.
#[test]
fn t6_builds_are_told_apart_where_analyze_has_another_folder() {
    let world = world();
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    for _build in 0..3 {
        world.run_with("detector", &[], &[ON]).exits(0).done();
        world.run_with("builder", &[], &[ON]).exits(0).done();
    }
    let traces = |phase: &str| -> Vec<String> {
        let spans = spans_of(&world.path(&format!("layers/tracing/lifecycle/{phase}.jsonl")));
        let roots = spans.iter().filter(|span| span["name"] == phase);
        roots.map(|span| span["traceId"].to_string()).collect()
    };
    assert_eq!(traces("detect"), traces("build"));
    assert_eq!(BTreeSet::from_iter(traces("build")).len(), 3);
}

/// Readers such as the Collector tell files apart by their first 1000 bytes.
#[test]
fn r8_the_first_thousand_bytes_of_any_two_files_differ() {
    let world = world();
    let mut fronts = BTreeSet::new();
    let mut count = 0;
    for _build in 0..2 {
        world.fresh_layers();
        let args = ["-cache-dir", "cache", "-launcher", "bin/launcher", APP_IMAGE];
        world.run_with("creator", &args, &[ON]).exits(0).done();
        for entry in fs::read_dir(world.path("layers/tracing/lifecycle")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                fronts.insert(fs::read(path).unwrap()[..1000].to_vec());
                count += 1;
            }
        }
    }
    assert_eq!((fronts.len(), count), (12, 12));
}

#[test]
fn a_buildpack_gets_a_file_of_its_own_and_its_spans_place_in_the_trace() {
    let world = world();
    let output = build(&world, &[ON]);
    let file = world.path("layers/tracing/buildpacks/test_one@1.0-build.jsonl");
    assert!(output.contains(&format!("CNB_OTEL_LOG_PATH={}\n", file.display())), "{output}");
    assert!(output.contains("file can be written"), "{output}");
    let parent = output.lines().find_map(|line| line.strip_prefix("TRACEPARENT=00-")).unwrap().to_owned();
    let (trace, rest) = parent.split_once('-').unwrap();
    let span = rest.split('-').next().unwrap();
    let process = spans(&world).into_iter().find(|found| found["spanId"] == span).expect("its span is in a file");
    assert_eq!((&process["traceId"], &process["name"]), (&trace.into(), &"buildpack-build".into()));
}

#[test]
fn t5_what_the_platform_gives_reaches_buildpacks_byte_for_byte() {
    let world = world();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let output = build(&world, &[ON, ("CNB_OTEL_TRACEPARENT", Some(parent))]);
    assert!(output.contains(&format!("CNB_OTEL_TRACEPARENT={parent}\n")), "{output}");
    assert!(spans(&world).iter().all(|span| span["traceId"] == "0af7651916cd43dd8448eb211c80319c"));
    // A user's variable wins over all.
    world.write("platform/env/TRACEPARENT", "mine");
    let output = build(&world, &[ON, ("CNB_OTEL_TRACEPARENT", Some(parent))]);
    assert!(output.contains("TRACEPARENT=mine"), "{output}");
}

#[test]
fn r19_a_malformed_context_is_a_warning_and_a_new_trace() {
    let world = world();
    world
        .run_with("analyzer", &[APP_IMAGE], &[ON, ("CNB_OTEL_TRACEPARENT", Some("garbage"))])
        .exits(0)
        .says("Warning: ")
        .done();
    assert!(spans(&world).iter().all(|span| span["traceId"].as_str().unwrap().len() == 32));
}

#[test]
fn t14_without_telemetry_the_platforms_variables_pass_from_0_16_on() {
    for (api, passes) in [("0.15", false), ("0.16", true)] {
        let world = world().at(api);
        let output = build(&world, &[("CNB_OTEL_LOG_PATH", Some("/some/where")), ("CNB_OTEL_TRACEPARENT", Some("x"))]);
        assert_eq!(output.contains("CNB_OTEL_LOG_PATH=/some/where"), passes, "{api}: {output}");
        assert_eq!(output.contains("CNB_OTEL_TRACEPARENT=x"), passes, "{api}: {output}");
        assert!(!world.path("layers/tracing").exists());
    }
}

#[test]
fn t8_a_buildpack_cannot_have_the_folder_of_traces() {
    let world = world();
    world.buildpack("tracing", "0.12", "", "exit 0", "exit 0");
    world.order(&[&["tracing"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world.run_with("builder", &[], &[ON]).exits(1).says("tracing").done();
}

#[test]
fn r12_a_folder_that_cannot_be_written_is_one_warning() {
    let world = world();
    world.write("layers/tracing", "a file where the folder should be");
    let outcome = world.run_with("analyzer", &[APP_IMAGE], &[ON]).exits(0);
    assert_eq!(outcome.stdout.matches("Warning: ").count(), 1, "{}", outcome.stdout);
}

#[test]
fn the_waterfall_shows_phases_buildpacks_and_layers() {
    let world = world();
    build(&world, &[ON]);
    let folder = world.path("layers/tracing");
    world
        .run("lifecycle", &["trace", folder.to_str().unwrap()])
        .exits(0)
        .says("ANALYZE")
        .says("BUILD")
        .says("test/one 1.0")
        .says("test/one:app")
        .done();
    world.run("lifecycle", &["trace", "/nowhere"]).exits(1).complains("/nowhere").done();
}

#[test]
fn r17_a_build_that_is_told_to_stop_tells_its_buildpack_and_ends_its_spans() {
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        told_to_stop(signal, number);
    }
}

fn told_to_stop(signal: &str, number: i32) {
    let world = World::new();
    let wait = "echo $$ > \"$CNB_LAYERS_DIR/pid\"; exec sleep 60";
    world.buildpack("test/slow", "0.12", "", "exit 0", wait);
    world.order(&[&["test/slow"]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let builder = world.start("builder", &[], &[ON]);
    let pid =
        wait_for(|| fs::read_to_string(world.path("layers/test_slow/pid")).ok().filter(|pid| pid.ends_with('\n')));
    let began = Instant::now();
    send(signal, &builder.id().to_string());
    builder.outcome().exits(128 + number).done();
    assert!(began.elapsed() < Duration::from_secs(5));
    let proc = format!("/proc/{}/cmdline", pid.trim());
    // Another process may have its id by now.
    wait_for(|| fs::read(&proc).map_or(true, |line| !line.starts_with(b"sleep")).then_some(()));
    let results: Vec<String> = spans(&world)
        .iter()
        .filter(|span| span["name"] == "build" || span["name"] == "buildpack-build")
        .map(|span| span["attributes"].to_string())
        .collect();
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|attributes| attributes.contains("cancellation")), "{results:?}");
}

#[test]
fn t13_printed_spans_that_nobody_reads_change_nothing() {
    let world = World::new();
    // It waits until nobody reads any more.
    world.buildpack("test/one", "0.12", "", "while [ ! -e gone ]; do sleep 0.05; done", "exit 0");
    world.order(&[&["test/one"]]);
    let mut detector = world.start("detector", &[], &[ON, ("CNB_OTEL_STDOUT", Some("true"))]);
    detector.stop_reading();
    world.write("workspace/gone", "");
    assert_eq!(wait_for(|| detector.ended()), 0);
    assert!(spans(&world).iter().all(|span| !span.to_string().contains("panic")));
}

/// Tells a process to stop.
pub(crate) fn kill(pid: &str) {
    send("-TERM", pid);
}

/// Sends a signal to a process.
pub(crate) fn send(signal: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args([signal, pid]).status().unwrap().success());
}

/// Asks again and again, for ten seconds.
pub(crate) fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not come about in ten seconds");
}
