//! Whatever is wrong with telemetry's inputs: the exit code without it, at most one warning, valid files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::{ON, own_spans, spans_of};
use crate::support::{APP_IMAGE, Outcome, World};

/// A world that is ready to build, with one buildpack of this `bin/build`.
fn ready(id: &str, build: &str) -> World {
    let world = World::new();
    world.buildpack(id, "0.12", "", "exit 0", build);
    world.order(&[&[id]]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world
}

/// Builds with telemetry; the exit code is that without, there is at most one warning, and all lines are valid. Gives
/// how many warnings there were.
#[track_caller]
fn same(world: &World, more: &[(&str, Option<&str>)]) -> usize {
    let without = world.run("builder", &[]).exit;
    let outcome = world.run_with("builder", &[], &[&[ON], more].concat());
    let warnings = outcome.stdout.matches("Warning: ").count();
    assert_eq!(outcome.exit, without, "{}", outcome.report());
    assert!(warnings <= 1, "{}", outcome.report());
    assert!(outcome.stderr.is_empty(), "{}", outcome.report());
    warnings
}

/// Where the lifecycle or a buildpack would write.
const FILES: [&str; 2] = ["layers/tracing/lifecycle/build.jsonl", "layers/tracing/buildpacks/test_one@1.0-build.jsonl"];

#[test]
fn r12_a_tracing_folder_that_cannot_be_used_is_one_warning() {
    let world = ready("test/one", "exit 0");
    world.write("layers/tracing", "a file");
    assert_eq!(same(&world, &[]), 1);
    for folder in ["layers/tracing", "layers/tracing/lifecycle", "layers/tracing/buildpacks"] {
        let world = ready("test/one", "exit 0");
        for inner in ["lifecycle", "buildpacks", "extensions"] {
            fs::create_dir_all(world.path("layers/tracing").join(inner)).unwrap();
        }
        for name in [folder.to_owned(), format!("{folder}/lifecycle"), format!("{folder}/buildpacks")] {
            let path = world.path(&name);
            if path.is_dir() {
                fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
            }
        }
        assert_eq!(same(&world, &[]), 1, "{folder}");
        own_spans(&world);
    }
}

#[test]
fn r11_r12_what_is_no_regular_file_is_left_alone_with_one_warning() {
    for file in FILES {
        let place = |make: &dyn Fn(&World, &Path)| {
            let world = ready("test/one", "exit 0");
            let path = world.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            world.write("target", "untouched");
            make(&world, &path);
            assert_eq!(same(&world, &[]), 1, "{file}");
            assert_eq!(world.read("target"), "untouched");
        };
        place(&|_, path| fs::create_dir(path).unwrap());
        place(&|world, path| symlink(world.path("target"), path).unwrap());
        place(&|world, path| symlink(world.path("nowhere"), path).unwrap());
        place(&|world, path| fs::hard_link(world.path("target"), path).unwrap());
        place(&|_, path| symlink("/dev/full", path).unwrap());
        place(&|_, path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()));
    }
    let world = ready("test/one", "exit 0");
    fs::create_dir_all(world.path("layers/tracing")).unwrap();
    fs::create_dir_all(world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), world.path("layers/tracing/lifecycle")).unwrap();
    assert_eq!(same(&world, &[]), 1);
    assert_eq!(fs::read_dir(world.path("elsewhere")).unwrap().count(), 0);
}

/// The file that phases share their trace by: what is there instead is replaced, or a phase goes its own way.
#[test]
fn r11_r12_a_shared_context_that_is_no_file_leads_nowhere() {
    let check = |name: &str, make: &dyn Fn(&World, &Path)| {
        let world = ready("test/one", "exit 0");
        fs::create_dir_all(world.path("layers/tracing/lifecycle")).unwrap();
        // A valid one elsewhere, which must not count through a link.
        let elsewhere = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n";
        world.write("target", elsewhere);
        make(&world, &world.path("layers/tracing/lifecycle/traceparent"));
        assert_eq!(same(&world, &[]), usize::from(name == "folder"), "{name}");
        let spans = own_spans(&world);
        assert_eq!(spans.len(), 4, "{name}");
        let trace = &spans[0]["traceId"];
        assert!(spans.iter().all(|span| span["traceId"] == *trace), "{name}");
        assert!(name == "second name" || trace != "0af7651916cd43dd8448eb211c80319c", "{name}");
        // The next build replaces it, and stays out of what it was.
        world.run_with("analyzer", &[APP_IMAGE], &[ON]).exits(0).done();
        assert_eq!(world.read("target"), elsewhere, "{name}");
        assert!(!world.path("nowhere").exists(), "{name}");
    };
    check("folder", &|_, path| fs::create_dir(path).unwrap());
    check("link", &|world, path| symlink(world.path("target"), path).unwrap());
    check("link to nothing", &|world, path| symlink(world.path("nowhere"), path).unwrap());
    check("second name", &|world, path| fs::hard_link(world.path("target"), path).unwrap());
    check("pipe", &|_, path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()));
    check("device", &|_, path| symlink("/dev/zero", path).unwrap());
}

#[test]
fn t4_any_path_of_the_platform_reaches_the_buildpack() {
    let world = ready("test/one", "printf 'path=%s.\\n' \"$CNB_OTEL_LOG_PATH\"");
    fs::create_dir(world.path("mine")).unwrap();
    let folder = world.path("mine").display().to_string();
    let long = format!("/{}", "x/".repeat(50_000));
    let below = format!("{folder}/a/b/");
    // Path, what the buildpack sees where it is another, warnings.
    let inside = format!("{folder}/test_one@1.0-build.jsonl");
    let cases = [
        ("relative/file.jsonl", None, 0),
        ("..", None, 0),
        ("/dev/null", None, 0),
        ("/dev/full", None, 0),
        (long.trim_end_matches('/'), None, 0),
        (&folder, Some(inside.as_str()), 0),
        (&below, Some(""), 1),
        (long.as_str(), Some(""), 1),
        // OpenTelemetry takes an empty variable for none.
        ("", Some("own"), 0),
    ];
    for (value, seen, warnings) in cases {
        let path = ("CNB_OTEL_LOG_PATH", Some(value));
        assert_eq!(same(&world, &[path]), warnings, "{value:.80}");
        let outcome = world.run_with("builder", &[], &[ON, path]);
        let own = world.path(FILES[1]).display().to_string();
        let seen = if seen == Some("own") { &own } else { seen.unwrap_or(value) };
        assert!(outcome.stdout.contains(&format!("path={seen}.\n")), "{value:.80}: {:.400}", outcome.stdout);
    }
    assert!(!own_spans(&world).is_empty());
}

#[test]
fn r19_hostile_contexts_are_one_warning() {
    let world = ready("test/one", "exit 0");
    let long = "00-".repeat(30_000);
    for value in [
        "",
        "garbage",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "\"}]}\n{\"resourceSpans\":[]}",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "../../../etc/passwd",
        "\u{1b}[2J",
        &long,
    ] {
        let outcome = world.run_with("builder", &[], &[ON, ("CNB_OTEL_TRACEPARENT", Some(value))]).exits(0);
        assert!(outcome.stdout.matches("Warning: ").count() <= 1, "{}", outcome.report());
        assert!(value.is_empty() || !outcome.stdout.contains(value), "the value is repeated");
    }
    for state in ["not a state", "=", &"a=b,".repeat(1000), "\n"] {
        let parent = ("CNB_OTEL_TRACEPARENT", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert_eq!(same(&world, &[parent, ("TRACESTATE", Some(state))]), 0, "{state:.40}");
    }
    assert!(own_spans(&world).iter().all(|span| span["traceId"].as_str().unwrap().len() == 32));
}

#[test]
fn r11_ids_cannot_lead_out_of_the_folder() {
    // The name of its file would be longer than a file system takes.
    let long = "x".repeat(245);
    for (id, warnings) in [("a/../../../b", 0), ("..a", 0), ("\u{e9}\u{65e5}\u{202e}", 0), (long.as_str(), 1)] {
        let world = World::new();
        world.buildpack(id, "0.12", "", "exit 0", "exit 0");
        world.order(&[&[id]]);
        world.run("analyzer", &[APP_IMAGE]).exits(0).done();
        let detected = world.run_with("detector", &[], &[ON]).exits(0);
        assert_eq!(detected.stdout.matches("Warning: ").count(), warnings, "{}", detected.report());
        assert_eq!(same(&world, &[]), warnings, "{id}");
        let told = own_spans(&world).iter().any(|span| span["attributes"].to_string().contains(&format!("{id:?}")));
        assert!(told || !id.is_ascii(), "{id}");
        let mut names: Vec<_> = fs::read_dir(world.path("layers/tracing/buildpacks"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names.len(), if warnings == 0 { 2 } else { 0 }, "{names:?}");
        let mut top: Vec<_> =
            fs::read_dir(world.path("layers/tracing")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        top.sort();
        assert_eq!(top, ["buildpacks", "extensions", "lifecycle"]);
    }
}

#[test]
fn t7_what_a_buildpack_does_to_its_file_is_one_warning_at_most() {
    for (script, warnings) in [
        ("echo garbage > \"$CNB_OTEL_LOG_PATH\"", 0),
        ("printf '{\"resourceSpans\":[' >> \"$CNB_OTEL_LOG_PATH\"", 0),
        ("head -c 65536 /dev/urandom >> \"$CNB_OTEL_LOG_PATH\"", 0),
        ("head -c 104857600 /dev/zero >> \"$CNB_OTEL_LOG_PATH\"", 0),
        ("rm \"$CNB_OTEL_LOG_PATH\"", 1),
        ("rm \"$CNB_OTEL_LOG_PATH\"; ln -s /etc/passwd \"$CNB_OTEL_LOG_PATH\"", 1),
        ("rm \"$CNB_OTEL_LOG_PATH\"; mkdir \"$CNB_OTEL_LOG_PATH\"", 1),
        ("rm -rf \"$(dirname \"$(dirname \"$CNB_OTEL_LOG_PATH\")\")\"", 1),
    ] {
        // Without telemetry there is no such file.
        let world = ready("test/one", &format!("if [ -n \"$CNB_OTEL_LOG_PATH\" ]; then {script}; fi"));
        assert_eq!(same(&world, &[]), warnings, "{script}");
        own_spans(&world);
        if !script.starts_with("rm -rf") {
            let shown: Outcome = world.run("lifecycle", &["trace", "layers/tracing"]).exits(0).says("test/one");
            assert!(shown.stdout.len() < 100_000);
        }
    }
}

#[test]
fn r5_r16_two_builds_at_once_in_one_folder_mix_no_lines() {
    let ids: Vec<String> = (0..8).map(|number| format!("test/{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let world = World::new();
    for id in &ids {
        world.buildpack(id, "0.12", "", "exit 0", "exit 0");
    }
    world.order(&[&ids]);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    let both = [(); 2].map(|()| world.start("builder", &[], &[ON]));
    for builder in both {
        builder.outcome().exits(0).does_not_say("Warning").done();
    }
    let spans = spans_of(&world.path("layers/tracing/lifecycle/build.jsonl"));
    let mut ids: Vec<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * (2 + 2 * 8));
    assert_eq!(spans.len(), ids.len());
}
