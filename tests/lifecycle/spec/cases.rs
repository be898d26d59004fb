//! Plays every case of `spec-fixtures` at the ends of the APIs it holds for, and compares what is left.
//!
//! `SPEC=<part of a path> cargo test --test lifecycle spec::cases` plays only some.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::case::{Case, Run, Stage, files, relative};
use super::{BUILDPACK_APIS, PLATFORM_APIS, folder, versions};
use crate::support::APP_IMAGE;

/// A case, its path in the fixtures, and what it is played at.
struct Job {
    path: String,
    api: &'static str,
    buildpack_api: &'static str,
}

/// Every case by its path, sorted.
pub(super) fn paths() -> Vec<String> {
    let cases = files(&folder()).into_iter().filter(|path| path.file_name().is_some_and(|name| name == "case.toml"));
    cases.map(|path| relative(path.parent().unwrap(), &folder())).collect()
}

/// Reads a case.
pub(super) fn read(path: &str) -> Case {
    super::table(&format!("{path}/case.toml"))
}

/// The Platform APIs and the Buildpack APIs that a case holds for.
pub(super) fn apis(case: &Case) -> (Vec<&'static str>, Vec<&'static str>) {
    (
        versions(case.apis.as_deref().unwrap_or(".."), PLATFORM_APIS),
        versions(case.buildpack_apis.as_deref().unwrap_or("0.12"), BUILDPACK_APIS),
    )
}

#[test]
fn every_case_leaves_what_it_says() {
    #[expect(clippy::disallowed_methods, reason = "a developer chooses cases by it; no program of this crate sees it")]
    let wanted = std::env::var("SPEC").unwrap_or_default();
    let jobs: Vec<Job> = paths().iter().filter(|path| path.contains(&wanted)).flat_map(|path| jobs(path)).collect();
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = play(job) {
                        let at = format!("{} (buildpacks {})", job.api, job.buildpack_api);
                        faults.lock().unwrap().entry(&job.path).or_insert_with(Vec::new).push((at, fault));
                    }
                }
            });
        }
    });
    let faults: Vec<String> =
        faults.into_inner().unwrap().iter().map(|(path, faults)| format!("== {path} {}", show(faults))).collect();
    assert!(faults.is_empty(), "{} of {} cases failed\n\n{}", faults.len(), paths().len(), faults.join("\n"));
    println!("{} cases played {} times", paths().len(), jobs.len());
}

/// A case at the ends of what it holds for, and at 0.12, where most changed: the versions between are no gates of it.
fn jobs(path: &str) -> Vec<Job> {
    let (apis, buildpack_apis) = apis(&read(path));
    let ends = |versions: &[&'static str]| -> Vec<&'static str> {
        let last = versions.len() - 1;
        let ends = versions.iter().enumerate().filter(|(at, version)| *at == 0 || *at == last || **version == "0.12");
        ends.map(|(_, version)| *version).collect()
    };
    let buildpack_apis = ends(&buildpack_apis);
    let job = |api, buildpack_api| Job { path: path.to_owned(), api, buildpack_api };
    ends(&apis).into_iter().flat_map(|api| buildpack_apis.iter().map(move |buildpack| job(api, buildpack))).collect()
}

/// The APIs at which a case failed, and the fault at the first.
fn show(faults: &[(String, String)]) -> String {
    let at: Vec<&str> = faults.iter().map(|(at, _)| at.as_str()).collect();
    format!("at {}\n{}", at.join(", "), faults[0].1)
}

fn play(job: &Job) -> Result<(), String> {
    let (case, place) = (read(&job.path), folder().join(&job.path));
    let stage = Stage::new(&case, &place, job.api, job.buildpack_api);
    let mut reports = String::new();
    let mut faults = Vec::new();
    for run in &case.runs {
        play_run(run, &stage, &mut faults, &mut reports);
    }
    faults.extend(case.after.absent.iter().filter(|name| there(&stage, name)).map(|name| format!("{name} is there")));
    let lacks = case.after.present.iter().filter(|name| !there(&stage, name));
    faults.extend(lacks.map(|name| format!("{name} is not there")));
    let expected = files(&place.join("out"));
    for path in &expected {
        compare(&stage, path, &relative(path, &place.join("out")), &mut faults);
    }
    for folder in &case.after.exactly {
        let wanted: BTreeSet<String> = expected.iter().map(|path| relative(path, &place.join("out"))).collect();
        let found = stage.files(folder);
        let more = found.iter().filter(|name| !wanted.contains(*name));
        faults.extend(more.map(|name| format!("{name} should not be there")));
    }
    image(&stage, &case, &place, &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(format!("- {}\n{reports}", faults.join("\n- "))) }
}

/// Says whether a name is there, be it a link to nothing.
fn there(stage: &Stage, name: &str) -> bool {
    stage.world.path(name).symlink_metadata().is_ok()
}

fn play_run(run: &Run, stage: &Stage, faults: &mut Vec<String>, reports: &mut String) {
    let fill = |text: &str| stage.fill(text);
    let args: Vec<String> = run.args.iter().map(|arg| fill(arg)).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let env: Vec<(&String, Option<String>)> = run.env.iter().map(|(name, value)| (name, value.value(fill))).collect();
    let env: Vec<(&str, Option<&str>)> = env.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let outcome = stage.world.run_with(&run.program, &args, &env);
    if outcome.exit != run.exit {
        faults.push(format!("exit code {} instead of {}", outcome.exit, run.exit));
    }
    for (name, stream, texts) in [("output", &outcome.stdout, &run.stdout), ("error", &outcome.stderr, &run.stderr)] {
        let mut rest = stream.as_str();
        for text in texts {
            let text = fill(text);
            match rest.split_once(&text) {
                Some((_, behind)) => rest = behind,
                None if stream.contains(&text) => faults.push(format!("standard {name} has {text:?} too early")),
                None => faults.push(format!("standard {name} lacks {text:?}")),
            }
        }
    }
    for text in run.stdout_lacks.iter().map(|text| fill(text)).filter(|text| outcome.stdout.contains(text)) {
        faults.push(format!("standard output has {text:?}"));
    }
    if let Some(whole) = run.stdout_is.as_deref().map(fill).filter(|whole| *whole != outcome.stdout) {
        faults.push(format!("standard output is not {whole:?}"));
    }
    reports.push_str(&outcome.report());
}

/// Compares a file of `out/` with that of the world: TOML and JSON by their values, others by their bytes.
fn compare(stage: &Stage, expected: &PathBuf, name: &str, faults: &mut Vec<String>) {
    let Ok(found) = fs::read(stage.world.path(name)) else {
        faults.push(format!("{name} is not there"));
        return;
    };
    let found = String::from_utf8_lossy(&found);
    let wanted = stage.fill(&fs::read_to_string(expected).unwrap());
    let same = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("toml") => {
            let [found, wanted] =
                [found.as_ref(), &wanted].map(|text| text.parse::<toml::Table>().map_err(|e| e.to_string()));
            found.is_ok() && found == wanted
        }
        Some("json") => {
            let [found, wanted] = [found.as_ref(), &wanted].map(|text| serde_json::from_str::<Value>(text).ok());
            found.is_some() && found == wanted
        }
        _ => found == wanted,
    };
    if !same {
        faults.push(format!("{name} should be\n{wanted}and is\n{found}"));
    }
}

/// Compares the app image: its configuration has all that `image.json` and the case say, and lacks what the case says. Labels that
/// are JSON count as their values.
fn image(stage: &Stage, case: &Case, place: &Path, faults: &mut Vec<String>) {
    let wanted = fs::read_to_string(place.join("image.json")).ok();
    if wanted.is_none() && case.after.image_lacks.is_empty() && case.after.image_has.is_empty() {
        return;
    }
    if !stage.world.layout(APP_IMAGE).is_dir() {
        faults.push("there is no app image".to_owned());
        return;
    }
    let (_, _, mut config) = stage.world.app_image();
    for (_, label) in config["config"]["Labels"].as_object_mut().into_iter().flatten() {
        if let Some(Ok(value)) = label.as_str().map(serde_json::from_str) {
            *label = value;
        }
    }
    let wanted: Value = wanted.map_or(Value::Null, |text| serde_json::from_str(&stage.fill(&text)).unwrap());
    has(&config, &wanted, "", faults);
    for (pointer, value) in &case.after.image_has {
        has(config.pointer(pointer).unwrap_or(&Value::Null), value, pointer, faults);
    }
    let found = case.after.image_lacks.iter().filter(|pointer| config.pointer(pointer).is_some());
    faults.extend(found.map(|pointer| format!("the image has {pointer}")));
}

/// Checks that a value has all that another has: objects may have more, everything else is equal.
fn has(found: &Value, wanted: &Value, at: &str, faults: &mut Vec<String>) {
    match wanted {
        Value::Null => {}
        Value::Object(wanted) if found.is_object() => {
            for (key, value) in wanted {
                has(&found[key], value, &format!("{at}/{key}"), faults);
            }
        }
        _ if found == wanted => {}
        _ => faults.push(format!("the image has {found} at {at} instead of {wanted}")),
    }
}
