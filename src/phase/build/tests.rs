//! The build phase with real programs: small shell scripts in folders of their own.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use super::*;
use crate::effect::events::WorkId;
use crate::effect::events::{Event, Events, Work};
use crate::effect::images::StoreKind;
use crate::effect::telemetry::{NoTelemetry, ProcessTelemetry};
use crate::image::memory::MemoryImages;
use crate::model::plan::{PlanEntry, Provider};
use crate::model::target::Distro;
use crate::os::process::{OsProcesses, StreamTo};
use crate::report::text::{Level, lines};

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Events for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    fn warnings(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap().iter().flat_map(lines).collect::<Vec<_>>();
        lines
            .into_iter()
            .filter(|line| line.level == Level::Warn)
            .map(|line| String::from_utf8(line.text).unwrap())
            .collect()
    }
}

struct World {
    root: tempfile::TempDir,
    inputs: Inputs,
    events: Recorder,
}

fn id(text: &str) -> ModuleId {
    ModuleId::parse(text).unwrap()
}

fn platform_api(version: &str) -> PlatformApi {
    PlatformApi::negotiate(Some(version)).unwrap()
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let inputs = Inputs {
            api: platform_api("0.15"),
            layers: LayersDir::new(at("layers")),
            app_dir: at("app"),
            platform_dir: at("platform"),
            build_config_dir: at("build-config"),
            store: Store { buildpacks: at("buildpacks"), extensions: at("extensions") },
            group: Group::default(),
            plan: Plan::default(),
            exec_env: "production".into(),
            target: Some(RunTarget {
                os: "linux".into(),
                arch: "arm64".into(),
                variant: "v8".into(),
                distro: Some(Distro { name: "ubuntu".into(), version: "22.04".into() }),
                ..RunTarget::default()
            }),
            host_target: RunTarget { os: "linux".into(), arch: "amd64".into(), ..RunTarget::default() },
            env: [("PATH", "/usr/bin:/bin"), ("SECRET", "x"), ("HOME", "/home/cnb")].into_iter().collect(),
            temp_dir: at("tmp"),
            telemetry: false,
        };
        Self { root, inputs, events: Recorder::default() }
    }

    /// Adds a buildpack with a bin/build to the end of the group. The script may use `$layers` and `$plan`.
    fn buildpack(&mut self, name: &str, api: &str, script: &str) {
        self.buildpack_with(name, api, "", script);
    }

    fn buildpack_with(&mut self, name: &str, api: &str, more: &str, script: &str) {
        let root = self.inputs.store.root(ModuleKind::Buildpack, &id(name), "1");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::write(
            root.join("buildpack.toml"),
            format!("api = \"{api}\"\n[buildpack]\nid = \"{name}\"\nversion = \"1\"\n{more}\n"),
        )
        .unwrap();
        let program = root.join("bin/build");
        std::fs::write(&program, format!("#!/bin/sh\nset -e\nlayers=$1 plan=$3\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.inputs.group.buildpacks.push(GroupElement {
            kind: ModuleKind::Buildpack,
            id: id(name),
            version: "1".into(),
            api: api.into(),
            homepage: String::new(),
            optional: false,
        });
    }

    fn requires(&mut self, providers: &[&str], names: &[&str]) {
        self.inputs.plan.entries.push(PlanEntry {
            providers: providers
                .iter()
                .map(|name| Provider { kind: ModuleKind::Buildpack, id: id(name), version: "any".into() })
                .collect(),
            requires: names
                .iter()
                .map(|name| Require { name: (*name).into(), version: None, metadata: None })
                .collect(),
        });
    }

    fn build_with(&self, telemetry: &dyn ProcessTelemetry) -> Result<BuildMetadata, Error> {
        let images = MemoryImages::new(StoreKind::Registry);
        let processes = OsProcesses::new(StreamTo::Inherit);
        let effects = Effects { images: &images, processes: &processes, events: &self.events, telemetry, phase: None };
        build(&effects, &self.inputs)
    }

    fn build(&self) -> BuildMetadata {
        self.build_with(&NoTelemetry).unwrap()
    }

    fn error(&self) -> Error {
        self.build_with(&NoTelemetry).unwrap_err()
    }

    /// The text of an error of exit code 52, with the world's folder as `ROOT`.
    fn other(&self) -> String {
        match self.error() {
            Error::Other(error) => error.to_string().replace(&self.root.path().display().to_string(), "ROOT"),
            error => panic!("another class: {error:?}"),
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        let path = self.root.path().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn exists(&self, path: &str) -> bool {
        self.root.path().join(path).symlink_metadata().is_ok()
    }
}

/// The value of a variable in the output of `env`.
fn variable<'a>(env: &'a str, name: &str) -> Option<&'a str> {
    env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn later_buildpacks_see_build_layers_in_front() {
    let mut world = World::new();
    world.buildpack(
        "a/one",
        "0.12",
        r#"for l in first second; do
             mkdir -p "$layers/$l/bin" "$layers/$l/lib" "$layers/$l/include" "$layers/$l/pkgconfig" "$layers/$l/env"
             printf '[types]\nbuild = true\n' > "$layers/$l.toml"
           done
           mkdir -p "$layers/first/env.build" "$layers/first/env.launch" "$layers/launch-only/bin"
           printf '[types]\nlaunch = true\n' > "$layers/launch-only.toml"
           printf one > "$layers/first/env/V.override"
           printf two > "$layers/first/env.build/V.append"
           printf '+' > "$layers/first/env.build/V.delim"
           printf no > "$layers/first/env.launch/V""#,
    );
    world.buildpack("b/two", "0.12", "env > \"$layers/env\"");
    world.build();
    let env = world.read("layers/b_two/env");
    let layers = world.root.path().join("layers/a_one").display().to_string();
    let path = format!("{layers}/second/bin:{layers}/first/bin:/usr/bin:/bin");
    assert_eq!(variable(&env, "PATH"), Some(path.as_str()));
    let libraries = format!("{layers}/second/lib:{layers}/first/lib");
    assert_eq!(variable(&env, "LD_LIBRARY_PATH"), Some(libraries.as_str()));
    assert_eq!(variable(&env, "LIBRARY_PATH"), Some(libraries.as_str()));
    assert_eq!(variable(&env, "CPATH"), Some(format!("{layers}/second/include:{layers}/first/include").as_str()));
    assert_eq!(
        variable(&env, "PKG_CONFIG_PATH"),
        Some(format!("{layers}/second/pkgconfig:{layers}/first/pkgconfig").as_str())
    );
    assert_eq!(variable(&env, "V"), Some("one+two"));
}

#[test]
fn layers_of_one_buildpack_go_by_file_name_with_its_suffix() {
    let mut world = World::new();
    world.buildpack(
        "a",
        "0.12",
        r#"for l in a a-b; do mkdir -p "$layers/$l/bin"; printf '[types]\nbuild = true\n' > "$layers/$l.toml"; done"#,
    );
    world.buildpack("b", "0.12", "env > \"$layers/env\"");
    world.build();
    let layers = world.root.path().join("layers/a").display().to_string();
    let path = format!("{layers}/a/bin:{layers}/a-b/bin:/usr/bin:/bin");
    assert_eq!(variable(&world.read("layers/b/env"), "PATH"), Some(path.as_str()));
}

#[test]
fn gives_the_variables_of_each_api() {
    let mut world = World::new();
    let script = "env > \"$layers/env\"; echo \"$@\" > \"$layers/args\"; pwd > \"$layers/pwd\"";
    for (name, api) in [("seven", "0.7"), ("nine", "0.9"), ("twelve", "0.12")] {
        world.buildpack(name, api, script);
    }
    world.write("platform/env/USERS", "own");
    world.write("platform/env/CNB_BUILDPACK_DIR", "cannot win");
    world.write("build-config/env/OPERATORS", "own");
    world.build();
    for (name, path_variables, target_variables) in
        [("seven", false, false), ("nine", true, false), ("twelve", true, true)]
    {
        let env = world.read(&format!("layers/{name}/env"));
        let root = world.inputs.store.root(ModuleKind::Buildpack, &id(name), "1");
        assert_eq!(variable(&env, "CNB_BUILDPACK_DIR"), root.to_str(), "{name}");
        assert_eq!(variable(&env, "USERS"), Some("own"));
        assert_eq!(variable(&env, "OPERATORS"), Some("own"));
        assert_eq!(variable(&env, "SECRET"), None);
        for wanted in ["CNB_PLATFORM_DIR", "CNB_BP_PLAN_PATH", "CNB_LAYERS_DIR"] {
            assert_eq!(variable(&env, wanted).is_some(), path_variables, "{name} {wanted}");
        }
        for (wanted, value) in [
            ("CNB_TARGET_OS", "linux"),
            ("CNB_TARGET_ARCH", "arm64"),
            ("CNB_TARGET_ARCH_VARIANT", "v8"),
            ("CNB_TARGET_DISTRO_NAME", "ubuntu"),
            ("CNB_TARGET_DISTRO_VERSION", "22.04"),
            ("CNB_EXEC_ENV", "production"),
        ] {
            assert_eq!(variable(&env, wanted), target_variables.then_some(value), "{name} {wanted}");
        }
        let args = world.read(&format!("layers/{name}/args"));
        let args: Vec<&str> = args.split_whitespace().collect();
        assert_eq!(
            args[..2],
            [
                world.root.path().join("layers").join(name).to_str().unwrap(),
                world.inputs.platform_dir.to_str().unwrap()
            ]
        );
        assert!(args[2].starts_with(world.inputs.temp_dir.join(format!("{name}-")).to_str().unwrap()));
        assert!(args[2].ends_with(&format!("/{name}/plan.toml")));
        assert_eq!(world.read(&format!("layers/{name}/pwd")).trim(), world.inputs.app_dir.to_str().unwrap());
    }
    assert_eq!(std::fs::read_dir(&world.inputs.temp_dir).unwrap().count(), 0);
}

#[test]
fn this_systems_target_stands_in_where_the_run_image_says_nothing() {
    let mut world = World::new();
    world.buildpack("a", "0.12", "env > \"$layers/env\"");
    world.inputs.target = None;
    world.inputs.host_target.distro = Some(Distro { name: "debian".into(), version: "12".into() });
    world.build();
    let env = world.read("layers/a/env");
    assert_eq!(variable(&env, "CNB_TARGET_ARCH"), Some("amd64"));
    assert_eq!(variable(&env, "CNB_TARGET_DISTRO_NAME"), Some("debian"));
    assert!(world.events.0.lock().unwrap().contains(&Event::Build(BuildEvent::TargetFromHost)));
}

#[test]
fn clear_env_keeps_the_users_variables_out_but_not_the_operators() {
    let mut world = World::new();
    world.buildpack_with("a", "0.12", "clear-env = true", "env > \"$layers/env\"");
    world.write("platform/env/USERS", "own");
    world.write("build-config/env/OPERATORS", "own");
    world.build();
    let env = world.read("layers/a/env");
    assert_eq!((variable(&env, "USERS"), variable(&env, "OPERATORS")), (None, Some("own")));
}

#[test]
fn telemetry_variables_give_way_to_the_platforms() {
    struct Telemetry;
    impl ProcessTelemetry for Telemetry {
        fn variables(&self, _: WorkId) -> Vec<(&'static str, std::ffi::OsString)> {
            vec![("CNB_OTEL_LOG_PATH", "/ours".into()), ("TRACEPARENT", "ours".into())]
        }
    }
    let mut world = World::new();
    world.buildpack_with("a", "0.12", "clear-env = true", "env > \"$layers/env\"");
    world.buildpack("b", "0.12", "env > \"$layers/env\"");
    world.write("platform/env/CNB_OTEL_LOG_PATH", "/theirs");
    world.build_with(&Telemetry).unwrap();
    for (name, path) in [("a", "/ours"), ("b", "/theirs")] {
        let env = world.read(&format!("layers/{name}/env"));
        assert_eq!(variable(&env, "CNB_OTEL_LOG_PATH"), Some(path));
        assert_eq!(variable(&env, "TRACEPARENT"), Some("ours"));
    }
}

#[test]
fn each_buildpack_sees_its_own_entries_and_met_ones_vanish() {
    let mut world = World::new();
    world.requires(&["a", "b"], &["dep"]);
    world.requires(&["a", "b"], &["left"]);
    world.requires(&["c"], &["other"]);
    world.buildpack(
        "a",
        "0.12",
        "cp \"$plan\" \"$layers/plan\"; printf '[[unmet]]\\nname = \"left\"' > \"$layers/build.toml\"",
    );
    world.buildpack("b", "0.12", "cp \"$plan\" \"$layers/plan\"");
    world.build();
    assert_eq!(world.read("layers/a/plan"), "[[entries]]\n  name = \"dep\"\n\n[[entries]]\n  name = \"left\"\n");
    assert_eq!(world.read("layers/b/plan"), "[[entries]]\n  name = \"left\"\n");
}

#[test]
fn unmet_entries_must_be_asked_for_and_named() {
    for (text, expected) in [
        ("[[unmet]]\nname = \"other\"", "unmet.name 'other' must match a requested dependency"),
        ("[[unmet]]", "unmet.name is required"),
        (
            "[[bom]]\nname = \"x\"\nversion = \"1\"",
            "bom entry 'x' has a top level version which is not allowed. The buildpack should instead set metadata.version",
        ),
    ] {
        let mut world = World::new();
        world.requires(&["a"], &["dep"]);
        world.write("text", text);
        world.buildpack("a", "0.12", "cp ../text \"$layers/build.toml\"");
        assert_eq!(world.other(), expected);
    }
}

#[test]
fn a_program_that_fails_is_of_another_class_than_what_it_leaves() {
    let mut world = World::new();
    world.buildpack("a", "0.12", "exit 3");
    assert!(matches!(world.error(), Error::Buildpack(error) if error.to_string() == "exit status 3"));
    assert!(world.events.0.lock().unwrap().iter().any(|event| matches!(
        event,
        Event::End { facts, .. } if facts.exit_code == Some(3) && facts.error_type == Some("exit")
    )));

    let mut world = World::new();
    world.buildpack("a", "0.12", "kill -KILL $$");
    assert!(matches!(world.error(), Error::Buildpack(error) if error.to_string() == "signal: killed"));

    let mut world = World::new();
    world.buildpack("a", "0.12", "exit 0");
    std::fs::remove_dir(&world.inputs.app_dir).unwrap();
    let expected = format!("chdir {}: no such file or directory", world.inputs.app_dir.display());
    assert!(matches!(world.error(), Error::Buildpack(error) if error.to_string() == expected));

    let mut world = World::new();
    world.buildpack("a", "0.12", "exit 0");
    let program = world.inputs.store.root(ModuleKind::Buildpack, &id("a"), "1").join("bin/build");
    std::fs::remove_file(&program).unwrap();
    let expected = format!("fork/exec {}: no such file or directory", program.display());
    assert!(matches!(world.error(), Error::Buildpack(error) if error.to_string() == expected));
}

#[test]
fn names_the_buildpack_folder_that_is_missing() {
    let mut world = World::new();
    world.buildpack("a", "0.12", "exit 0");
    world.inputs.group.buildpacks[0].version = "2".into();
    assert_eq!(world.other(), "open ROOT/buildpacks/a/2/buildpack.toml: no such file or directory");
}

#[test]
fn bad_layer_files_are_named_launch_toml_and_store_toml_among_them() {
    for (file, text, expected) in [
        (
            "l.toml",
            "launch = true",
            "failed to process buildpack layer: failed to decode layer metadata file: \
             the launch, cache and build flags should be in the types table of ROOT/layers/a/l.toml",
        ),
        (
            "store.toml",
            "cache = 1",
            "failed to process buildpack layer: failed to decode layer metadata file: \
             the launch, cache and build flags should be in the types table of ROOT/layers/a/store.toml",
        ),
    ] {
        let mut world = World::new();
        world.write("text", text);
        world.buildpack("a", "0.12", &format!("cp ../text \"$layers/{file}\""));
        assert_eq!(world.other(), expected);
    }
    let mut world = World::new();
    world.buildpack("a", "0.12", "echo '[[processes' > \"$layers/launch.toml\"");
    let error = world.other();
    assert!(
        error.starts_with(
            "failed to process buildpack layer: failed to decode layer metadata file: ROOT/layers/a/launch.toml: toml: "
        ),
        "{error}"
    );
}

#[test]
fn launch_toml_errors_name_the_file() {
    for (api, text, expected) in [
        (
            "0.12",
            "[[processes]]\ntype = \"a\"\ncommand = [\"a\"]\ndirect = false",
            "ROOT/layers/a/launch.toml: process.direct is not supported on this buildpack version",
        ),
        (
            "0.8",
            "[[processes]]\ntype = \"a\"\ncommand = \"a\"\ndefault = true\n[[processes]]\ntype = \"b\"\ncommand = \"a\"\ndefault = true",
            "ROOT/layers/a/launch.toml: multiple default process types aren't allowed",
        ),
    ] {
        let mut world = World::new();
        world.write("text", text);
        world.buildpack("a", api, "cp ../text \"$layers/launch.toml\"");
        assert_eq!(world.other(), expected);
    }
}

#[test]
fn sets_layers_without_a_purpose_aside_again_and_again() {
    let mut world = World::new();
    world.buildpack(
        "a",
        "0.12",
        "mkdir -p \"$layers/l\" \"$layers/no-toml\"; echo $$ > \"$layers/l/file\"; : > \"$layers/l.toml\"",
    );
    world.build();
    let first = world.read("layers/a/l.ignore/file");
    world.build();
    assert_ne!(world.read("layers/a/l.ignore/file"), first);
    assert!(!world.exists("layers/a/l") && world.exists("layers/a/no-toml"));
}

#[test]
fn does_not_put_one_layer_in_the_place_of_another() {
    let mut world = World::new();
    world.buildpack(
        "a",
        "0.12",
        r#"mkdir -p "$layers/l" "$layers/l.ignore"; echo precious > "$layers/l.ignore/file"
           : > "$layers/l.toml"; printf '[types]\ncache = true\n' > "$layers/l.ignore.toml""#,
    );
    assert!(world.other().starts_with("failed to process buildpack layer: failed to rename layer directory: "));
    assert_eq!(world.read("layers/a/l.ignore/file"), "precious\n");
}

#[test]
fn gathers_what_all_contribute() {
    let mut world = World::new();
    world.write(
        "one",
        "[[labels]]\nkey = \"k\"\nvalue = \"1\"\n[[processes]]\ntype = \"web\"\ncommand = \"old\"\ndefault = true\nworking-dir = \"/x\"\n\
         [[slices]]\npaths = [\"a/*\"]",
    );
    world.write(
        "two",
        "[[labels]]\nkey = \"k\"\nvalue = \"2\"\n[[processes]]\ntype = \"web\"\ncommand = [\"new\"]\n[[processes]]\ntype = \"aaa\"\n[[slices]]\npaths = [\"b\"]",
    );
    world.buildpack("a/one", "0.7", "cp ../one \"$layers/launch.toml\"");
    world.buildpack("b/two", "0.9", "cp ../two \"$layers/launch.toml\"");
    world.inputs.group.extensions.push(GroupElement {
        kind: ModuleKind::Extension,
        optional: true,
        ..world.inputs.group.buildpacks[0].clone()
    });
    let metadata = world.build();
    assert_eq!(metadata.buildpacks, world.inputs.group.buildpacks);
    assert!(!metadata.extensions[0].optional);
    assert_eq!(metadata.labels.iter().map(|label| label.value.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(metadata.slices.iter().map(|slice| slice.paths[0].as_str()).collect::<Vec<_>>(), ["a/*", "b"]);
    let processes: Vec<_> = metadata
        .processes
        .iter()
        .flatten()
        .map(|p| (p.r#type.as_str(), p.command.concat(), p.buildpack_id.as_str()))
        .collect();
    assert_eq!(processes, [("aaa", String::new(), "b/two"), ("web", "new".into(), "b/two")]);
    assert_eq!(metadata.default_process_type, None);
    assert_eq!(
        world.events.warnings(),
        [
            "Warning: process working directory isn't supported in this buildpack api version. Ignoring working directory for process 'web'",
            "Warning: redefining the following default process type with a process not marked as default: web",
        ]
    );
}

const BOM: &str = "[[bom]]\nname = \"dep\"\n[bom.metadata]\nversion = \"1\"";

#[test]
fn legacy_bom_goes_to_files_since_platform_api_0_9() {
    let mut world = World::new();
    world.write("bom", BOM);
    world.buildpack("a", "0.12", "cp ../bom \"$layers/launch.toml\"");
    assert_eq!(world.build().bom, []);
    assert_eq!(
        world.read("layers/sbom/launch/sbom.legacy.json"),
        "[{\"name\":\"dep\",\"metadata\":{\"version\":\"1\"},\"buildpack\":{\"id\":\"a\",\"version\":\"1\"}}]\n"
    );
    assert_eq!(world.read("layers/sbom/build/sbom.legacy.json"), "null\n");
    assert_eq!(world.events.warnings().len(), 1);

    world.inputs.api = platform_api("0.8");
    let bom = world.build().bom;
    assert_eq!(bom.len(), 1);
    assert_eq!(bom[0].buildpack.as_ref().unwrap().id, id("a"));
    assert!(!world.exists("layers/sbom"));
}

#[test]
fn the_deprecated_bom_is_told_once_for_each_file() {
    for (file, api) in [("build.toml", "0.12"), ("launch.toml", "0.12"), ("build.toml", "0.7")] {
        let mut world = World::new();
        world.write("bom", BOM);
        world.buildpack("a", api, &format!("cp ../bom \"$layers/{file}\""));
        world.build();
        assert_eq!(world.events.warnings().len(), 1, "{file}: {:?}", world.events.warnings());
    }
}

#[test]
fn a_link_to_an_sbom_file_is_copied_as_the_file() {
    let mut world = World::new();
    world.buildpack_with(
        "a",
        "0.12",
        "sbom-formats = [\"application/vnd.cyclonedx+json\"]",
        "echo bill > \"$layers/file\"; ln -s file \"$layers/launch.sbom.cdx.json\"",
    );
    world.build();
    let copy = world.root.path().join("layers/sbom/launch/a/sbom.cdx.json");
    assert!(!copy.is_symlink());
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "bill\n");
}

#[test]
fn the_descriptors_api_counts_and_must_be_supported() {
    let mut world = World::new();
    world.buildpack("a", "0.8", "cp ../text \"$layers/launch.toml\"");
    world.inputs.group.buildpacks[0].api = "0.12".into();
    world.write("text", "[[processes]]\ntype = \"web\"\ncommand = \"as below 0.9\"\n");
    assert_eq!(world.build().processes.unwrap()[0].command, ["as below 0.9"]);

    let mut world = World::new();
    world.buildpack("a", "0.1", "echo > \"$layers/ran\"");
    world.inputs.group.buildpacks[0].api = "0.12".into();
    let error = world.error();
    assert!(matches!(error, Error::Api(_)), "exit 12, not {error:?}");
    assert!(!world.exists("layers/a/ran"));
}

#[test]
fn sbom_files_are_gathered_after_what_was_restored_is_gone() {
    let mut world = World::new();
    world.write("layers/sbom/launch/stale/sbom.cdx.json", "stale");
    world.buildpack_with(
        "a/b",
        "0.12",
        "sbom-formats = [\"application/vnd.cyclonedx+json\"]",
        r#"test ! -e "$layers/../sbom"
           printf '[types]\nlaunch = true\ncache = true\n' > "$layers/l.toml"
           echo layer > "$layers/l.sbom.cdx.json"; echo whole > "$layers/launch.sbom.cdx.json""#,
    );
    world.build();
    assert_eq!(world.read("layers/sbom/launch/a_b/l/sbom.cdx.json"), "layer\n");
    assert_eq!(world.read("layers/sbom/cache/a_b/l/sbom.cdx.json"), "layer\n");
    assert_eq!(world.read("layers/sbom/launch/a_b/sbom.cdx.json"), "whole\n");
    assert!(!world.exists("layers/sbom/launch/stale"));

    world.inputs.api = platform_api("0.7");
    world.build();
    assert!(!world.exists("layers/sbom"));
}

#[test]
fn an_undeclared_sbom_format_fails_at_every_platform_api() {
    let mut world = World::new();
    world.inputs.api = platform_api("0.7");
    world.buildpack("a", "0.12", "echo > \"$layers/launch.sbom.cdx.json\"");
    assert_eq!(
        world.other(),
        "validating SBOM file 'ROOT/layers/a/launch.sbom.cdx.json' for buildpack: 'a@1': \
         undeclared SBOM media type: 'application/vnd.cyclonedx+json'"
    );
}

#[test]
fn apis_of_the_group_are_checked_before_anything_happens() {
    let mut world = World::new();
    world.buildpack("a", "0.12", "exit 0");
    world.buildpack("b", "0.12", "exit 0");
    world.inputs.group.buildpacks[1].api = "0.1".into();
    world.write("layers/sbom/kept", "");
    let error = world.error();
    assert!(matches!(error, Error::Api(_)));
    assert!(error.to_string().ends_with("'b@1': buildpack API version '0.1' is incompatible with the lifecycle"));
    assert!(world.exists("layers/sbom/kept"));
}

#[test]
fn telemetrys_folder_is_no_buildpacks() {
    let mut world = World::new();
    world.buildpack("tracing", "0.12", "echo > \"$layers/file\"");
    world.inputs.telemetry = true;
    assert!(matches!(world.error(), Error::TracingFolder(_)));
    assert!(!world.exists("layers/tracing"));
    world.inputs.telemetry = false;
    world.build();
    assert!(world.exists("layers/tracing/file"));
}

#[test]
fn an_empty_group_succeeds() {
    let world = World::new();
    assert_eq!(world.build(), BuildMetadata { processes: Some(vec![]), ..BuildMetadata::default() });
}

#[test]
fn tells_of_each_process_as_work() {
    let mut world = World::new();
    world.buildpack("a", "0.12", "exit 0");
    world.build();
    let events = world.events.0.lock().unwrap();
    let begun = events.iter().find_map(|event| match event {
        Event::Begin { id, work: Work::Process { version, .. }, .. } => Some((*id, version.clone())),
        _ => None,
    });
    let (id, version) = begun.unwrap();
    assert_eq!(version, "1");
    assert!(events.iter().any(|event| matches!(event, Event::End { id: ended, .. } if *ended == id)));
}

#[test]
fn a_user_variable_that_cannot_be_read_fails_before_the_program_runs() {
    let mut world = World::new();
    world.buildpack("a", "0.12", "echo > \"$layers/ran\"");
    world.write("platform/env/A", "a");
    std::os::unix::fs::symlink("nowhere", world.inputs.platform_dir.join("env/X")).unwrap();
    assert_eq!(world.other(), "stat ROOT/platform/env/X: no such file or directory");
    assert!(!world.exists("layers/a/ran"));
}
