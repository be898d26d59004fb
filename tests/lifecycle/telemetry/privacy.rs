//! Nothing that a build is given is in a trace: canaries in every input, in success and in each way to fail.

use std::fs;
use std::time::Duration;

use super::{ON, own_spans, send, spans_of, wait_for};
use crate::support::{Image, Outcome, World};

/// What no trace may have.
const CANARY: &str = "canary";
const IMAGE: &str = "canary-registry.example.com/canary-name:canary-tag";
const RUN: &str = "canary-registry.example.com/canary-run";

/// A build whose every input sings.
struct Cage {
    world: World,
}

impl Cage {
    fn new() -> Self {
        let world = World::new();
        let say = "echo canary-output; echo canary-error >&2; env";
        let plan = "printf '[[provides]]\\nname = \"canary-plan\"\\n[[requires]]\\nname = \"canary-plan\"\\n\
                    [requires.metadata]\\nversion = \"canary-value\"\\n' > \"$CNB_BUILD_PLAN_PATH\"";
        let build = format!(
            "{say}\nmkdir -p \"$CNB_LAYERS_DIR/app/canary-folder\"; echo canary-content > \"$CNB_LAYERS_DIR/app/file\"\n\
             printf '[types]\\nlaunch = true\\ncache = true\\n[metadata]\\nkey = \"canary-metadata\"\\n' > \"$CNB_LAYERS_DIR/app.toml\"\n\
             printf '[[labels]]\\nkey = \"canary-label\"\\nvalue = \"canary-value\"\\n[[processes]]\\ntype = \"canary-process\"\\n\
             command = [\"canary-command\"]\\nargs = [\"canary-argument\"]\\n' > \"$CNB_LAYERS_DIR/launch.toml\"\n"
        );
        let descriptor = "name = \"canary-title\"\nhomepage = \"https://canary.example.com\"\n";
        world.buildpack("test/one", "0.12", descriptor, &format!("{say}\n{plan}"), &build);
        world.order(&[&["test/one"]]);
        world.write("workspace/canary-app.txt", "canary-source");
        world.write("platform/env/CANARY_USER", "canary-user");
        world.write(
            "run.toml",
            &format!("[[images]]\nimage = \"{RUN}\"\nmirrors = [\"canary-mirror.example.com/run\"]\n"),
        );
        world
            .write("project-metadata.toml", "[source]\ntype = \"git\"\n[source.version]\ncommit = \"canary-commit\"\n");
        Image::default().write(&world.layout(RUN));
        Self { world }
    }

    fn run(&self, program: &str, args: &[&str]) -> Outcome {
        self.run_with(program, args, &[])
    }

    fn run_with(&self, program: &str, args: &[&str], more: &[(&str, Option<&str>)]) -> Outcome {
        let variables = [
            ON,
            ("CNB_REGISTRY_AUTH", Some(r#"{"canary-registry.example.com":"Bearer canary-token"}"#)),
            ("CANARY", Some("canary-variable")),
            ("HTTPS_PROXY", Some("http://canary:canary-password@canary-proxy.example.com")),
            ("HOME", Some("/home/canary-home")),
            ("USER", Some("canary-login")),
            ("HOSTNAME", Some("canary-host")),
            ("OTEL_RESOURCE_ATTRIBUTES", Some("canary.key=canary-resource")),
            ("OTEL_SERVICE_NAME", Some("canary-service")),
            ("TRACESTATE", Some("canary=canary")),
            ("CNB_OTEL_TRACEPARENT", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ];
        self.world.run_with(program, args, &[&variables, more].concat())
    }

    fn analyze(&self) -> &Self {
        self.run("analyzer", &["-tag=canary-registry.example.com/canary-more", IMAGE]).exits(0).done();
        self
    }

    fn detect(&self) -> &Self {
        self.run("detector", &[]).exits(0).done();
        self
    }

    fn restore(&self) -> &Self {
        self.run("restorer", &["-cache-dir", "cache"]).exits(0).done();
        self
    }

    fn build(&self) -> &Self {
        self.run("builder", &[]).exits(0).done();
        self
    }

    fn export(&self, more: &[&str]) -> Outcome {
        let args = ["-cache-dir=cache", "-launcher=bin/launcher", "-project-metadata=project-metadata.toml"];
        self.run("exporter", &[&args[..], more, &[IMAGE]].concat())
    }

    /// Looks into every file of the lifecycle's, one of which must have a span of this name that failed, if one did.
    #[track_caller]
    fn is_silent(&self, failed: Option<&str>) {
        let folder = self.world.path("layers/tracing/lifecycle");
        let mut seen = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            seen += text.lines().count();
            let place = self.world.path("");
            let place = place.to_str().unwrap().trim_end_matches('/');
            let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
            for word in [CANARY, "CANARY", place, "example.com", "workspace", "/home/"] {
                assert!(!text.contains(word), "{} has {word}: {text}", path.display());
            }
            // A host may be called "build".
            if host.trim().len() > 8 {
                assert!(!text.contains(host.trim()), "{} has the name of this machine", path.display());
            }
        }
        assert!(seen > 1, "there are no spans");
        if let Some(name) = failed {
            let found =
                own_spans(&self.world).into_iter().any(|span| span["name"] == name && span["status"]["code"] == 2);
            assert!(found, "no span {name} failed");
        }
    }
}

#[test]
fn r27_a_build_that_succeeds_tells_nothing_of_its_inputs() {
    let cage = Cage::new();
    cage.analyze().detect().restore().build().export(&["canary-registry.example.com/canary-other"]).exits(0).done();
    cage.is_silent(None);
    // A second build, which reuses and restores.
    cage.world.fresh_layers();
    cage.analyze().detect().restore().build().export(&[]).exits(0).done();
    cage.is_silent(None);
    cage.run("rebaser", &["-run-image", RUN, IMAGE]).exits(0).done();
    cage.is_silent(None);
    cage.world.fresh_layers();
    let create = ["-cache-dir=cache", "-launcher=bin/launcher", "-project-metadata=project-metadata.toml", IMAGE];
    cage.run("creator", &create).exits(0).done();
    cage.is_silent(None);
}

#[test]
fn r27_analysis_and_restoring_that_fail_tell_nothing_of_their_inputs() {
    let cage = Cage::new();
    cage.world.write(&format!("images/{RUN}/latest/index.json"), "canary = [");
    assert_ne!(cage.run("analyzer", &[IMAGE]).exit, 0);
    cage.is_silent(Some("analyze"));
    let cage = Cage::new();
    cage.world.write("run.toml", "canary = [");
    assert_ne!(cage.run("analyzer", &[IMAGE]).exit, 0);
    cage.is_silent(Some("analyze"));
    let cage = Cage::new();
    assert_ne!(cage.run("analyzer", &["canary NAME"]).exit, 0);
    cage.is_silent(Some("analyze"));
    // A daemon that is not there.
    let cage = Cage::new();
    let daemon = [("DOCKER_HOST", Some("unix:///canary.sock")), ("CNB_USE_LAYOUT", None)];
    assert_ne!(cage.run_with("analyzer", &["-daemon", "-run-image", RUN, IMAGE], &daemon).exit, 0);
    cage.is_silent(Some("analyze"));
    // A registry that is not there.
    let cage = Cage::new();
    let registry = [("CNB_USE_LAYOUT", None), ("HTTPS_PROXY", Some("http://127.0.0.1:9/canary"))];
    let args = ["-run-image", "127.0.0.1:9/canary-run", "127.0.0.1:9/canary-name"];
    assert_ne!(cage.run_with("analyzer", &args, &registry).exit, 0);
    cage.is_silent(Some("analyze"));
    let requests: Vec<_> = own_spans(&cage.world).into_iter().filter(|span| span["kind"] == 3).collect();
    assert!(
        !requests.is_empty() && requests.iter().all(|span| !span.to_string().contains("127.0.0.1")),
        "{requests:?}"
    );
    let cage = Cage::new();
    cage.analyze().detect();
    cage.world.write("layers/group.toml", "canary = [");
    assert_ne!(cage.run("restorer", &["-cache-dir", "cache"]).exit, 0);
    cage.is_silent(Some("restore"));
    // A cache that is damaged is a warning only.
    let cage = Cage::new();
    cage.analyze().detect().restore().build().export(&[]).exits(0).done();
    for entry in fs::read_dir(cage.world.path("cache/committed")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            fs::write(path, "canary").unwrap();
        }
    }
    cage.world.fresh_layers();
    cage.analyze().detect();
    let _ = cage.run("restorer", &["-cache-dir", "cache"]);
    cage.is_silent(None);
}

#[test]
fn r27_detection_that_fails_tells_nothing_of_its_inputs() {
    for script in [
        "echo canary-output; exit 100",
        "echo canary-output; exit 3",
        "kill -9 $$",
        "printf '[[requires]]\\nname = \"canary-plan\"\\n' > \"$CNB_BUILD_PLAN_PATH\"",
        "echo 'canary = [' > \"$CNB_BUILD_PLAN_PATH\"",
    ] {
        let cage = Cage::new();
        cage.world.buildpack("test/one", "0.12", "", script, "exit 0");
        cage.analyze();
        assert_ne!(cage.run("detector", &[]).exit, 0, "{script}");
        cage.is_silent(Some("detect"));
    }
    let cage = Cage::new();
    cage.analyze();
    cage.world.write("order.toml", "[[order]]\n[[order.group]]\nid = \"test/missing\"\nversion = \"1.0\"\n");
    assert_ne!(cage.run("detector", &[]).exit, 0);
    cage.is_silent(Some("detect"));
}

#[test]
fn r27_builds_that_fail_tell_nothing_of_their_inputs() {
    for script in [
        "echo canary-output; exit 3",
        "kill -9 $$",
        "echo 'canary = [' > \"$CNB_LAYERS_DIR/launch.toml\"",
        "echo 'canary = [' > \"$CNB_LAYERS_DIR/canary.toml\"",
        "echo 'canary = [' > \"$CNB_LAYERS_DIR/store.toml\"",
        "echo '[[unmet]]' > \"$CNB_LAYERS_DIR/build.toml\"",
    ] {
        let cage = Cage::new();
        cage.world.buildpack("test/one", "0.12", "", "exit 0", script);
        cage.analyze().detect();
        assert_ne!(cage.run("builder", &[]).exit, 0, "{script}");
        cage.is_silent(Some("build"));
    }
    // No program at all, and one that the system cannot start.
    for program in ["", "canary"] {
        let cage = Cage::new();
        cage.analyze().detect();
        let path = "buildpacks/test_one/1.0/bin/build";
        if program.is_empty() {
            fs::remove_file(cage.world.path(path)).unwrap();
        } else {
            fs::write(cage.world.path(path), "#!/canary/interpreter\n").unwrap();
        }
        assert_ne!(cage.run("builder", &[]).exit, 0);
        cage.is_silent(Some("build"));
    }
}

#[test]
fn r27_a_build_that_is_stopped_tells_nothing_of_its_inputs() {
    let cage = Cage::new();
    cage.world.buildpack("test/one", "0.12", "", "exit 0", "echo canary; echo > \"$CNB_LAYERS_DIR/on\"; exec sleep 8");
    cage.analyze().detect();
    let builder = cage.world.start("builder", &[], &[ON, ("CANARY", Some("canary-variable"))]);
    wait_for(|| cage.world.path("layers/test_one/on").exists().then_some(()));
    send("-TERM", &builder.id().to_string());
    builder.outcome().exits(128 + 15).done();
    std::thread::sleep(Duration::from_millis(10));
    cage.is_silent(None);
    assert!(spans_of(&cage.world.path("layers/tracing/lifecycle/build.jsonl")).len() > 3);
}

#[test]
fn r27_exports_that_fail_tell_nothing_of_their_inputs() {
    let ready = || {
        let cage = Cage::new();
        cage.analyze().detect().restore().build();
        cage
    };
    let cage = ready();
    cage.world.write("layers/config/metadata.toml", "canary = [");
    assert_ne!(cage.export(&[]).exit, 0);
    cage.is_silent(Some("export"));
    let cage = ready();
    fs::remove_file(cage.world.path("bin/launcher")).unwrap();
    assert_ne!(cage.export(&[]).exit, 0);
    cage.is_silent(Some("export"));
    let cage = ready();
    assert_ne!(cage.export(&["-process-type=canary-missing"]).exit, 0);
    cage.is_silent(Some("export"));
    let cage = ready();
    fs::remove_dir_all(cage.world.layout(RUN)).unwrap();
    assert_ne!(cage.export(&[]).exit, 0);
    cage.is_silent(Some("export"));
    // A layout that cannot be written.
    let cage = ready();
    fs::create_dir_all(cage.world.path("images/canary-registry.example.com")).unwrap();
    cage.world.write("images/canary-registry.example.com/canary-name", "in the way");
    assert_ne!(cage.export(&[]).exit, 0);
    cage.is_silent(Some("export"));
}
