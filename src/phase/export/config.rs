//! The configuration of the app image: the run image's, changed.
//!
//! Clause: platform.md#exporter; catalogue 2, section 2.5.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::{PlatformApi, PlatformFeature};
use crate::model::image::ContainerConfig;
use crate::model::process::Process;
use crate::phase::history::CREATED;

/// Folder of links to the launcher, one for each process type.
const PROCESS_DIR: &str = "/cnb/process";
/// Folder of the launcher.
const LIFECYCLE_DIR: &str = "/cnb/lifecycle";
/// The launcher.
const LAUNCHER: &str = "/cnb/lifecycle/launcher";

/// The first second of the year 1, which counts as no time in the reference.
const ZERO_TIME: i64 = -62_135_596_800;

/// What the image starts with when nobody names a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entrypoint {
    /// This process type.
    Process(String),
    /// The launcher, which needs a command.
    Launcher,
}

/// The platform asks for a process type that no buildpack contributed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("determining entrypoint: tried to set {0} to default but it doesn't exist")]
pub(super) struct NoSuchProcess(String);

impl Entrypoint {
    /// Its one element.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Process(r#type) => format!("{PROCESS_DIR}/{type}"),
            Self::Launcher => LAUNCHER.to_owned(),
        }
    }
}

/// Chooses the entrypoint: the platform's wish, else what buildpacks say, which is not checked.
///
/// # Errors
/// There is no process of the type that the platform asks for.
pub(super) fn entrypoint(
    processes: &[Process],
    platform: Option<&str>,
    buildpacks: Option<&str>,
) -> Result<Entrypoint, NoSuchProcess> {
    match (platform.filter(|wish| !wish.is_empty()), buildpacks.filter(|default| !default.is_empty())) {
        (Some(wish), _) if processes.iter().any(|process| process.r#type == wish) => {
            Ok(Entrypoint::Process(wish.to_owned()))
        }
        (Some(wish), _) => Err(NoSuchProcess(wish.to_owned())),
        (None, Some(default)) => Ok(Entrypoint::Process(default.to_owned())),
        (None, None) => Ok(Entrypoint::Launcher),
    }
}

/// The time that image and layers are said to be made at, in UTC: [`CREATED`], or `SOURCE_DATE_EPOCH`, in seconds.
///
/// `None` when `SOURCE_DATE_EPOCH` is no time.
pub(super) fn created(api: PlatformApi, source_date_epoch: Option<&str>) -> Option<String> {
    let epoch = source_date_epoch.filter(|text| !text.is_empty() && api.has(PlatformFeature::SourceDateEpoch));
    let Some(epoch) = epoch else { return Some(CREATED.to_owned()) };
    match epoch.parse().ok()? {
        ZERO_TIME => Some(CREATED.to_owned()),
        seconds => OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok(),
    }
}

/// Variables that the launcher reads, in the order in which they are set.
pub(super) fn variables(api: PlatformApi, layers_dir: &str, app_dir: &str) -> [(&'static str, String); 4] {
    [
        ("CNB_LAYERS_DIR", layers_dir.to_owned()),
        ("CNB_APP_DIR", app_dir.to_owned()),
        ("CNB_PLATFORM_API", api.to_string()),
        ("CNB_DEPRECATION_MODE", "quiet".to_owned()),
    ]
}

/// `PATH` of the app image: links to processes and the launcher in front of the run image's.
pub(super) fn path(config: &ContainerConfig) -> String {
    let base = config.env.iter().find_map(|line| line.strip_prefix("PATH=")).unwrap_or_default();
    format!("{PROCESS_DIR}:{LIFECYCLE_DIR}:{base}")
}

/// Sets a variable where it is, or at the end.
pub(super) fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    match env.iter_mut().find(|line| line.split('=').next() == Some(name)) {
        Some(old) => *old = line,
        None => env.push(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(version: &str) -> PlatformApi {
        PlatformApi::negotiate(Some(version)).unwrap()
    }

    fn processes(types: &[&str]) -> Vec<Process> {
        types.iter().map(|r#type| Process { r#type: (*r#type).to_owned(), ..Process::default() }).collect()
    }

    #[test]
    fn the_platforms_process_wins_and_must_exist() {
        let all = processes(&["web", "worker"]);
        assert_eq!(entrypoint(&all, Some("worker"), Some("web")).unwrap().path(), "/cnb/process/worker");
        let error = entrypoint(&all, Some("other"), Some("web")).unwrap_err();
        assert_eq!(error.to_string(), "determining entrypoint: tried to set other to default but it doesn't exist");
    }

    #[test]
    fn the_buildpacks_default_is_not_checked_and_the_launcher_is_what_is_left() {
        assert_eq!(entrypoint(&[], None, Some("web")).unwrap().path(), "/cnb/process/web");
        assert_eq!(entrypoint(&processes(&["web"]), Some(""), None).unwrap().path(), "/cnb/lifecycle/launcher");
    }

    #[test]
    fn the_time_is_fixed_or_given_in_utc() {
        assert_eq!(created(api("0.13"), None).unwrap(), "1980-01-01T00:00:01Z");
        assert_eq!(created(api("0.13"), Some("")).unwrap(), "1980-01-01T00:00:01Z");
        assert_eq!(created(api("0.9"), Some("1700000000")).unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(created(api("0.9"), Some("0")).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(created(api("0.9"), Some("-62135596800")).unwrap(), CREATED);
        assert_eq!(created(api("0.9"), Some("-62135596799")).unwrap(), "0001-01-01T00:00:01Z");
        assert_eq!(created(api("0.8"), Some("1700000000")).unwrap(), CREATED);
        assert_eq!(created(api("0.8"), Some("abc")).unwrap(), CREATED);
    }

    #[test]
    fn what_is_no_time_is_not_used() {
        for text in ["abc", "1.5", "9223372036854775807", "253402300800", "-999999999999", "1_0", " 1"] {
            assert_eq!(created(api("0.9"), Some(text)), None, "{text}");
        }
    }

    #[test]
    fn path_is_extended_in_place_and_kept_whole() {
        let mut env = vec!["A=1".to_owned(), "PATH=/usr/bin:/x=y".to_owned(), "B=2".to_owned()];
        let config = ContainerConfig { env: env.clone(), ..ContainerConfig::default() };
        set_env(&mut env, "PATH", &path(&config));
        set_env(&mut env, "C", "3");
        assert_eq!(env, ["A=1", "PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/x=y", "B=2", "C=3"]);
    }

    #[test]
    fn an_image_without_path_gets_one_with_an_empty_end() {
        assert_eq!(path(&ContainerConfig::default()), "/cnb/process:/cnb/lifecycle:");
    }
}
