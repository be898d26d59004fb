//! Detection as a whole, with buildpacks that are shell scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::fixtures::{Recorder, names};
use super::{Error, Inputs, Outputs, detect};
use crate::api::PlatformApi;
use crate::buildpack::store::Store;
use crate::effect::events::{Event, Facts, Note, Outcome, Work};
use crate::model::order::SystemBuildpacks;
use crate::model::target::{Distro, RunTarget};
use crate::report::text::{self, Level};
use crate::schema;

/// Folders with buildpacks, and what one detection told.
struct World {
    dir: tempfile::TempDir,
    platform_api: &'static str,
    exec_env: &'static str,
    target: Option<RunTarget>,
    system: &'static str,
    recorder: Recorder,
}

/// A bin/detect that passes and asks nothing.
const PASS: &str = "exit 0";
const OPT_OUT: &str = "exit 100";

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["buildpacks", "extensions", "app", "platform/env", "build-config/env", "tmp"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let distro = Some(Distro { name: "ubuntu".into(), version: "22.04".into() });
        let target = RunTarget { os: "linux".into(), arch: "amd64".into(), distro, ..RunTarget::default() };
        Self {
            dir,
            platform_api: "0.12",
            exec_env: "production",
            target: Some(target),
            system: "",
            recorder: Recorder::default(),
        }
    }

    fn path(&self, path: &str) -> String {
        self.dir.path().join(path).display().to_string()
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn program(&self, path: &str, script: &str) -> &Self {
        self.write(path, script);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A buildpack of Buildpack API 0.10.
    fn buildpack(&self, name: &str, script: &str) -> &Self {
        self.buildpack_with(name, "0.10", "", "", script)
    }

    /// A buildpack with more keys in `[buildpack]` and more tables.
    fn buildpack_with(&self, name: &str, api: &str, keys: &str, tables: &str, script: &str) -> &Self {
        let (id, version) = name.split_once('@').unwrap();
        let root = format!("buildpacks/{}/{version}", id.replace('/', "_"));
        let descriptor = format!(
            "api = \"{api}\"\n[buildpack]\nid = \"{id}\"\nversion = \"{version}\"\nhomepage = \"http://{id}\"\n{keys}\n{tables}"
        );
        self.write(&format!("{root}/buildpack.toml"), &descriptor);
        self.program(&format!("{root}/bin/detect"), script)
    }

    fn composite(&self, name: &str, order: &str) -> &Self {
        let (id, version) = name.split_once('@').unwrap();
        let order = lists(order);
        self.write(
            &format!("buildpacks/{id}/{version}/buildpack.toml"),
            &format!("api = \"0.10\"\n{order}\n[buildpack]\nid = \"{id}\"\nversion = \"{version}\"\n"),
        )
    }

    /// Detects with groups such as `a@1 b@1? | c@1`.
    fn detect(&self, groups: &str) -> Result<Outputs, Error> {
        self.detect_order(&lists(groups))
    }

    fn detect_order(&self, order: &str) -> Result<Outputs, Error> {
        let distro = Some(Distro { name: "host".into(), version: "1".into() });
        let inputs = Inputs {
            api: PlatformApi::negotiate(Some(self.platform_api)).unwrap(),
            order: schema::order::parse(order).unwrap(),
            system: if self.system.is_empty() {
                SystemBuildpacks::default()
            } else {
                schema::order::parse_system(self.system).unwrap()
            },
            store: Store { buildpacks: self.path("buildpacks").into(), extensions: self.path("extensions").into() },
            app_dir: self.path("app").into(),
            platform_dir: self.path("platform").into(),
            build_config_dir: self.path("build-config").into(),
            exec_env: self.exec_env.to_owned(),
            target: self.target.clone(),
            host_target: RunTarget { os: "linux".into(), arch: "arm64".into(), distro, ..RunTarget::default() },
            env: [("PATH", "/usr/bin:/bin"), ("SECRET", "x"), ("HOME", "/h")].into_iter().collect(),
            temp_dir: self.path("tmp").into(),
        };
        let result = detect(&self.recorder.effects(), &inputs);
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "plans are removed");
        result
    }

    /// What a user sees who asked for `level`.
    fn shown(&self, level: Level) -> String {
        let lines = self.recorder.events().iter().flat_map(text::lines).collect::<Vec<_>>();
        let shown = lines.into_iter().filter(|line| line.forced || line.level >= level);
        shown.map(|line| String::from_utf8(line.text).unwrap().trim_end_matches('\n').to_owned() + "\n").collect()
    }

    /// What the app directory has in a file that a script wrote there.
    fn app_file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("app").join(name)).unwrap_or_default()
    }
}

/// `[[order]]` of each group, separated by `|`.
fn lists(groups: &str) -> String {
    groups.split('|').map(|group| format!("[[order]]\n{}", list(group))).collect::<Vec<_>>().concat()
}

/// `group = [...]` of modules such as `a@1` and `b@1?`, the latter optional.
fn list(group: &str) -> String {
    let entries: Vec<String> = group
        .split_whitespace()
        .map(|name| {
            let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
            let (id, version) = name.split_once('@').unwrap();
            format!("{{ id = \"{id}\", version = \"{version}\", optional = {optional} }}")
        })
        .collect();
    format!("group = [{}]\n", entries.join(", "))
}

fn chosen(result: Result<Outputs, Error>) -> Vec<String> {
    names(&result.unwrap().group.buildpacks)
}

/// The message behind `ERROR: `, as the command prints it.
fn message<T>(result: Result<T, Error>) -> String {
    let Err(error) = result else { panic!("detection passed") };
    match error.action() {
        Some(action) => format!("failed to {action}: {error}"),
        None => error.to_string(),
    }
}

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
fn output_with_percent_signs_is_printed_as_it_is() {
    let world = World::new();
    world.buildpack("a@1", "echo '100% done'; echo 'to stderr' >&2; exit 100");
    assert!(world.detect("a@1").is_err());
    assert!(world.shown(Level::Error).contains("100% done\nto stderr\n"));
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
    assert!(shown.contains("plan.toml: no such file or directory\n"), "{shown}");
    assert!(shown.contains("plan.toml: not a regular file\n"), "{shown}");
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
    assert!(args.ends_with("/plan.toml\n"), "{args}");
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
