//! Names, flags and faults that come before any phase: catalogue 1, section 10, items 1 to 9.

use crate::support::{APP_IMAGE, World};

const NO_API: &str = "please set 'CNB_PLATFORM_API'";

#[test]
fn the_version_needs_no_api_under_the_common_name_and_one_under_a_phases_name() {
    let world = World::new();
    let none = [("CNB_PLATFORM_API", None)];
    world.run_with("lifecycle", &["-version"], &none).exits(0).says("0.22").done();
    world.run_with("detector", &["-version"], &none).exits(11).says(NO_API).done();
    world.run("detector", &["-app=/x", "-version", "-log-level", "nope"]).exits(0).says("0.22").done();
}

#[test]
fn an_api_is_required_and_must_be_supported() {
    let world = World::new();
    for (value, text) in [
        ("", NO_API),
        (" ", NO_API),
        ("abc", "failed to parse platform API 'abc'"),
        ("0.99", "platform API version '0.99' is incompatible with the lifecycle"),
    ] {
        let outcome = world.run_with("analyzer", &["x"], &[("CNB_PLATFORM_API", Some(value))]).exits(11);
        outcome.says(text).says("\u{1b}[31;1mERROR: \u{1b}[0m").done();
    }
    world.run_with("detector", &["-h"], &[("CNB_PLATFORM_API", Some("v0.12"))]).exits(0).done();
}

#[test]
fn phases_answer_to_verbs_and_programs() {
    let world = World::new();
    world.run("lifecycle", &["detect", "x"]).exits(3).says("received unexpected arguments").done();
    world
        .run("lifecycle", &["detector"])
        .exits(3)
        .says("failed to recognize phase: detector \nValid phases: detect,")
        .done();
    world.run("lifecycle", &[]).exits(3).says("ERROR: \u{1b}[0mfailed to parse arguments\n").done();
}

#[test]
fn wrong_flags_print_usage_on_standard_error() {
    let world = World::new();
    let unknown = world.run("detector", &["-bogus"]).exits(2).complains("flag provided but not defined: -bogus\n");
    unknown.complains("Usage of lifecycle:").done();
    world.run("detector", &["-help"]).exits(0).complains("Usage of lifecycle:").done();
    let world = world.at("0.9");
    world.run("detector", &["-extensions", "x"]).exits(2).done();
}

#[test]
fn a_user_that_cannot_be_is_refused() {
    let world = World::new();
    for [flag, id] in [["-uid", "-1"], ["-gid", "4294967296"]] {
        let why = "a user or group id is a number from 0 to 4294967294";
        let told = format!("invalid value \"{id}\" for {flag}: {why}\n");
        world.run("exporter", &[flag, id, APP_IMAGE]).exits(2).complains(&told).done();
    }
}

#[test]
fn the_log_level_is_checked_and_a_flag_wins_over_its_variable() {
    let world = World::new();
    world.run("detector", &["-log-level", "nope"]).exits(1).says("failed to parse log level: invalid level").done();
    let debug = [("CNB_LOG_LEVEL", Some("debug"))];
    world.run_with("detector", &["x"], &debug).exits(3).says("Starting detector...").done();
    world.run_with("detector", &["-log-level", "info", "x"], &debug).exits(3).does_not_say("Starting").done();
    world.run("detector", &["-log-level", "fatal", "x"]).exits(3).does_not_say("ERROR").done();
}

#[test]
fn colours_are_on_unless_somebody_turns_them_off() {
    let world = World::new();
    let error = "\u{1b}[31;1mERROR: \u{1b}[0m";
    world.run("detector", &["-no-color=false", "x"]).says(error).done();
    world.run("detector", &["x"]).does_not_say("\u{1b}").says("ERROR: ").done();
    let no_color = [("CNB_NO_COLOR", None), ("NO_COLOR", Some("1"))];
    world.run_with("detector", &["x"], &no_color).does_not_say("\u{1b}").done();
}

#[test]
fn an_argument_that_looks_like_a_flag_draws_a_warning() {
    let world = World::new();
    world
        .run("analyzer", &["image", "-daemon"])
        .exits(3)
        .says("Warning: Warning: unconsumed flag-like positional arg: \n\t-daemon\n\t This will not be interpreted as a flag.")
        .says("received 2 arguments, but expected 1")
        .done();
}

#[test]
fn phases_count_their_arguments() {
    let world = World::new();
    for (program, text) in [
        ("analyzer", "failed to parse arguments: received 0 arguments, but expected 1"),
        ("creator", "failed to parse arguments: received 0 arguments, but expected 1"),
        ("exporter", "failed to parse arguments: at least one image argument is required"),
    ] {
        world.run(program, &[]).exits(3).says(text).done();
    }
    world.run("restorer", &["x"]).exits(3).says("received unexpected Args").done();
    world.run("builder", &["x"]).exits(3).says("received unexpected arguments").done();
}

#[test]
fn a_daemon_that_cannot_be_reached_is_told_before_anything_is_done() {
    let world = World::new();
    let analyzed = "[run-image]\nreference = \"run\"\n";
    world.write("layers/analyzed.toml", analyzed);
    for (program, arguments) in [
        ("analyzer", &["-daemon", "-run-image", "run", "app"][..]),
        ("restorer", &["-daemon"]),
        ("exporter", &["-daemon", "app"]),
        ("creator", &["-daemon", "-run-image", "run", "app"]),
        ("rebaser", &["-daemon", "app"]),
    ] {
        for (host, cause) in [
            (
                "unix:///nowhere/docker.sock",
                "failed to connect to docker socket: dial unix /nowhere/docker.sock: connect: no such file or directory",
            ),
            ("ssh://a", "unable to parse docker host `ssh://a`"),
        ] {
            let run = world.run_with(program, arguments, &[("DOCKER_HOST", Some(host)), ("CNB_USE_LAYOUT", None)]);
            run.exits(1).says(&format!("failed to initialize docker client: {cause}")).done();
        }
    }
}

#[test]
fn a_version_is_the_same_in_every_form() {
    let world = World::new();
    for program in ["analyzer", "detector", "restorer", "builder", "exporter", "creator", "rebaser"] {
        let help = |api| world.run_with(program, &["-help"], &[("CNB_PLATFORM_API", Some(api))]).exits(0).stderr;
        for (form, plain) in [("v0.12", "0.12"), ("0.012", "0.12"), ("v0.9", "0.9")] {
            assert_eq!(help(form), help(plain), "{program} at {form}");
        }
        assert_ne!(help("0.7"), help("0.15"), "{program}");
    }
    // It went with 0.12.
    let version = [("CNB_PLATFORM_API", Some("v0.12"))];
    world.run_with("analyzer", &["-stack", "x", "y"], &version).exits(2).done();
}

#[test]
fn without_colours_those_of_buildpacks_go_too() {
    let world = World::new();
    let colours = "printf 'a \\033[31mred\\033[0m word\\n'";
    world.buildpack("test/red", "0.12", "", &format!("{colours}; exit 5"), colours);
    world.order(&[&["test/red"]]);
    world.run("detector", &[]).exits(21).says("a red word\n").does_not_say("\u{1b}").done();
    world.write("layers/group.toml", "[[group]]\nid = \"test/red\"\nversion = \"1.0\"\napi = \"0.12\"\n");
    world.write("layers/plan.toml", "");
    world.run("builder", &["-no-color"]).exits(0).says("a red word\n").does_not_say("\u{1b}").done();
    let with_colours = world.run_with("builder", &[], &[("CNB_NO_COLOR", None)]).exits(0);
    with_colours.says("a \u{1b}[31mred\u{1b}[0m word\n").done();
}

#[test]
fn the_log_is_on_standard_output() {
    let world = World::new();
    let both = "echo out; echo err >&2";
    world.buildpack("test/both", "0.12", "", &format!("{both}; exit 5"), &format!("{both}; exit 5"));
    world.order(&[&["test/both"]]);
    world.write("layers/group.toml", "[[group]]\nid = \"test/both\"\nversion = \"1.0\"\napi = \"0.12\"\n");
    world.write("layers/plan.toml", "");
    for (program, exit) in [("detector", 21), ("builder", 51)] {
        let outcome = world.run(program, &[]).exits(exit);
        assert_eq!(outcome.stderr, "", "{program}");
        outcome.says("Warning: No analyzed metadata").says("out\nerr\n").says("ERROR: failed to").done();
    }
}

#[test]
fn a_daemon_takes_names_of_two_registries() {
    let world = World::new();
    let daemon = [("DOCKER_HOST", Some("unix:///nowhere/docker.sock")), ("CNB_USE_LAYOUT", None)];
    let names = ["-tag", "b.example/test/app", "-run-image", "run", "a.example/test/app"];
    let refused = "writing to multiple registries is unsupported";
    world.run_with("analyzer", &names, &daemon).exits(3).says(refused).done();
    let names = [&["-daemon"], &names[..]].concat();
    world.run_with("analyzer", &names, &daemon).exits(1).says("docker client").does_not_say(refused).done();
}

#[test]
fn every_name_of_an_image_is_read_before_anything_is_done() {
    let world = World::new();
    let text = "ERROR: failed to resolve inputs: could not parse reference: A B\n";
    for args in [
        &["A B"][..],
        &["-tag", "A B", "app"],
        &["-previous-image", "A B", "app"],
        &["-run-image", "A B", "app"],
        &["-cache-image", "A B", "app"],
        &["app"],
    ] {
        let given = [&["-run-image", "run"], args].concat();
        for layout in [Some("true"), None] {
            // The build image is the restorer's, and read here all the same.
            let build = ("CNB_BUILD_IMAGE", (args.len() == 1 && args[0] == "app").then_some("A B"));
            world.run_with("analyzer", &given, &[("CNB_USE_LAYOUT", layout), build]).exits(3).says(text).done();
        }
    }
}

#[test]
fn a_creator_tells_that_there_is_no_cache_before_it_refuses_a_name() {
    let world = World::new();
    let refused = [("CNB_CACHE_DIR", None), ("CNB_USE_LAYOUT", None)];
    let outcome = world.run_with("creator", &["-run-image", "run", "A B"], &refused);
    let told = "Warning: No cached data will be used, no cache specified.\n";
    outcome.exits(3).says(&format!("{told}ERROR: failed to resolve inputs: could not parse reference: A B\n")).done();
}

#[test]
fn what_is_not_there_yet_says_so() {
    let world = World::new();
    world.run("extender", &["x"]).says("is not supported yet").done();
    world.run("extender", &["-version"]).exits(0).says("0.22").done();
}
