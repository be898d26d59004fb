//! Detection as a whole, with buildpacks that are shell scripts.

mod choice;
mod contract;

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::Mutex;

use cnb_lifecycle::api::{DeprecationMode, PlatformApi};
use cnb_lifecycle::buildpack::store::Store;
use cnb_lifecycle::effect::Effects;
use cnb_lifecycle::effect::events::{Event, Events, WorkId};
use cnb_lifecycle::effect::images::StoreKind;
use cnb_lifecycle::effect::processes::{Command, Exit, Finished, Output, Processes, StartError};
use cnb_lifecycle::effect::telemetry::ProcessTelemetry;
use cnb_lifecycle::image::memory::MemoryImages;
use cnb_lifecycle::model::order::{GroupElement, SystemBuildpacks};
use cnb_lifecycle::model::target::{Distro, RunTarget};
use cnb_lifecycle::phase::detect::{Error, Inputs, Outputs, detect};
use cnb_lifecycle::report::text::{self, Level};
use cnb_lifecycle::schema;

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
            deprecation: DeprecationMode::default(),
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

/// `<id>@<version>` of each module.
fn names(elements: &[GroupElement]) -> Vec<String> {
    elements.iter().map(ToString::to_string).collect()
}

/// Keeps events, runs shell scripts and has no images.
struct Recorder {
    events: Mutex<Vec<Event>>,
    images: MemoryImages,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { events: Mutex::default(), images: MemoryImages::new(StoreKind::Layout) }
    }
}

impl Recorder {
    fn effects(&self) -> Effects<'_> {
        Effects { images: &self.images, processes: &Scripts, events: self, telemetry: self, phase: None }
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Events for Recorder {
    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl ProcessTelemetry for Recorder {
    fn variables(&self, _: WorkId) -> Vec<(&'static str, OsString)> {
        vec![("CNB_OTEL_LOG_PATH", "/ours".into()), ("TRACEPARENT", "ours".into())]
    }
}

/// Runs programs that are shell scripts, both streams into one file. The shell reads them, so that a file that another
/// test has just written is never "busy".
struct Scripts;

impl Processes for Scripts {
    fn run(&self, command: &Command, output: Output) -> Result<Finished, StartError> {
        assert_eq!(output, Output::Collect);
        let metadata = std::fs::metadata(&command.program);
        let reason = match metadata.map(|metadata| metadata.permissions().mode() & 0o111) {
            Err(error) => Some(cnb_lifecycle::os::error_text(&error)),
            Ok(0) => Some("permission denied".to_owned()),
            Ok(_) => None,
        };
        if let Some(reason) = reason {
            return Err(StartError(format!("fork/exec {}: {reason}", command.program.display())));
        }
        let mut both = tempfile::tempfile().unwrap();
        let status = std::process::Command::new("/bin/sh")
            .arg(&command.program)
            .args(&command.args)
            .current_dir(&command.dir)
            .env_clear()
            .envs(command.env.iter())
            .stdin(Stdio::null())
            .stdout(both.try_clone().unwrap())
            .stderr(both.try_clone().unwrap())
            .status()
            .unwrap();
        let mut output = Vec::new();
        both.rewind().unwrap();
        both.read_to_end(&mut output).unwrap();
        let exit = status.code().map_or_else(|| Exit::Signal(status.signal().unwrap()), Exit::Code);
        Ok(Finished { exit, output })
    }
}
