//! Every input of every phase: its flag, variables, default and the versions that know the flag.
//!
//! One table. It builds the clap command, the environment, the defaults and the help of each phase, and is compared with
//! `spec-fixtures/inputs/`. Clauses: platform.md#operations; catalogue 1, section 1.5; catalogue 2, sections 1.3 to 1.5.

use crate::api::{Gate, PlatformApi};
use crate::effect::events::Phase;

/// Names an input in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described by its row of INPUTS")]
pub enum Key {
    Analyzed,
    App,
    BuildConfig,
    BuildImage,
    BuildLogsOtlp,
    BuildLogsStripAnsi,
    Buildpacks,
    CacheDir,
    CacheImage,
    Daemon,
    ExecEnv,
    ExtendKind,
    Extended,
    Extensions,
    Force,
    Generated,
    Gid,
    Group,
    Image,
    InsecureRegistries,
    KanikoCacheTtl,
    KanikoDir,
    LaunchCache,
    Launcher,
    LauncherSbom,
    Layers,
    Layout,
    LayoutDir,
    LogLevel,
    NoColor,
    Order,
    Parallel,
    Plan,
    Platform,
    PreviousImage,
    ProcessType,
    ProjectMetadata,
    Redact,
    Report,
    Run,
    RunImage,
    SkipLayers,
    SkipRestore,
    SourceDateEpoch,
    Stack,
    System,
    Tag,
    Telemetry,
    TelemetryFlushTimeout,
    TelemetrySpoolLimit,
    TracesOtlp,
    Uid,
    Version,
}

/// What kind of value an input has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text as it is.
    Text,
    /// A path that stays as it was given.
    File,
    /// A folder, made absolute.
    Dir,
    /// `-flag` or `-flag=<bool>`.
    Bool,
    /// The same, or `-flag=all`.
    BoolOrAll,
    /// A whole number, with Go's prefixes `0x`, `0o`, `0b`.
    Int,
    /// A flag that can be given more than once; a variable holds a comma-separated list.
    List,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Its name in code.
    pub key: Key,
    /// Its flag without the dash; empty if it has none.
    pub flag: &'static str,
    /// Its variables; the first that is set and not empty counts.
    pub env: &'static [&'static str],
    /// Its default; `<layers>` stands for the layers folder.
    pub default: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
    /// What it is, for the help.
    pub help: &'static str,
    /// Which phases have the flag; `None` means at every version.
    pub phases: &'static [(Phase, Option<Gate>)],
}

use Gate::{Since, Until};
use Key as K;
use Kind::{Bool, BoolOrAll, Dir, File, Int, List, Text};
use Phase::{Analyze, Build, Create, Detect, Export, Extend, Rebase, Restore};

const ALL: &[(Phase, Option<Gate>)] = &[
    (Analyze, None),
    (Detect, None),
    (Restore, None),
    (Extend, None),
    (Build, None),
    (Export, None),
    (Create, None),
    (Rebase, None),
];

macro_rules! inputs {
    ($($key:ident: $flag:literal $env:tt $default:literal $kind:ident $help:literal $phases:expr;)*) => {
        /// Every input, sorted by flag.
        pub const INPUTS: &[Input] = &[$(Input {
            key: K::$key, flag: $flag, env: &$env, default: $default, kind: $kind, help: $help, phases: $phases,
        }),*];
    };
}

inputs! {
    Analyzed: "analyzed" ["CNB_ANALYZED_PATH"] "<layers>/analyzed.toml" File "path to analyzed.toml"
        &[(Analyze, None), (Detect, Some(Since(0, 10))), (Restore, None), (Extend, None), (Build, Some(Since(0, 12))), (Export, None)];
    App: "app" ["CNB_APP_DIR"] "/workspace" Dir "path to app directory"
        &[(Detect, None), (Extend, None), (Build, None), (Export, None), (Create, None)];
    BuildConfig: "build-config" ["CNB_BUILD_CONFIG_DIR"] "/cnb/build-config" Dir "path to build config directory"
        &[(Detect, Some(Since(0, 11))), (Build, Some(Since(0, 11))), (Create, Some(Since(0, 11)))];
    BuildImage: "build-image" ["CNB_BUILD_IMAGE"] "" Text "reference to build image"
        &[(Restore, Some(Since(0, 10)))];
    BuildLogsOtlp: "build-logs-otlp" ["CNB_BUILD_LOGS_OTLP"] "false" Bool "send what the build prints to an OpenTelemetry collector" ALL;
    BuildLogsStripAnsi: "build-logs-strip-ansi" ["CNB_BUILD_LOGS_STRIP_ANSI"] "false" Bool "take terminal escape sequences out of what is sent" ALL;
    Buildpacks: "buildpacks" ["CNB_BUILDPACKS_DIR"] "/cnb/buildpacks" Dir "path to buildpacks directory"
        &[(Detect, None), (Extend, None), (Build, None), (Create, None)];
    CacheDir: "cache-dir" ["CNB_CACHE_DIR"] "" Dir "path to cache directory"
        &[(Restore, None), (Export, None), (Create, None)];
    CacheImage: "cache-image" ["CNB_CACHE_IMAGE"] "" Text "reference to cache image"
        &[(Analyze, None), (Restore, None), (Export, None), (Create, None)];
    Daemon: "daemon" ["CNB_USE_DAEMON"] "false" Bool "use the docker daemon"
        &[(Analyze, None), (Restore, Some(Since(0, 12))), (Export, None), (Create, None), (Rebase, None)];
    ExecEnv: "" ["CNB_EXEC_ENV"] "production" Text "execution environment" &[];
    Extended: "extended" ["CNB_EXTENDED_DIR"] "<layers>/extended" File "path to output directory of the extend phase"
        &[(Extend, Some(Since(0, 12))), (Export, Some(Since(0, 12)))];
    Extensions: "extensions" ["CNB_EXTENSIONS_DIR"] "/cnb/extensions" Dir "path to extensions directory"
        &[(Detect, Some(Since(0, 10)))];
    Force: "force" ["CNB_FORCE_REBASE"] "false" Bool "rebase even when the new run image does not fit"
        &[(Rebase, Some(Since(0, 12)))];
    Generated: "generated" ["CNB_GENERATED_DIR"] "<layers>/generated" Dir "path to output directory of the generate phase"
        &[(Detect, Some(Since(0, 10))), (Restore, Some(Since(0, 12))), (Extend, None)];
    Gid: "gid" ["CNB_GROUP_ID"] "0" Int "GID of user's group in the stack's build and run images"
        &[(Analyze, None), (Restore, None), (Extend, None), (Export, None), (Create, None), (Rebase, None)];
    Group: "group" ["CNB_GROUP_PATH"] "<layers>/group.toml" File "path to group.toml"
        &[(Detect, None), (Restore, None), (Extend, None), (Build, None), (Export, None)];
    Image: "image" [] "" Text "deprecated name of -run-image"
        &[(Export, None), (Rebase, None)];
    InsecureRegistries: "insecure-registry" ["CNB_INSECURE_REGISTRIES"] "" List "registry that may be reached by http or with an unknown certificate"
        &[(Analyze, Some(Since(0, 13))), (Restore, Some(Since(0, 13))), (Export, Some(Since(0, 13))), (Create, Some(Since(0, 13))), (Rebase, Some(Since(0, 13)))];
    KanikoCacheTtl: "kaniko-cache-ttl" ["CNB_KANIKO_CACHE_TTL"] "336h" Text "how long layers of the extender's cache are good for"
        &[(Extend, None)];
    KanikoDir: "" [] "/kaniko" Dir "path to the cache of base images" &[];
    ExtendKind: "kind" ["CNB_EXTEND_KIND"] "build" Text "which image the extender extends: build or run"
        &[(Extend, Some(Since(0, 12)))];
    LaunchCache: "launch-cache" ["CNB_LAUNCH_CACHE_DIR"] "" Dir "path to launch cache directory"
        &[(Analyze, Some(Since(0, 9))), (Export, None), (Create, None)];
    Launcher: "launcher" [] "/cnb/lifecycle/launcher" File "path to launcher binary"
        &[(Export, None), (Create, None)];
    LauncherSbom: "launcher-sbom" [] "/cnb/lifecycle" File "path to directory with SBOM files of the launcher"
        &[(Export, Some(Since(0, 11))), (Create, Some(Since(0, 11)))];
    Layers: "layers" ["CNB_LAYERS_DIR"] "/layers" Dir "path to layers directory"
        &[(Analyze, None), (Detect, None), (Restore, None), (Extend, None), (Build, None), (Export, None), (Create, None)];
    Layout: "layout" ["CNB_USE_LAYOUT"] "false" Bool "use images in OCI layout format"
        &[(Analyze, Some(Since(0, 12))), (Restore, Some(Since(0, 12))), (Export, Some(Since(0, 12))), (Create, Some(Since(0, 12))), (Rebase, Some(Since(0, 12)))];
    LayoutDir: "layout-dir" ["CNB_LAYOUT_DIR"] "" File "path to directory of OCI layouts"
        &[(Analyze, Some(Since(0, 12))), (Restore, Some(Since(0, 12))), (Export, Some(Since(0, 12))), (Create, Some(Since(0, 12))), (Rebase, Some(Since(0, 12)))];
    LogLevel: "log-level" ["CNB_LOG_LEVEL"] "info" Text "logging level: debug, info, warn, error or fatal" ALL;
    NoColor: "no-color" ["CNB_NO_COLOR"] "false" Bool "disable color output" ALL;
    Order: "order" ["CNB_ORDER_PATH"] "<layers>/order.toml" File "path to order.toml; /cnb/order.toml if the default is not there"
        &[(Detect, None), (Create, None)];
    Parallel: "parallel" ["CNB_PARALLEL_EXPORT"] "false" Bool "export app image and cache at the same time"
        &[(Export, None), (Create, None)];
    Plan: "plan" ["CNB_PLAN_PATH"] "<layers>/plan.toml" File "path to plan.toml"
        &[(Detect, None), (Extend, None), (Build, None)];
    Platform: "platform" ["CNB_PLATFORM_DIR"] "/platform" Dir "path to platform directory"
        &[(Detect, None), (Extend, None), (Build, None), (Create, None)];
    PreviousImage: "previous-image" ["CNB_PREVIOUS_IMAGE"] "" Text "reference to the image of an earlier build"
        &[(Analyze, None), (Create, None), (Rebase, Some(Since(0, 11)))];
    ProcessType: "process-type" ["CNB_PROCESS_TYPE"] "" Text "default process type"
        &[(Export, None), (Create, None)];
    ProjectMetadata: "project-metadata" ["CNB_PROJECT_METADATA_PATH"] "<layers>/project-metadata.toml" File "path to project-metadata.toml"
        &[(Export, None), (Create, None)];
    Redact: "redact" ["CNB_REDACT"] "false" Bool "replace known secrets in what is printed, as in what is sent" ALL;
    Report: "report" ["CNB_REPORT_PATH"] "<layers>/report.toml" File "path to report.toml"
        &[(Export, None), (Create, None), (Rebase, None)];
    Run: "run" ["CNB_RUN_PATH"] "/cnb/run.toml" File "path to run.toml"
        &[(Analyze, Some(Since(0, 12))), (Detect, Some(Since(0, 12))), (Restore, Some(Since(0, 14))), (Export, Some(Since(0, 12))), (Create, Some(Since(0, 12)))];
    RunImage: "run-image" ["CNB_RUN_IMAGE"] "" Text "reference to run image"
        &[(Analyze, None), (Export, None), (Create, None), (Rebase, None)];
    SkipLayers: "skip-layers" ["CNB_SKIP_LAYERS", "CNB_SKIP_RESTORE"] "false" Bool "do not restore layers"
        &[(Analyze, Some(Since(0, 9))), (Restore, None)];
    SkipRestore: "skip-restore" ["CNB_SKIP_RESTORE", "CNB_SKIP_LAYERS"] "false" Bool "do not restore layers"
        &[(Create, None)];
    SourceDateEpoch: "" ["SOURCE_DATE_EPOCH"] "" Text "creation time of the image" &[];
    Stack: "stack" ["CNB_STACK_PATH"] "/cnb/stack.toml" File "path to stack.toml"
        &[(Analyze, Some(Until(0, 12))), (Export, Some(Until(0, 12))), (Create, None)];
    System: "system" ["CNB_SYSTEM_PATH"] "/cnb/system.toml" File "path to system.toml"
        &[(Detect, Some(Since(0, 15))), (Create, Some(Since(0, 15)))];
    Tag: "tag" [] "" List "additional tag to apply to exported image"
        &[(Analyze, None), (Create, None)];
    Telemetry: "telemetry" ["CNB_TELEMETRY"] "false" Bool "write spans to <layers>/tracing" ALL;
    TelemetryFlushTimeout: "telemetry-flush-timeout" ["CNB_TELEMETRY_FLUSH_TIMEOUT"] "5s" Text "how long the end of a phase may wait until a collector has everything" ALL;
    TelemetrySpoolLimit: "telemetry-spool-limit" ["CNB_TELEMETRY_SPOOL_LIMIT"] "64" Int "how many MiB of what one program prints may wait for a collector" ALL;
    TracesOtlp: "traces-otlp" ["CNB_TRACES_OTLP"] "false" BoolOrAll "send spans to an OpenTelemetry collector; all: those of buildpacks too" ALL;
    Uid: "uid" ["CNB_USER_ID"] "0" Int "UID of user in the stack's build and run images"
        &[(Analyze, None), (Restore, None), (Extend, None), (Export, None), (Create, None), (Rebase, None)];
    Version: "version" [] "false" Bool "show version" ALL;
}

impl Input {
    /// Says whether the phase has the flag at a version.
    pub fn is_flag_of(&self, phase: Phase, api: PlatformApi) -> bool {
        !self.flag.is_empty()
            && self.phases.iter().any(|(of, gate)| *of == phase && gate.is_none_or(|gate| gate.at_platform(api)))
    }
}

/// The flags of a phase at a version, sorted by name.
pub fn flags(phase: Phase, api: PlatformApi) -> impl Iterator<Item = &'static Input> {
    INPUTS.iter().filter(move |input| input.is_flag_of(phase, api))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_flag_and_each_key_has_one() {
        let named: Vec<_> = INPUTS.iter().filter(|input| !input.flag.is_empty()).map(|input| input.flag).collect();
        assert!(named.is_sorted(), "{named:?}");
        for row in INPUTS {
            assert_eq!(INPUTS.iter().filter(|other| other.key == row.key).count(), 1, "{:?}", row.key);
        }
    }

    #[test]
    fn every_gate_of_a_flag_flips_between_supported_versions() {
        for row in INPUTS {
            for (phase, gate) in row.phases {
                let states: Vec<_> = PlatformApi::all().map(|api| row.is_flag_of(*phase, api)).collect();
                let flips = states.windows(2).filter(|pair| pair[0] != pair[1]).count();
                // The extender came with 0.10; its gates may lie below the versions at which it runs.
                assert_eq!(flips, usize::from(gate.is_some()), "-{} of {phase:?}", row.flag);
            }
        }
    }
}
