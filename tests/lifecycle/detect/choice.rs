//! Which group is chosen, and what a user sees of it. Conformance items 24 to 35 and 39 to 43.

use std::path::Path;
use std::time::{Duration, Instant};

use cnb_lifecycle::phase::detect::Error;
use cnb_lifecycle::report::text::Level;
use cnb_lifecycle::schema;

use super::{OPT_OUT, PASS, Recorder, World, chosen, message};

#[test]
fn the_first_group_that_passes_is_chosen_and_others_are_not_shown() {
    let world = World::new();
    world.buildpack("samples/fail@1", "echo no; exit 100").buildpack("samples/a@0.0.1", "echo yes");
    let outputs = world.detect("samples/fail@1 | samples/a@0.0.1").unwrap();
    assert_eq!(
        schema::group::render(&outputs.group),
        "[[group]]\n  id = \"samples/a\"\n  version = \"0.0.1\"\n  api = \"0.10\"\n  homepage = \"http://samples/a\"\n",
    );
    assert_eq!(schema::plan::render(&outputs.plan), "");
    assert_eq!(world.shown(Level::Info), "samples/a 0.0.1\n");
    assert!(world.shown(Level::Debug).contains("======== Output: samples/fail@1 ========\nno\n"));
}

#[test]
fn everything_is_shown_when_no_group_passes() {
    let world = World::new();
    world.buildpack("fail@1", "echo Opted out; exit 100");
    assert_eq!(message(world.detect("fail@1")), "failed to detect: no buildpacks participating");
    assert_eq!(
        world.shown(Level::Error),
        "======== Output: fail@1 ========\nOpted out\n======== Results ========\nfail: fail@1\n\
         No buildpack groups passed detection.\nPlease check that you are running against the correct path.\n",
    );
}

#[test]
fn an_error_is_told_with_its_exit_code_and_a_signal_without() {
    let world = World::new();
    world.buildpack("five@1", "exit 5").buildpack("killed@1", "kill -9 $$");
    assert_eq!(message(world.detect("five@1 | killed@1")), "failed to detect: buildpack(s) failed with err");
    let shown = world.shown(Level::Error);
    assert!(shown.contains("err:  five@1 (5)\n") && shown.contains("err:  killed@1\n"), "{shown}");
    assert!(!shown.contains("correct path"), "{shown}");
}

#[test]
fn an_optional_error_is_shown_and_the_group_passes() {
    let world = World::new();
    world.buildpack("err@1.0.0", "echo boom; exit 5").buildpack("samples/a@0.0.1", PASS);
    assert_eq!(chosen(world.detect("err@1.0.0? samples/a@0.0.1")), ["samples/a@0.0.1"]);
    assert_eq!(
        world.shown(Level::Info),
        "======== Output: err@1.0.0 ========\nboom\nerr:  err@1.0.0 (5)\n\
         1 of 2 buildpacks participating\nsamples/a 0.0.1\n",
    );
}

#[test]
fn a_group_in_which_every_optional_module_fails_is_not_viable() {
    let world = World::new();
    world.buildpack("a@1", OPT_OUT).buildpack("b@1", "exit 5");
    assert!(matches!(world.detect("a@1? b@1?"), Err(Error::NoGroup)));
    assert!(world.shown(Level::Error).contains("fail: no viable buildpacks in group\n"));
}

#[test]
fn an_empty_order_finds_no_group() {
    assert!(matches!(World::new().detect_order(""), Err(Error::NoGroup)));
}

#[test]
fn a_module_in_two_groups_runs_once() {
    let world = World::new();
    world.buildpack("a@1", "echo run >> runs").buildpack("no@1", OPT_OUT);
    assert_eq!(chosen(world.detect("a@1 no@1 | a@1")), ["a@1"]);
    assert_eq!(world.app_file("runs"), "run\n");
}

#[test]
fn modules_of_a_group_run_at_the_same_time() {
    let world = World::new();
    // Each waits for the file that the other writes.
    let wait = |mine: &str, other: &str| format!("touch {mine}; while [ ! -e {other} ]; do sleep 0.01; done");
    world.buildpack("a@1", &wait("a", "b")).buildpack("b@1", &wait("b", "a"));
    let start = Instant::now();
    assert_eq!(chosen(world.detect("a@1 b@1")), ["a@1", "b@1"]);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn the_plan_lists_providers_and_requires() {
    let world = World::new();
    world.buildpack("a@1", "printf '[[provides]]\\nname = \"dep\"\\n' > $2").buildpack(
        "b@2",
        "printf '[[requires]]\\nname = \"dep\"\\n[requires.metadata]\\nversion = \"1.0\"\\n' > \"$CNB_BUILD_PLAN_PATH\"",
    );
    let outputs = world.detect("a@1 b@2").unwrap();
    assert_eq!(
        schema::plan::render(&outputs.plan),
        "[[entries]]\n\n  [[entries.providers]]\n    id = \"a\"\n    version = \"1\"\n\n  \
         [[entries.requires]]\n    name = \"dep\"\n    [entries.requires.metadata]\n      version = \"1.0\"\n",
    );
}

#[test]
fn a_required_module_for_another_target_fails_unrun_and_an_optional_one_runs() {
    let windows = "[[targets]]\nos = \"windows\"\n";
    let world = World::new();
    world.buildpack_with("win@1", "0.10", "", windows, "touch ran");
    assert!(matches!(world.detect("win@1"), Err(Error::BuildpackFailed)));
    let shown = world.shown(Level::Error);
    assert!(
        shown.contains(
            "======== Error: win@1 ========\nunable to satisfy target os/arch constraints; run image: \
         {\"os\":\"linux\",\"arch\":\"amd64\",\"distro\":{\"name\":\"ubuntu\",\"version\":\"22.04\"}}, \
         buildpack: [{\"os\":\"windows\",\"arch\":\"\"}]\n"
        ),
        "{shown}"
    );
    assert!(world.shown(Level::Debug).contains("Checking for match against descriptor: {windows   []}\n"));
    assert!(!Path::new(&world.path("app/ran")).exists());
    assert_eq!(chosen(World { recorder: Recorder::default(), ..world }.detect("win@1?")), ["win@1"]);
}

#[test]
fn targets_are_not_checked_below_platform_api_0_12() {
    let world = World { platform_api: "0.11", ..World::new() };
    world.buildpack_with("win@1", "0.10", "", "[[targets]]\nos = \"windows\"\n", PASS);
    assert_eq!(chosen(world.detect("win@1")), ["win@1"]);
}

#[test]
fn this_systems_distro_stands_in_for_that_of_the_run_image_and_it_is_told_once() {
    let world = World { target: None, ..World::new() };
    let targets = "[[targets]]\nos = \"linux\"\narch = \"arm64\"\ndistros = [{ name = \"host\", version = \"1\" }]\n";
    let script = "echo $CNB_TARGET_ARCH $CNB_TARGET_DISTRO_NAME $CNB_TARGET_DISTRO_VERSION > seen";
    world.buildpack_with("a@1", "0.10", "", targets, script).buildpack("b@1", PASS);
    assert_eq!(chosen(world.detect("a@1 b@1")), ["a@1", "b@1"]);
    assert_eq!(world.app_file("seen"), "arm64 host 1\n");
    let line = "target distro name/version labels not found, reading /etc/os-release file\n";
    assert_eq!(world.shown(Level::Info).matches(line).count(), 1);
}

#[test]
fn a_module_for_another_execution_environment_is_left_out_even_when_required() {
    let world = World { platform_api: "0.15", ..World::new() };
    world.buildpack_with("test@1", "0.12", "exec-env = [\"test\", \"dev\"]", "", PASS).buildpack("a@1", PASS);
    assert_eq!(chosen(world.detect("test@1 a@1")), ["a@1"]);
    let expected =
        "Skipping test@1 due to execution environment mismatch; current: production, buildpack supports: [test dev]\n";
    assert!(world.shown(Level::Debug).contains(expected));
    assert_eq!(world.shown(Level::Info), "a 1\n", "it is not counted");
    let older = World { platform_api: "0.14", recorder: Recorder::default(), ..world };
    assert_eq!(chosen(older.detect("test@1 a@1")), ["test@1", "a@1"]);
}

#[test]
fn system_buildpacks_surround_a_group_from_0_15_on() {
    let system = "[[system.pre.buildpacks]]\nid = \"pre\"\nversion = \"1\"\n\
                  [[system.post.buildpacks]]\nid = \"post\"\nversion = \"1\"\n";
    let world = World { platform_api: "0.15", system, ..World::new() };
    world.buildpack("pre@1", PASS).buildpack("post@1", PASS).buildpack("a@1", PASS);
    assert_eq!(chosen(world.detect("a@1")), ["pre@1", "a@1", "post@1"]);
    assert!(world.shown(Level::Debug).contains("Prepending 1 system buildpack(s) to group\n"));
    let older = World { platform_api: "0.14", recorder: Recorder::default(), ..world };
    assert_eq!(chosen(older.detect("a@1")), ["a@1"]);
}

#[test]
fn apis_of_the_order_and_of_composites_are_checked() {
    let world = World::new();
    world.buildpack_with("old@1", "0.1", "", "", PASS).buildpack("a@1", "touch ran");
    let old = "failed to set API for Buildpack 'old@1': buildpack API version '0.1' is incompatible with the lifecycle";
    assert_eq!(message(world.detect("a@1 | old@1")), old);
    assert!(!Path::new(&world.path("app/ran")).exists(), "nothing runs before the order is checked");
    world.composite("comp@1", "old@1");
    assert_eq!(message(world.detect("comp@1")), old);
    world.write("buildpacks/none/1/buildpack.toml", "[buildpack]\nid = \"none\"\nversion = \"1\"\n");
    world.composite("comp2@1", "none@1");
    let none = "failed to parse buildpack API '<nil>' for buildpack 'none@1'";
    assert_eq!(message(world.detect("comp2@1")), none);
}

#[test]
fn a_module_that_is_missing_is_named() {
    let world = World::new();
    let open = |id: &str| {
        format!("open {}: no such file or directory", world.path(&format!("buildpacks/{id}/1/buildpack.toml")))
    };
    let result = world.detect("gone@1");
    assert!(matches!(result, Err(Error::Init(_))));
    assert_eq!(message(result), format!("failed to initialize detector: {}", open("gone")));
    world.composite("comp@1", "nested@1");
    let result = world.detect("comp@1");
    assert!(matches!(result, Err(Error::Other(_))));
    assert_eq!(message(result), format!("failed to detect: {}", open("nested")));
}

#[test]
fn a_composite_that_contains_itself_is_an_error() {
    let world = World::new();
    world.composite("a@1", "b@1").composite("b@1", "a@1");
    assert_eq!(
        message(world.detect("a@1")),
        "failed to detect: composite buildpacks contain each other: a@1 -> b@1 -> a@1",
    );
}
