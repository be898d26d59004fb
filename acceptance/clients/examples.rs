//! The examples of `docs/examples`, with what they say in them: arguments, users, capabilities, volumes, and a sidecar that
//! reads the spans while the phases write them.
//!
//! The sidecar is a stand-in for the OpenTelemetry Collector, which comes from the network: it looks for files where the
//! examples' Collector does, as the same user, and tells of every whole line once.

use std::fs;
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Client, is_reported};
use crate::support::daemon::Container;
use crate::support::image::Image;
use crate::support::{checkout, tool};

const PHASES: [&str; 5] = ["analyzer", "detector", "restorer", "builder", "exporter"];
/// The file of each of those phases.
const FILES: [&str; 5] = ["analyze", "detect", "restore", "build", "export"];

/// What a Collector does with `include: [/layers/tracing/**/*.jsonl]` and a `poll_interval`.
const COLLECTOR: &str = r#"
declare -A told
while sleep 0.1; do
    while read -r file; do
        count=0
        while IFS= read -r line; do
            ((++count <= ${told[$file]:-0})) || printf '%s %s\n' "$file" "$line"
        done <"$file"
        told[$file]=$count
    done < <(find /layers/tracing -name '*.jsonl' 2>/dev/null)
done"#;

/// A buildpack that waits, at most a minute, for a file in the app's folder.
const WAITS: &str =
    "#!/usr/bin/env bash\nfor _ in {1..600}; do [[ ! -e go ]] || exit 0; sleep 0.1; done; echo nobody came; exit 1\n";

/// One of the examples, with the images of a test in it.
struct Example {
    text: String,
    client: Client,
    /// What each step mounts besides layers and the folder for temporary files: its program, then pairs of a folder of
    /// the platform's and a place.
    volumes: fn(&str) -> &'static [(&'static str, &'static str)],
    env: Vec<String>,
}

impl Example {
    /// Reads an example whose `words` stand for others.
    fn new(
        file: &str,
        mut client: Client,
        words: &[(&str, &str)],
        volumes: fn(&str) -> &'static [(&'static str, &'static str)],
    ) -> Self {
        let mut text = fs::read_to_string(checkout().join("docs/examples").join(file)).unwrap();
        for (word, value) in words {
            assert!(text.contains(word), "{file} has no {word}");
            text = text.replace(word, value);
        }
        // The Collector is another program: the files are where the examples look for them.
        assert!(text.contains("include: [/layers/tracing/**/*.jsonl]"));
        let (user, group) = client.owner();
        // As the kubelet makes an emptyDir for an fsGroup: root's, and the group may write.
        for folder in ["layers", "workspace", "cache"] {
            tool(Command::new("chown").arg("-R").arg(format!("0:{group}")).arg(client.platform.path(folder)));
            tool(Command::new("chmod").arg("2775").arg(client.platform.path(folder)));
        }
        client.platform.write("docker/config.json", "{}");
        let waits = client.platform.path("buildpacks/samples_waits/1.0.0");
        fs::create_dir_all(waits.join("bin")).unwrap();
        let descriptor = "api = \"0.11\"\n[buildpack]\nid = \"samples/waits\"\nversion = \"1.0.0\"\n[[targets]]\n";
        fs::write(waits.join("buildpack.toml"), descriptor).unwrap();
        fs::write(waits.join("bin/detect"), "#!/bin/bash\n").unwrap();
        fs::write(waits.join("bin/build"), WAITS).unwrap();
        tool(Command::new("chmod").args(["-R", "755"]).arg(&waits));
        client.platform.order(&[
            ("samples/greeting", "0.2.0"),
            ("samples/traced", "0.1.0"),
            ("samples/waits", "1.0.0"),
        ]);
        client.folders = vec![("layers", "/layers")];
        let mut env: Vec<String> = ["--cap-drop=ALL", "--security-opt=no-new-privileges"].map(str::to_owned).to_vec();
        env.push(format!("--user={user}:{group}"));
        for (name, value) in [("CNB_PLATFORM_API", "0.15"), ("CNB_NO_COLOR", "true"), ("CNB_TELEMETRY", "true")] {
            assert!(text.contains(&format!("{{name: {name}, value: \"{value}\"}}")), "{file} has no {name}");
            env.push(format!("--env={name}={value}"));
        }
        Self { text, client, volumes, env }
    }

    /// The arguments that the example gives to a phase.
    fn args(&self, program: &str) -> Vec<String> {
        let program = format!("command: [/cnb/lifecycle/{program}]\n");
        let (_, behind) = self.text.split_once(&program).unwrap_or_else(|| panic!("the example has no {program}"));
        let args = behind.lines().next().unwrap().trim().strip_prefix("args: [");
        let args = args.map(|args| args.trim_end_matches(']').split(", ").map(str::to_owned).collect());
        args.unwrap_or_default()
    }

    /// Runs a phase, which must succeed without a warning.
    fn phase(&self, program: &str) {
        let path = format!("/cnb/lifecycle/{program}");
        let args = self.args(program);
        let command: Vec<&str> = std::iter::once(path.as_str()).chain(args.iter().map(String::as_str)).collect();
        let mut options = self.env.clone();
        options.extend((self.volumes)(program).iter().map(|(name, place)| self.client.volume(name, place)));
        let on_builder = matches!(program, "detector" | "builder");
        if !on_builder {
            options.push(self.client.volume("tmp", "/tmp"));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let ended = if on_builder {
            self.client.on_builder(&options, &command)
        } else {
            self.client.on_lifecycle(&options, &command)
        };
        ended.exits(0).hides("Warning").done();
    }

    /// Builds twice in the same layers folder, beside the sidecar, and checks what it was told, and when.
    fn builds_beside_a_sidecar(&self, app: &str) -> Image {
        let (user, group) = self.client.owner();
        let layers = format!("--volume={}:/layers:ro", self.client.platform.path("layers").display());
        let user = format!("--user={user}:{group}");
        let options = [user.as_str(), "--cap-drop=ALL", "--security-opt=no-new-privileges", &layers];
        let builder = &self.client.builder_image;
        let sidecar = self.client.daemon.beside("collector", builder, &options, &["/bin/bash", "-c", COLLECTOR]);
        let go = self.client.platform.path("workspace/go");
        let mut traces = Vec::new();
        for build in 1..=2 {
            for (program, file) in PHASES.into_iter().zip(FILES) {
                let ended = format!("\"name\":\"{file}\"");
                scope(|scope| {
                    let phase = scope.spawn(|| self.phase(program));
                    if program == "builder" {
                        // While the buildpack waits, the sidecar knows that it runs, and what ended before it.
                        let started = ["\"name\":\"buildpack-build started\"", "\"samples/waits\""];
                        until(&sidecar, "the start of the program", |log| {
                            log.lines().filter(|line| started.iter().all(|text| line.contains(text))).count() == build
                        });
                        until(&sidecar, "the span of the buildpack before", |log| {
                            log.matches("\"name\":\"write notes\"").count() == build
                        });
                        assert_eq!(sidecar.log().matches(&ended).count(), build - 1, "the phase has not ended");
                        fs::write(&go, "").unwrap();
                    }
                    phase.join().unwrap();
                });
                until(&sidecar, &ended, |log| log.matches(&ended).count() == build);
            }
            fs::remove_file(&go).unwrap();
            traces.push(self.last_trace());
        }
        assert_ne!(traces[0], traces[1], "a build in a kept layers folder has a trace of its own");
        self.is_complete(&sidecar.log());
        let image = self.client.fetch(app, "app");
        is_reported(&self.client.platform.path("layers/report.toml"), app, &image);
        image
    }

    /// The trace that `lifecycle trace` shows: the last build's, which must be whole.
    fn last_trace(&self) -> String {
        let mut trace = Command::new(self.client.platform.path("lifecycle/lifecycle"));
        let shown = tool(trace.args(["trace", "--json"]).arg(self.client.platform.path("layers/tracing")));
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let builds = shown["builds"].as_array().unwrap();
        assert_eq!((builds.len(), &shown["badLineCount"]), (1, &0.into()));
        let names: Vec<&str> =
            builds[0]["spans"].as_array().unwrap().iter().map(|span| span["name"].as_str().unwrap()).collect();
        for phase in FILES {
            assert_eq!(names.iter().filter(|name| **name == phase).count(), 1, "{phase} in {names:?}");
        }
        builds[0]["traceId"].as_str().unwrap().to_owned()
    }

    /// Checks that every line of every file was told, once.
    fn is_complete(&self, log: &str) {
        let find = tool(Command::new("find").arg(".").args(["-name", "*.jsonl"]).current_dir(self.tracing()));
        let mut lines = Vec::new();
        for file in String::from_utf8(find).unwrap().lines().map(|file| file.trim_start_matches("./")) {
            let text = fs::read_to_string(self.tracing().join(file)).unwrap();
            lines.extend(text.lines().map(|line| format!("/layers/tracing/{file} {line}")));
        }
        let mut told: Vec<&str> = log.lines().collect();
        lines.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, lines);
    }

    fn tracing(&self) -> std::path::PathBuf {
        self.client.platform.path("layers/tracing")
    }
}

/// Waits until what a container wrote has something.
fn until(container: &Container<'_>, what: &str, holds: impl Fn(&str) -> bool) {
    let start = Instant::now();
    while !holds(&container.log()) {
        assert!(start.elapsed() < Duration::from_secs(60), "not in time: {what}\n{}", container.log());
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_example_for_kubernetes_builds_unprivileged_on_two_images() {
    let client = Client::new();
    let (app, run) = (client.registry.image("kubernetes/app"), client.registry.image("run"));
    let words =
        [("registry.example.com/run:latest", run.as_str()), ("registry.example.com/apps/hello:latest", app.as_str())];
    let volumes = |program: &str| -> &[(&str, &str)] {
        match program {
            "detector" | "builder" => &[("workspace", "/workspace")],
            _ => &[("workspace", "/workspace"), ("cache", "/cache"), ("docker", "/docker")],
        }
    };
    let mut example = Example::new("kubernetes-job.yaml", client, &words, volumes);
    example.env.push("--env=DOCKER_CONFIG=/docker".to_owned());

    // A config map as the kubelet mounts it.
    let platform = &example.client.platform;
    fs::remove_file(platform.path("workspace/greeting.txt")).unwrap();
    platform.write("source/..2026_11_21/greeting.txt", "Good day\n");
    std::os::unix::fs::symlink("..2026_11_21", platform.path("source/..data")).unwrap();
    std::os::unix::fs::symlink("..data/greeting.txt", platform.path("source/greeting.txt")).unwrap();
    let copy = example.text.split_once("command: [bash, -c, ").unwrap().1.split_once("]\n").unwrap().0;
    let source = ["source", "workspace"].map(|name| example.client.volume(name, &format!("/{name}")));
    let mut options: Vec<&str> = example.env.iter().map(String::as_str).collect();
    options.extend(source.iter().map(String::as_str));
    example.client.daemon.run(&example.client.builder_image, &options, &["bash", "-c", copy]).exits(0).done();

    let image = example.builds_beside_a_sidecar(&app);
    let root = image.unpack(&example.client.platform.path("bundle"));
    let files: Vec<_> = fs::read_dir(root.join("workspace")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "greeting.txt, and the file that this test makes: {files:?}");
}

#[test]
fn the_example_for_tekton_builds_unprivileged_on_two_images() {
    let client = Client::new();
    let (app, run) = (client.registry.image("tekton/example"), client.registry.image("run"));
    let words = [
        ("$(params.RUN_IMAGE)", run.as_str()),
        ("$(params.APP_IMAGE)", app.as_str()),
        ("$(results.APP_IMAGE_DIGEST.path)", "/tekton/results/APP_IMAGE_DIGEST"),
    ];
    let volumes = |program: &str| -> &[(&str, &str)] {
        match program {
            "detector" | "builder" => &[("workspace", "/workspace/source"), ("cache", "/cache")],
            "exporter" => &[("workspace", "/workspace/source"), ("cache", "/cache"), ("docker", "/workspace/registry")],
            _ => &[("cache", "/cache"), ("docker", "/workspace/registry")],
        }
    };
    let mut example = Example::new("tekton-task.yaml", client, &words, volumes);
    example
        .env
        .extend(["--env=CNB_APP_DIR=/workspace/source", "--env=DOCKER_CONFIG=/workspace/registry"].map(String::from));
    let image = example.builds_beside_a_sidecar(&app);

    // The last step: its script, without what indents it.
    let script = example.text.split_once("script: |\n").unwrap().1.split_once("  sidecars:").unwrap().0;
    let script: Vec<&str> = script.lines().map(str::trim_start).collect();
    example.client.platform.give("report");
    let results = example.client.volume("report", "/tekton/results");
    let layers = example.client.volume("layers", "/layers");
    let mut options: Vec<&str> = example.env.iter().map(String::as_str).collect();
    options.extend([results.as_str(), &layers]);
    let command = ["bash", "-c", &script.join("\n")];
    example.client.daemon.run(&example.client.builder_image, &options, &command).exits(0).done();
    assert_eq!(example.client.platform.read("report/APP_IMAGE_DIGEST"), image.digest);
}
