//! Extensions in the detector: catalogue 1, section 10, items 45 to 49; catalogue extend-launch-package, A1 to A5.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Outcome, RUN_IMAGE, World};

/// Adds an extension that provides `dep`, with bin/generate as a shell script without the first line.
fn extension(world: &World, id: &str, script: &str) {
    described(world, id, "0.10", "", script);
}

/// The same with its API and more keys.
fn described(world: &World, id: &str, api: &str, more: &str, script: &str) {
    let root = format!("extensions/{}/1.0", id.replace('/', "_"));
    let descriptor = format!("api = \"{api}\"\n[extension]\nid = \"{id}\"\nversion = \"1.0\"\n{more}");
    world.write(&format!("{root}/extension.toml"), &descriptor);
    world.write(&format!("{root}/detect/plan.toml"), "[[provides]]\nname = \"dep\"\n");
    let program = format!("{root}/bin/generate");
    world.write(&program, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(world.path(&program), fs::Permissions::from_mode(0o755)).unwrap();
}

/// An extension without programs whose folder `generate` has some files.
fn prepared(world: &World, id: &str, files: &[(&str, &str)]) {
    extension(world, id, "");
    fs::remove_dir_all(world.path(&format!("extensions/{id}/1.0/bin"))).unwrap();
    for (name, text) in files {
        world.write(&format!("extensions/{id}/1.0/generate/{name}"), text);
    }
}

/// A world with an analyzed run image and one buildpack that requires `dep`, behind extensions in this order.
fn world(api: &'static str, extensions: &[&str]) -> World {
    let world = World::new().at(api);
    let requires = "printf '[[requires]]\\nname = \"dep\"\\n[requires.metadata]\\nx = 1\\n' > $2";
    world.buildpack("test/bp", "0.10", "", requires, "exit 0");
    world.order(&[&["test/bp"]]);
    let members = extensions.iter().map(|id| format!("{{ id = \"{id}\", version = \"1.0\" }}"));
    let members = members.collect::<Vec<_>>().join(", ");
    let order = format!("{}[[order-extensions]]\ngroup = [{members}]\n", world.read("order.toml"));
    world.write("order.toml", &order);
    let target = "[run-image.target]\nos = \"linux\"\narch = \"arm64\"\narch-variant = \"v8\"\n\
                  [run-image.target.distro]\nname = \"ubuntu\"\nversion = \"22.04\"\n";
    world.write(
        "layers/analyzed.toml",
        &format!("[run-image]\nreference = \"{RUN_IMAGE}@sha256:0\"\nimage = \"{RUN_IMAGE}\"\n{target}"),
    );
    world
}

fn detect(world: &World) -> Outcome {
    world.run("detector", &["-log-level", "debug"])
}

/// `[run-image]` of analyzed.toml.
fn run_image(world: &World) -> toml::Table {
    let analyzed: toml::Table = world.read("layers/analyzed.toml").parse().unwrap();
    analyzed["run-image"].as_table().unwrap().clone()
}

fn exists(world: &World, name: &str) -> bool {
    world.path(name).exists()
}

#[test]
fn extensions_need_permission_below_0_13_and_are_free_from_then_on() {
    for (api, mode, exit) in
        [("0.12", None, 1), ("0.12", Some("warn"), 0), ("0.13", None, 0), ("0.15", Some("error"), 0)]
    {
        let world = world(api, &["ext"]);
        extension(&world, "ext", "");
        let outcome = world.run_with("detector", &[], &[("CNB_EXPERIMENTAL_MODE", mode)]).exits(exit);
        let text = "Platform requested experimental feature 'Dockerfiles'";
        if api == "0.12" {
            outcome.says(text).done();
        } else {
            outcome.does_not_say("experimental").done();
        }
        assert_eq!(exists(&world, "layers/group.toml"), exit == 0);
    }
}

#[test]
fn an_order_that_names_what_is_not_there_is_told_before_permission_is_asked_for() {
    let refused = [("CNB_EXPERIMENTAL_MODE", None)];
    let world = world("0.12", &["gone"]);
    let outcome = world.run_with("detector", &[], &refused).exits(1);
    outcome.says("failed to initialize detector: open ").does_not_say("experimental").done();
    described(&world, "gone", "0.1", "", "exit 0");
    let outcome = world.run_with("detector", &[], &refused).exits(12);
    outcome.says("failed to set API for Extension 'gone@1.0'").does_not_say("experimental").done();
}

#[test]
fn below_0_13_dockerfiles_lie_in_a_folder_for_each_image() {
    for api in ["0.10", "0.12"] {
        let world = world(api, &["test/ext"]);
        let text = "printf 'FROM some-run-image\\n' > $1/run.Dockerfile
            printf 'ARG base_image\\nFROM ${base_image}\\nRUN x' > $1/build.Dockerfile
            printf '[[build.args]]\\nname = \"a\"\\nvalue = \"b\"\\n' > $1/extend-config.toml";
        extension(&world, "test/ext", text);
        world.write("layers/generated/run/test_ext/Dockerfile.ignore", "of an earlier build");
        detect(&world).exits(0).says("Found run.Dockerfile for processing").says("Timer: Generator ran for").done();
        assert_eq!(world.read("layers/generated/run/test_ext/Dockerfile"), "FROM some-run-image\n");
        assert!(world.read("layers/generated/build/test_ext/Dockerfile").ends_with("\nRUN x"));
        for kind in ["run", "build"] {
            assert!(world.read(&format!("layers/generated/{kind}/test_ext/extend-config.toml")).contains("\"a\""));
        }
        assert!(!exists(&world, "layers/generated/test_ext"));
        assert!(!exists(&world, "layers/generated/run/test_ext/Dockerfile.ignore"));
        assert_eq!(fs::read_dir(world.path("tmp")).unwrap().count(), 0, "temporary folders are removed");
        assert_eq!(world.read("layers/plan.toml"), "");
        assert!(world.read("layers/group.toml").contains("[[group-extensions]]\n  id = \"test/ext\""));
    }
}

#[test]
fn from_0_13_on_dockerfiles_lie_in_the_folder_of_their_extension() {
    let world = world("0.13", &["test/ext"]);
    extension(&world, "test/ext", "printf 'FROM some-run-image\\n' > $1/run.Dockerfile; mkdir $1/context.run");
    world.write("layers/generated/test_ext/build.Dockerfile", "of an earlier build");
    detect(&world).exits(0).says("Found '1' Build Contexts for processing").done();
    assert_eq!(world.read("layers/generated/test_ext/run.Dockerfile"), "FROM some-run-image\n");
    assert!(exists(&world, "layers/generated/test_ext/context.run"));
    assert!(!exists(&world, "layers/generated/test_ext/build.Dockerfile"));
    assert!(!exists(&world, "layers/generated/run"));
    assert_eq!(world.read("layers/plan.toml"), "");
}

#[test]
fn generated_files_go_where_the_platform_says() {
    let world = world("0.13", &["ext"]);
    extension(&world, "ext", "printf 'FROM x\\n' > $1/run.Dockerfile");
    world.run("detector", &["-generated", "elsewhere"]).exits(0).done();
    assert!(exists(&world, "elsewhere/ext/run.Dockerfile"));
    assert!(!exists(&world, "layers/generated"));
}

#[test]
fn an_extension_gets_its_part_of_the_plan_and_its_variables() {
    for (api, variables) in [("0.9", 0), ("0.10", 5)] {
        let world = world("0.15", &["test/ext"]);
        let script = "cat $3 > plan; env > env; pwd > cwd; echo \"$1 $2 $3\" > args; echo out; echo err >&2";
        described(&world, "test/ext", api, "", script);
        world.write("platform/env/USER_VAR", "from-user");
        world.write("build-config/env/FOO", "val-from-build-config");
        let exec_env = [("CNB_EXEC_ENV", Some("test"))];
        world.run_with("detector", &[], &exec_env).exits(0).says("out\nerr\n").done();
        assert_eq!(world.read("workspace/plan"), "[[entries]]\n  name = \"dep\"\n  [entries.metadata]\n    x = 1\n");
        let env = world.read("workspace/env");
        let has = |name: &str, value: &str| env.lines().any(|line| line == format!("{name}={value}"));
        let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
        assert!(has("USER_VAR", "from-user") && has("FOO", "val-from-build-config"), "{env}");
        assert!(has("CNB_EXTENSION_DIR", &path("extensions/test_ext/1.0")), "{env}");
        assert!(has("CNB_OUTPUT_DIR", &path("layers/generated/test_ext")), "{env}");
        assert!(has("CNB_PLATFORM_DIR", &path("platform")), "{env}");
        assert!(env.contains("CNB_BP_PLAN_PATH=") && env.contains("/plan.toml\n"), "{env}");
        assert_eq!(env.matches("CNB_TARGET_").count(), variables, "{env}");
        assert_eq!(has("CNB_TARGET_ARCH_VARIANT", "v8"), variables > 0, "{env}");
        assert!(!env.contains("CNB_EXEC_ENV") && !env.contains("CNB_LAYERS_DIR"), "{env}");
        let args = world.read("workspace/args");
        let expected = format!("{} {} ", path("layers/generated/test_ext"), path("platform"));
        assert!(args.starts_with(&expected), "{args}");
        assert_eq!(
            world.read("workspace/cwd").trim(),
            fs::canonicalize(world.path("workspace")).unwrap().to_str().unwrap()
        );
    }
}

#[test]
fn clear_env_keeps_the_users_variables_away_and_not_the_operators() {
    let world = world("0.15", &["ext"]);
    described(&world, "ext", "0.10", "clear-env = true", "env > env");
    world.write("platform/env/USER_VAR", "from-user");
    world.write("build-config/env/FOO", "bar");
    detect(&world).exits(0).done();
    let env = world.read("workspace/env");
    assert!(!env.contains("USER_VAR") && env.contains("FOO=bar"), "{env}");
}

#[test]
fn what_one_extension_meets_is_gone_for_the_next() {
    let world = world("0.15", &["one", "two"]);
    extension(&world, "one", "cp $3 plan-one");
    extension(&world, "two", "cp $3 plan-two");
    detect(&world).exits(0).done();
    assert!(world.read("workspace/plan-one").contains("\"dep\""));
    assert_eq!(world.read("workspace/plan-two"), "");
}

#[test]
fn the_last_base_counts_and_run_dockerfiles_before_it_are_ignored() {
    for (api, dockerfile) in [("0.12", "run/{}/Dockerfile"), ("0.13", "{}/run.Dockerfile")] {
        let world = world(api, &["one", "two", "three"]);
        for (id, text) in [
            ("one", "FROM ${base_image}\\nRUN one"),
            ("two", "FROM new@sha256:1"),
            ("three", "FROM ${base_image}\\nRUN three"),
        ] {
            extension(&world, id, &format!("printf '{text}' > $1/run.Dockerfile"));
        }
        detect(&world)
            .exits(0)
            .says("Warning: new runtime base image 'new@sha256:1' not found in run metadata")
            .says("Found a run.Dockerfile from extension 'two' setting run image to 'new@sha256:1'")
            .done();
        let image = run_image(&world);
        assert_eq!(
            (image["reference"].as_str(), image["image"].as_str()),
            (Some("new@sha256:1"), Some("new@sha256:1"))
        );
        assert_eq!(image["extend"].as_bool(), Some(true));
        assert!(!image.contains_key("target"));
        let at = |id: &str| format!("layers/generated/{}", dockerfile.replace("{}", id));
        assert!(!exists(&world, &at("one")) && exists(&world, &format!("{}.ignore", at("one"))), "{api}");
        assert!(exists(&world, &at("two")) && exists(&world, &at("three")), "{api}");
    }
}

#[test]
fn the_same_base_is_a_switch_below_0_12_alone() {
    for (api, keeps) in [("0.11", false), ("0.12", true)] {
        let world = world(api, &["ext"]);
        extension(&world, "ext", &format!("printf 'FROM {RUN_IMAGE}\\nRUN x' > $1/run.Dockerfile"));
        detect(&world).exits(0).does_not_say("not found in run metadata").done();
        let image = run_image(&world);
        assert_eq!(image.contains_key("target"), keeps);
        assert_eq!(image["reference"].as_str() == Some(RUN_IMAGE), !keeps);
        assert_eq!(image["extend"].as_bool(), Some(true));
    }
}

#[test]
fn an_extension_that_only_extends_keeps_the_run_image() {
    let world = world("0.15", &["ext"]);
    extension(&world, "ext", "printf 'ARG base_image\\nFROM ${base_image}\\nARG x' > $1/run.Dockerfile");
    world.write("run.toml", "");
    detect(&world).exits(0).does_not_say("not found in run metadata").done();
    let image = run_image(&world);
    assert_eq!((image["image"].as_str(), image["extend"].as_bool()), (Some(RUN_IMAGE), Some(true)));
    assert!(image.contains_key("target"));
    world.run("restorer", &[]).exits(0).done();
    assert_eq!(run_image(&world)["extend"].as_bool(), Some(true));
}

#[test]
fn an_extension_without_dockerfiles_changes_nothing_but_the_plan() {
    let world = world("0.15", &["ext"]);
    extension(&world, "ext", "");
    let before = run_image(&world);
    detect(&world).exits(0).done();
    assert_eq!(run_image(&world), before);
    assert_eq!(world.read("layers/plan.toml"), "");
}

#[test]
fn a_missing_run_toml_is_told_and_a_malformed_one_ends_it() {
    let world = world("0.15", &["ext"]);
    extension(&world, "ext", "printf 'FROM x' > $1/run.Dockerfile");
    detect(&world).exits(0).says("'x' not found in run metadata").done();
    world.write("run.toml", "images = 1");
    detect(&world).exits(1).says("failed to initialize generator: failed to read run file: toml: line 1").done();
    fs::remove_file(world.path("run.toml")).unwrap();
    detect(&world).exits(0).says("No run metadata found at path").done();
}

#[test]
fn without_bin_generate_the_folder_generate_is_the_output() {
    let files = [
        ("run.Dockerfile", "FROM new\n"),
        ("build.Dockerfile", "ARG base_image\nFROM ${base_image}\n"),
        ("extend-config.toml", "[[run.args]]\nname = \"a\"\n"),
        ("context/file", "x"),
    ];
    for (api, run, build) in
        [("0.12", "run/one/Dockerfile", "build/one/Dockerfile"), ("0.13", "one/run.Dockerfile", "one/build.Dockerfile")]
    {
        let world = world(api, &["one"]);
        prepared(&world, "one", &files);
        detect(&world).exits(0).done();
        assert_eq!(world.read(&format!("layers/generated/{run}")), "FROM new\n");
        assert!(exists(&world, &format!("layers/generated/{build}")));
        assert_eq!(exists(&world, "layers/generated/one/context/file"), api == "0.13");
        assert_eq!(run_image(&world)["image"].as_str(), Some("new"));
    }
}

#[test]
fn extensions_whose_folders_have_the_same_name_are_refused() {
    for api in ["0.12", "0.13"] {
        let world = world(api, &["a/b", "a_b"]);
        described(&world, "a/b", "0.10", "", "printf 'FROM one' > $1/run.Dockerfile");
        // Both have the same folder among the extensions too: only other versions can be there side by side.
        let root = world.path("extensions/a_b");
        fs::create_dir_all(root.join("2.0/bin")).unwrap();
        world.write(
            "extensions/a_b/2.0/extension.toml",
            "api = \"0.10\"\n[extension]\nid = \"a_b\"\nversion = \"2.0\"\n",
        );
        world.write("extensions/a_b/2.0/detect/plan.toml", "[[provides]]\nname = \"dep\"\n");
        let order =
            world.read("order.toml").replace("id = \"a_b\", version = \"1.0\"", "id = \"a_b\", version = \"2.0\"");
        world.write("order.toml", &order);
        let text = "failed to build: extensions 'a/b' and 'a_b' have the same folder 'a_b' for what they generate";
        detect(&world).exits(92).says(text).done();
    }
}

#[test]
fn an_ignored_prepared_dockerfile_stays_in_its_extension() {
    let world = world("0.13", &["one", "two"]);
    prepared(&world, "one", &[("run.Dockerfile", "FROM new")]);
    prepared(&world, "two", &[("run.Dockerfile", "FROM newer")]);
    detect(&world).exits(0).done();
    assert!(exists(&world, "extensions/one/1.0/generate/run.Dockerfile"));
    assert!(exists(&world, "layers/generated/one/run.Dockerfile.ignore"));
    assert!(!exists(&world, "layers/generated/one/run.Dockerfile"));
}

#[test]
fn a_failing_program_ends_with_91_and_leaves_what_detection_wrote() {
    for (script, text) in
        [("exit 4", "failed to build: exit status 4"), ("kill -9 $$", "failed to build: signal: killed")]
    {
        let world = world("0.15", &["ext"]);
        extension(&world, "ext", script);
        detect(&world).exits(91).says(text).done();
        assert!(world.read("layers/plan.toml").contains("extension = true"));
        assert!(exists(&world, "layers/group.toml"));
    }
    let world = world("0.15", &["ext"]);
    extension(&world, "ext", "");
    fs::set_permissions(world.path("extensions/ext/1.0/bin/generate"), fs::Permissions::from_mode(0o644)).unwrap();
    detect(&world).exits(91).says("failed to build: fork/exec").says("permission denied").done();
}

#[test]
fn wrong_outputs_end_with_92() {
    let build = "build.Dockerfile";
    for (file, text, reason) in [
        (
            "run.Dockerfile",
            "SOME-INVALID-CONTENT",
            "dockerfile parse error on line 1: unknown instruction: SOME-INVALID-CONTENT",
        ),
        ("run.Dockerfile", "", "file with no instructions"),
        ("run.Dockerfile", "FROM a\\nRUN <<EOF\\n", "unterminated heredoc"),
        ("run.Dockerfile", "FROM a\\nFROM b", "run.Dockerfile is not permitted to use multistage build"),
        ("run.Dockerfile", "ARG a", "run.Dockerfile should have at least one stage"),
        (build, "FROM ${base_image}", "build.Dockerfile did not start with required ARG command"),
        (build, "ARG other\\nFROM ${base_image}", "build.Dockerfile did not start with required ARG command"),
        (
            build,
            "ARG base_image\\nARG b\\nFROM ${base_image}",
            "build.Dockerfile did not start with required ARG command",
        ),
        (
            build,
            "ARG base_image\\nFROM $base_image",
            "build.Dockerfile did not contain required FROM ${base_image} command",
        ),
        (
            build,
            "ARG base_image\\nFROM ${base_image}\\nFROM b",
            "build.Dockerfile is not permitted to use multistage build",
        ),
        (build, "ARG base_image", "build.Dockerfile should have at least one stage"),
    ] {
        let world = world("0.15", &["ext"]);
        extension(&world, "ext", &format!("printf '{text}' > $1/{file}"));
        detect(&world)
            .exits(92)
            .says(&format!("failed to build: failed to parse {file} for extension ext: "))
            .says(reason)
            .done();
    }
    for (script, reason) in [
        (
            "printf '[[run.args]]\\nname = \"build_id\"\\n' > $1/extend-config.toml",
            "failed to build: validating extend config: invalid content: arg with name \"build_id\" is not allowed",
        ),
        ("echo 'a =' > $1/extend-config.toml", "failed to build: reading extend config: toml: line 1"),
        (
            "mkdir $1/context $1/context.run",
            "failed to build: image-specific context dir is provided together with a shared context",
        ),
        ("mkfifo $1/run.Dockerfile", "run.Dockerfile: not a regular file"),
    ] {
        let world = world("0.12", &["ext"]);
        extension(&world, "ext", script);
        detect(&world).exits(92).says(reason).done();
        assert!(!exists(&world, "layers/generated/run"));
    }
}

#[test]
fn sound_dockerfiles_pass_and_unusual_instructions_draw_a_warning() {
    let world = world("0.15", &["ext"]);
    let text = "printf '\\nARG base_image=0 other\\nFROM ${base_image}\\nCMD [\"x\"]\\nRUN x\\n' | tee $1/run.Dockerfile > $1/build.Dockerfile";
    extension(&world, "ext", text);
    detect(&world)
        .exits(0)
        .says("Warning: run.Dockerfile command CMD on line 4 is not recommended\n")
        .says("Warning: build.Dockerfile command CMD on line 4 is not recommended\n")
        .does_not_say("command RUN")
        .done();
}

#[test]
fn an_extension_of_an_unknown_api_ends_with_12() {
    let world = world("0.15", &["ext"]);
    described(&world, "ext", "0.99", "", "");
    detect(&world).exits(12).says("failed to set API for Extension 'ext@1.0'").done();
}

#[test]
fn the_distribution_of_this_system_is_taken_where_the_run_image_has_none() {
    let world = world("0.15", &["ext"]);
    extension(&world, "ext", "env > env");
    fs::remove_file(world.path("layers/analyzed.toml")).unwrap();
    let outcome = detect(&world).exits(0).says("reading /etc/os-release");
    assert_eq!(outcome.stdout.matches("No analyzed metadata found").count(), 1);
    assert!(world.read("workspace/env").contains("CNB_TARGET_OS=linux\n"));
    assert!(!world.read("layers/analyzed.toml").contains("\n[run-image]"), "there is no run image to extend");
}

#[test]
fn an_extension_has_its_own_file_and_span_of_telemetry() {
    let world = world("0.15", &["test/ext"]);
    extension(&world, "test/ext", "env > env");
    world.write("platform/env/TRACEPARENT", "of-the-platform");
    world.run("detector", &["-telemetry"]).exits(0).done();
    let env = world.read("workspace/env");
    assert!(env.contains("/tracing/extensions/test_ext@1.0-generate.jsonl\n"), "{env}");
    assert!(env.contains("TRACEPARENT=of-the-platform\n"), "{env}");
    assert!(world.read("layers/tracing/lifecycle/detect.jsonl").contains("\"extension-generate\""));
}

#[test]
fn the_creator_refuses_extensions_that_take_part_and_not_those_that_do_not() {
    for api in ["0.12", "0.15"] {
        let world = world(api, &["ext"]);
        extension(&world, "ext", "");
        let mode = [("CNB_EXPERIMENTAL_MODE", Some("quiet"))];
        let create = || world.run_with("creator", &["-launcher", "bin/launcher", crate::support::APP_IMAGE], &mode);
        create()
            .exits(22)
            .says("failed to detect: detected order contains extensions which is not supported by the creator")
            .done();
        assert!(!exists(&world, "layers/generated"));
        world.write("extensions/ext/1.0/detect/plan.toml", "[[requires]]\nname = \"x\"\n");
        world.buildpack("test/bp", "0.10", "", "exit 0", "exit 0");
        create().exits(0).done();
    }
}
