//! What a program is given, and what is made of what it leaves. Conformance items 36 to 38, 44 and 48.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cnb_lifecycle::effect::events::{Event, Facts, Note, Outcome, Work};
use cnb_lifecycle::phase::detect::Error;
use cnb_lifecycle::report::text::Level;

use super::{OPT_OUT, PASS, World, chosen, list, names};

#[test]
fn output_with_percent_signs_is_printed_as_it_is() {
    let world = World::new();
    world.buildpack("a@1", "echo '100% done'; echo 'to stderr' >&2; exit 100");
    assert!(world.detect("a@1").is_err());
    assert!(world.shown(Level::Error).contains("100% done\nto stderr\n"));
}

#[test]
fn a_plan_is_a_private_file_that_goes_with_its_program() {
    let world = World::new();
    world.buildpack("a@1", "stat -c '%a %s' $2 > seen; ls $(dirname $2) >> seen");
    assert_eq!(chosen(world.detect("a@1")), ["a@1"]);
    let seen = world.app_file("seen");
    assert!(seen.starts_with("600 0\nplan."), "{seen}");
}

#[test]
fn a_plan_that_is_no_plan_is_an_error_with_the_output() {
    let world = World::new();
    world
        .buildpack("bad@1", "echo hello; echo 'a.b.' > $2")
        .buildpack("gone@1", "rm $2")
        .buildpack("fifo@1", "rm $2; mkfifo $2");
    assert!(matches!(world.detect("bad@1 gone@1 fifo@1"), Err(Error::BuildpackFailed)));
    let shown = world.shown(Level::Error);
    assert!(
        shown.contains("======== Output: bad@1 ========\nhello\n======== Error: bad@1 ========\ntoml: line 1"),
        "{shown}"
    );
    assert!(shown.contains(".toml: no such file or directory\n"), "{shown}");
    assert!(shown.contains(".toml: not a regular file\n"), "{shown}");
}

#[test]
fn a_version_beside_metadata_is_refused_at_every_api() {
    let world = World::new();
    let script = "printf '[[or]]\\n[[or.requires]]\\nname = \"x\"\\nversion = \"1\"\\n' > $2";
    world.buildpack_with("a@1", "0.7", "", "", script);
    assert!(matches!(world.detect("a@1"), Err(Error::BuildpackFailed)));
    let expected = "======== Error: a@1 ========\nbuildpack a has a \"version\" key which is not supported. \
                    \"metadata.version\" should be used instead\n";
    assert!(world.shown(Level::Error).contains(expected));
}

#[test]
fn a_program_that_cannot_start_is_an_error() {
    let world = World::new();
    world.buildpack("a@1", PASS);
    let program = world.path("buildpacks/a/1/bin/detect");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(world.detect("a@1"), Err(Error::BuildpackFailed)));
    let expected = format!("======== Error: a@1 ========\nfork/exec {program}: permission denied\n");
    assert!(world.shown(Level::Error).contains(&expected));
}

/// The names of the variables that a bin/detect of this Buildpack API sees, besides the shell's own.
fn variables(api: &str) -> Vec<String> {
    let world = World::new();
    world.buildpack_with("a@1", api, "", "", "env > seen; echo \"$@\" > args");
    assert_eq!(chosen(world.detect("a@1")), ["a@1"]);
    let args = world.app_file("args");
    assert!(args.starts_with(&format!("{} {}/plan.", world.path("platform"), world.path("tmp"))), "{args}");
    assert!(args.ends_with(".toml\n"), "{args}");
    let seen = world.app_file("seen");
    let own = ["PWD", "OLDPWD", "SHLVL", "_"];
    let mut names: Vec<String> = seen
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.to_owned()))
        .filter(|name| !own.contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

#[test]
fn each_buildpack_api_has_its_variables_and_no_others_leak() {
    let common = ["CNB_BUILDPACK_DIR", "CNB_OTEL_LOG_PATH", "HOME", "PATH", "TRACEPARENT"];
    let paths = ["CNB_BUILD_PLAN_PATH", "CNB_PLATFORM_DIR"];
    let target = ["CNB_TARGET_ARCH", "CNB_TARGET_DISTRO_NAME", "CNB_TARGET_DISTRO_VERSION", "CNB_TARGET_OS"];
    let all = |lists: &[&[&'static str]]| -> Vec<&'static str> {
        let mut names = lists.concat();
        names.sort_unstable();
        names
    };
    assert_eq!(variables("0.7"), all(&[&common]));
    assert_eq!(variables("0.8"), all(&[&common, &paths]));
    assert_eq!(variables("0.10"), all(&[&common, &paths, &target]));
    assert_eq!(variables("0.12"), all(&[&common, &paths, &target, &["CNB_EXEC_ENV"]]));
}

#[test]
fn the_users_variables_go_over_ours_and_those_of_the_contract_over_all() {
    let world = World::new();
    world.write("platform/env/PATH", "/user").write("platform/env/TRACEPARENT", "theirs");
    world.write("platform/env/A.B", "dotted").write("platform/env/CNB_TARGET_OS", "windows");
    world.write("build-config/env/FOO", "operator");
    let script =
        "{ echo $PATH $TRACEPARENT $CNB_TARGET_OS $FOO; } > seen; tr '\\0' '\\n' < /proc/$$/environ | grep A.B >> seen";
    world.buildpack("a@1", script);
    world.buildpack_with("clear@1", "0.10", "clear-env = true", "", "echo $PATH $TRACEPARENT $FOO > cleared");
    assert_eq!(chosen(world.detect("a@1 clear@1")), ["a@1", "clear@1"]);
    assert_eq!(world.app_file("seen"), "/user:/usr/bin:/bin theirs linux operator\nA.B=dotted\n");
    assert_eq!(world.app_file("cleared"), "/usr/bin:/bin ours operator\n");
}

#[test]
fn an_extension_stands_in_front_and_needs_no_program() {
    let world = World::new();
    world
        .write("extensions/ext/1/extension.toml", "api = \"0.10\"\n[extension]\nid = \"ext\"\nversion = \"1\"\n")
        .write("extensions/ext/1/detect/plan.toml", "[[provides]]\nname = \"dep\"\n")
        .buildpack("a@1", "printf '[[requires]]\\nname = \"dep\"\\n' > $2");
    let order = format!("[[order]]\n{}[[order-extensions]]\n{}", list("a@1"), list("ext@1"));
    let outputs = world.detect_order(&order).unwrap();
    assert_eq!(names(&outputs.group.extensions), ["ext@1"]);
    assert_eq!(names(&outputs.group.buildpacks), ["a@1"]);
    assert_eq!(outputs.plan.entries[0].providers[0].id.as_str(), "ext");
    assert_eq!(world.shown(Level::Info), "ext 1\na   1\n");
}

#[test]
fn an_extension_may_require_nothing() {
    let world = World::new();
    world
        .write("extensions/ext/1/extension.toml", "api = \"0.10\"\n[extension]\nid = \"ext\"\nversion = \"1\"\n")
        .program(
            "extensions/ext/1/bin/detect",
            "printf '[[requires]]\\nname = \"dep\"\\n' > $2; echo $CNB_EXTENSION_DIR",
        )
        .buildpack("a@1", PASS);
    let order = format!("[[order]]\n{}[[order-extensions]]\n{}", list("a@1"), list("ext@1"));
    assert!(world.detect_order(&order).unwrap().group.extensions.is_empty());
    let expected = format!(
        "======== Output: ext@1 ========\n{}\n======== Error: ext@1 ========\n\
         extension ext outputs \"requires\" which is not allowed\n",
        world.path("extensions/ext/1"),
    );
    assert!(world.shown(Level::Info).contains(&expected));
}

#[test]
fn every_program_is_work_with_its_outcome() {
    let world = World::new();
    world
        .buildpack("pass@1", PASS)
        .buildpack("out@1", OPT_OUT)
        .buildpack("five@1", "exit 5")
        .buildpack("sig@1", "kill -9 $$");
    assert!(world.detect("pass@1 out@1? five@1? sig@1?").is_ok());
    let events = world.recorder.events();
    let ended = |wanted: &str| {
        let id = events.iter().find_map(|event| match event {
            Event::Begin { id, work: Work::Process { id: module, .. }, .. } if module.as_str() == wanted => Some(*id),
            _ => None,
        });
        let id = id.unwrap();
        let passed = events
            .iter()
            .any(|event| matches!(event, Event::Note { id: note, note: Note::DetectPass { .. } } if *note == id));
        let end = events.iter().find_map(|event| match event {
            Event::End { id: ended, outcome, facts } if *ended == id => Some((*outcome, facts.clone())),
            _ => None,
        });
        (end.unwrap(), passed)
    };
    let facts = |exit_code, error_type| Facts { exit_code, error_type, ..Facts::default() };
    assert_eq!(ended("pass"), ((Outcome::Success, facts(None, None)), true));
    assert_eq!(ended("out"), ((Outcome::Skip, facts(Some(100), None)), false));
    assert_eq!(ended("five"), ((Outcome::Failure, facts(Some(5), Some("exit"))), false));
    assert_eq!(ended("sig"), ((Outcome::Failure, facts(None, Some("signal"))), false));
    let begun = events.iter().filter(|event| matches!(event, Event::Begin { .. })).count();
    let over = events.iter().filter(|event| matches!(event, Event::End { .. })).count();
    assert_eq!((begun, over), (6, 6), "four programs, the search and the plan");
}
