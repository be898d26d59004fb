//! Traces of a build to a registry, and that they stay out of images.
//!
//! Clause: RFC 0131.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use serde_json::Value;

use crate::support::image::Image;
use crate::support::outcome::Outcome;
use crate::support::platform::Platform;
use crate::support::registry::Registry;
use crate::support::tool;

#[test]
fn r10_an_image_is_the_same_with_and_without_telemetry_and_has_no_traces() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    let (quiet, traced) = (registry.image("quiet"), registry.image("traced"));
    platform.build(&quiet, &[]).done();
    assert!(!platform.path("layers/tracing").exists(), "off is off");
    platform.env("CNB_TELEMETRY", "true");
    platform.build(&traced, &[]).done();
    assert!(platform.path("layers/tracing/lifecycle/export.jsonl").exists());
    let quiet = Image::fetch(&registry, &quiet, &platform.path("fetched-quiet"));
    let traced = Image::fetch(&registry, &traced, &platform.path("fetched-traced"));
    assert_eq!(quiet.digest, traced.digest);
    let root = traced.unpack(&platform.path("bundle"));
    assert!(!root.join(platform.path("layers/tracing").strip_prefix("/").unwrap()).exists());
}

#[test]
fn all_phases_write_one_trace_which_can_be_drawn() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.order(&[("samples/greeting", "0.2.0"), ("samples/traced", "0.1.0")]);
    platform.build(&registry.image("app"), &[]).done();
    let mut traces: Vec<String> = Vec::new();
    for phase in ["analyze", "detect", "restore", "build", "export"] {
        let lines = platform.read(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().into_iter().flatten() {
                traces.push(span["traceId"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(traces.len() > 10, "{traces:?}");
    traces.dedup();
    assert_eq!(traces.len(), 1, "one trace over all phases");
    let drawn = Command::new(platform.path("lifecycle/lifecycle"))
        .arg("trace")
        .arg(platform.path("layers/tracing"))
        .env_clear()
        .output()
        .unwrap();
    let drawn = Outcome::new("lifecycle trace".to_owned(), &drawn).exits(0);
    // The last is a span of the buildpack's own.
    drawn.says("ANALYZE").says("EXPORT").says("samples/traced").says("count files").done();
}

#[test]
fn r27_no_trace_names_the_image_the_registry_or_a_secret() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.env("CNB_REGISTRY_AUTH", r#"{"registry.example.com":"Basic Y2FuYXJ5LXNlY3JldA=="}"#);
    platform.build(&registry.image("canary-name"), &[&registry.image("canary-name:canary-tag")]).done();
    let mut all = String::new();
    for phase in ["analyze", "detect", "restore", "build", "export"] {
        all += &platform.read(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
    }
    for word in ["canary", &registry.host(), "127.0.0.1", "Y2FuYXJ5", platform.path("workspace").to_str().unwrap()] {
        assert!(!all.contains(word), "a trace has {word:?}");
    }
}

/// The analyzer, restorer and exporter are root until they drop it, the detector and builder never are.
#[test]
fn r9_what_root_makes_belongs_to_the_user_of_the_build() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    let check = |platform: &Platform, least: usize| {
        let mut files = 0;
        for entry in walk(&platform.path("layers/tracing")) {
            let metadata = fs::symlink_metadata(&entry).unwrap();
            let owner = format!("{}:{}", metadata.uid(), metadata.gid());
            assert_eq!(owner, platform.owner(), "{}", entry.display());
            let mode = if metadata.is_dir() { 0o2775 } else { 0o664 };
            assert_eq!(metadata.mode() & 0o7777, mode, "{}", entry.display());
            files += usize::from(metadata.is_file());
        }
        assert!(files >= least, "only {files} files");
    };
    platform.build(&registry.image("app"), &[]).hides("telemetry is incomplete").done();
    check(&platform, 8);
    platform.create(&registry.image("app"), &[]).exits(0).hides("telemetry is incomplete").done();
    check(&platform, 9);
    platform.fresh_layers();
    platform.run("rebaser", &[&registry.image("app")]).exits(0).hides("telemetry is incomplete").done();
    check(&platform, 1);
    // And the other way round: what the user made, root adds to.
    platform.fresh_layers();
    platform.run_as_builder("analyzer", &[&registry.image("app")]).exits(0).hides("telemetry is incomplete").done();
    platform.run_as_root("analyzer", &[&registry.image("app")]).exits(0).hides("telemetry is incomplete").done();
    check(&platform, 2);
    assert_eq!(platform.read("layers/tracing/lifecycle/analyze.jsonl").matches("\"name\":\"analyze\"").count(), 2);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// Choosing a run image needs the credentials, which are read before privileges are dropped.
#[test]
fn r24_requests_of_root_are_below_the_phase() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.build(&registry.image("app"), &[]).done();
    platform.run("rebaser", &[&registry.image("app")]).exits(0).done();
    for phase in ["analyze", "rebase"] {
        let lines = platform.read(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
        let spans: Vec<Value> = lines
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
            })
            .collect();
        let root = spans.iter().find(|span| span["name"] == phase).unwrap();
        // That a first build has no previous image is no error.
        assert!(spans.iter().all(|span| span["status"]["code"] == 0), "{lines}");
        let start = |span: &Value| span["startTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap();
        let steps =
            spans.iter().filter(|span| ["check-access", "read-run-image"].iter().any(|name| span["name"] == *name));
        let first = steps.map(start).min().unwrap();
        let early = spans.iter().filter(|span| span["kind"] == 3 && start(span) < first).count();
        assert!(early > 0, "{phase}: no request came before its steps");
        assert!(spans.iter().filter(|span| span["kind"] == 3).all(|span| span["parentSpanId"] == root["spanId"]));
    }
}

#[test]
fn a_buildpack_with_an_sdk_of_opentelemetry_has_its_spans_inside_of_its_bar() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.order(&[("samples/python-otel", "0.1.0")]);
    platform.build(&registry.image("app"), &[]).done();
    let shown = Command::new(platform.path("lifecycle/lifecycle"))
        .args(["trace", "--json"])
        .arg(platform.path("layers/tracing"))
        .env_clear()
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["badLineCount"], 0);
    let spans = shown["builds"][0]["spans"].as_array().unwrap();
    let find = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let (program, outer, inner) = (find("buildpack-build"), find("install dependencies"), find("resolve"));
    assert_eq!((&outer["parentSpanId"], &outer["kind"]), (&program["spanId"], &"foreign".into()));
    assert_eq!((&inner["parentSpanId"], &inner["attributes"]["packages"]), (&outer["spanId"], &2.into()));
    let times = |span: &Value| {
        let start: u64 = span["startTimeUnixNano"].as_str().unwrap().parse().unwrap();
        (start, start + span["durationNano"].as_u64().unwrap())
    };
    assert!(times(program).0 <= times(outer).0 && times(outer).1 <= times(program).1);
}

/// A disk that is full: the build goes on, with one warning.
#[test]
fn r12_a_full_tracing_folder_is_one_warning() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
    platform.env("CNB_TELEMETRY", "true");
    let folder = platform.path("layers/tracing");
    fs::create_dir(&folder).unwrap();
    let mount = Mount::new(&folder, "size=8k");
    let detected = platform.run("detector", &[]).exits(0).says("telemetry is incomplete");
    assert_eq!(detected.stdout.matches("Warning: ").count(), 1, "{}", detected.stdout);
    for entry in walk(&folder).into_iter().filter(|path| path.is_file()) {
        let text = fs::read_to_string(&entry).unwrap();
        if entry.extension().is_some_and(|extension| extension == "jsonl") {
            assert!(
                text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
                "{}: {text}",
                entry.display()
            );
        }
    }
    drop(mount);
}

#[test]
fn r12_a_tracing_folder_that_can_only_be_read_is_one_warning() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
    platform.env("CNB_TELEMETRY", "true");
    // Elsewhere than the platform's own, which is given to the user before each phase.
    let layers = crate::support::scratch();
    fs::set_permissions(layers.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::copy(platform.path("layers/analyzed.toml"), layers.path().join("analyzed.toml")).unwrap();
    let folder = layers.path().join("tracing");
    fs::create_dir(&folder).unwrap();
    let mount = Mount::new(&folder, "ro");
    let args = ["-layers", layers.path().to_str().unwrap()];
    let detected =
        platform.run("detector", &args).exits(0).says("telemetry is incomplete").says("read-only file system");
    assert_eq!(detected.stdout.matches("Warning: ").count(), 1, "{}", detected.stdout);
    drop(mount);
}

/// A file system in memory, which is gone when this is dropped.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(folder: &std::path::Path, option: &str) -> Self {
        let mount = ["-t", "tmpfs", "-o", &format!("{option},mode=0777"), "none"];
        crate::support::tool(Command::new("mount").args(mount).arg(folder));
        Self(folder.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The creator writes the files of all phases, with requests to a registry in between.
#[test]
fn r13_creators_that_are_killed_tear_no_line_but_the_last() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.order(&[("samples/greeting", "0.2.0"), ("samples/traced", "0.1.0")]);
    platform.fresh_layers();
    let files = || -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let own = platform.path("layers/tracing/lifecycle");
        if !own.exists() {
            return Vec::new();
        }
        let paths =
            walk(&own).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let (mut killed, mut round, mut longest) = (0, 0_u64, 1_000);
    while killed < 30 {
        let image = registry.image("app");
        // Moments that look random and are the same each time.
        round += 1;
        let after = (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % longest;
        if platform.killed_after("creator", &[&platform.launcher(), &image], after) {
            killed += 1;
        } else {
            // It had ended before: this machine is faster.
            longest = after.max(20);
        }
        for (path, text) in files() {
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                assert!(serde_json::from_slice::<Value>(line).is_ok(), "{}", path.display());
            }
        }
    }
    platform
        .run("creator", &[&platform.launcher(), &registry.image("app")])
        .exits(0)
        .hides("telemetry is incomplete")
        .done();
    for (path, text) in files() {
        assert!(text.ends_with(b"\n"), "{}", path.display());
    }
}

/// Another implementation of the format reads all of it: what the lifecycle writes and what the samples write.
#[test]
fn r3_every_line_is_a_message_of_opentelemetry_proto() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.order(&[("samples/greeting", "0.2.0"), ("samples/traced", "0.1.0"), ("samples/python-otel", "0.1.0")]);
    platform.build(&registry.image("app"), &[]).done();
    platform.create(&registry.image("app"), &[]).exits(0).done();
    platform.run("rebaser", &[&registry.image("app")]).exits(0).done();
    let (traces, python) = (platform.path("layers/tracing"), platform.path("tmp/python"));
    tool(Command::new("python3").args(["-m", "venv"]).arg(&python));
    let pip = ["install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "opentelemetry-proto>=1.30,<2"];
    tool(Command::new(python.join("bin/pip")).args(pip));
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("acceptance/read-traces");
    let read = tool(Command::new(python.join("bin/python")).arg(script).arg(&traces));
    let read: usize = String::from_utf8(read).unwrap().trim().parse().unwrap();
    let files = walk(&traces).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let lines: usize = files.map(|path| fs::read_to_string(path).unwrap().lines().count()).sum();
    assert!(read == lines && read > 60, "{read} spans in {lines} lines");
}
