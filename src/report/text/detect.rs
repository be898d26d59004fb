//! Sentences of [`DetectEvent`]. Catalogue 1, sections 3.3 to 3.8.

use serde_json::json;

use super::target::target_json;
use super::{Level, Line};
use crate::effect::events::{DetectEvent, Transcript};
use crate::model::order::GroupElement;
use crate::model::target::{ModuleTarget, RunTarget};

/// The lines for an event.
pub(super) fn lines(event: &DetectEvent) -> Vec<Line> {
    match event {
        DetectEvent::SystemPrepended(count) => {
            vec![Line::debug(format!("Prepending {count} system buildpack(s) to group"))]
        }
        DetectEvent::SystemAppended(count) => {
            vec![Line::debug(format!("Appending {count} system buildpack(s) to group"))]
        }
        DetectEvent::HostDistro => {
            vec![Line::info("target distro name/version labels not found, reading /etc/os-release file")]
        }
        DetectEvent::TargetCompared(target) => {
            vec![Line::debug(format!("Checking for match against descriptor: {}", in_braces(target)))]
        }
        DetectEvent::ExecEnvSkipped { module, current, supported } => vec![Line::debug(format!(
            "Skipping {module} due to execution environment mismatch; current: {current}, buildpack supports: [{}]",
            supported.join(" "),
        ))],
        DetectEvent::Transcript { forced, entry } => {
            let mut lines = transcript(entry);
            for line in &mut lines {
                line.forced = *forced;
            }
            lines
        }
        DetectEvent::NoGroupPassed { check_path } => {
            let mut lines = vec![Line::error("No buildpack groups passed detection.")];
            if *check_path {
                lines.push(Line::error("Please check that you are running against the correct path."));
            }
            lines
        }
    }
}

fn transcript(entry: &Transcript) -> Vec<Line> {
    let verb = |optional: bool| if optional { "skip" } else { "fail" };
    let line = match entry {
        Transcript::Output { module, erred, output } => {
            let level = if *erred { Level::Info } else { Level::Debug };
            return vec![
                Line::new(level, format!("======== Output: {module} ========")),
                Line { is_heard: true, ..Line::new(level, output.as_ref()) },
            ];
        }
        Transcript::Error { module, cause } => {
            return vec![Line::info(format!("======== Error: {module} ========")), Line::info(cause.as_str())];
        }
        Transcript::TargetMismatch { module, run, supported } => {
            return vec![
                Line::info(format!("======== Error: {module} ========")),
                Line::info(mismatch(run, supported)),
            ];
        }
        Transcript::Results => Line::debug("======== Results ========"),
        Transcript::Pass(module) => Line::debug(format!("pass: {module}")),
        Transcript::OptedOut(module) => Line::debug(format!("{}: {module}", verb(module.optional))),
        Transcript::Erred(module, Some(code)) => Line::info(format!("err:  {module} ({code})")),
        Transcript::Erred(module, None) => Line::info(format!("err:  {module}")),
        Transcript::NoViableBuildpacks => Line::debug("fail: no viable buildpacks in group"),
        Transcript::PlanTried(number) => Line::debug(format!("Resolving plan... (try #{number})")),
        Transcript::Unprovided { module, dependency } => {
            Line::debug(format!("{}: {module} requires {dependency}", verb(module.optional)))
        }
        Transcript::Unused { module, dependency } => {
            Line::debug(format!("{}: {module} provides unused {dependency}", verb(module.optional)))
        }
        Transcript::Participating { chosen, of } => Line::info(format!("{chosen} of {of} buildpacks participating")),
        Transcript::Chosen(modules) => {
            let width = modules.iter().map(|module| module.id.as_str().len()).max().unwrap_or(0);
            let line = |module: &GroupElement| format!("{:<width$} {}", module.id.as_str(), module.version);
            return modules.iter().map(|module| Line::info(line(module))).collect();
        }
    };
    vec![line]
}

fn mismatch(run: &RunTarget, supported: &[ModuleTarget]) -> String {
    let supported: Vec<_> = supported.iter().map(module_json).collect();
    format!(
        "unable to satisfy target os/arch constraints; run image: {}, buildpack: {}",
        target_json(run),
        json!(supported),
    )
}

/// A target in the form that the reference's debug lines have: `{linux amd64  [{ubuntu 22.04}]}`.
fn in_braces(target: &ModuleTarget) -> String {
    let distros: Vec<_> =
        target.distros.iter().map(|distro| format!("{{{} {}}}", distro.name, distro.version)).collect();
    format!("{{{} {} {} [{}]}}", target.os, target.arch, target.variant, distros.join(" "))
}

fn module_json(target: &ModuleTarget) -> serde_json::Value {
    let mut json = json!({ "os": target.os, "arch": target.arch });
    if !target.variant.is_empty() {
        json["arch-variant"] = json!(target.variant);
    }
    if !target.distros.is_empty() {
        let distros: Vec<_> =
            target.distros.iter().map(|distro| json!({ "name": distro.name, "version": distro.version })).collect();
        json["distros"] = json!(distros);
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ModuleId, ModuleKind};
    use crate::model::target::Distro;

    fn module(optional: bool) -> GroupElement {
        GroupElement {
            kind: ModuleKind::Buildpack,
            id: ModuleId::parse("samples/a").unwrap(),
            version: "0.0.1".into(),
            api: "0.10".into(),
            homepage: String::new(),
            optional,
        }
    }

    fn texts(entry: Transcript) -> Vec<(Level, String)> {
        let event = DetectEvent::Transcript { forced: false, entry };
        lines(&event).into_iter().map(|line| (line.level, String::from_utf8(line.text).unwrap())).collect()
    }

    #[test]
    fn a_failed_detection_is_told_whatever_the_level() {
        let entry = Transcript::Results;
        assert!(lines(&DetectEvent::Transcript { forced: true, entry: entry.clone() })[0].forced);
        assert!(!lines(&DetectEvent::Transcript { forced: false, entry })[0].forced);
    }

    #[test]
    fn output_is_raw_and_at_info_when_the_program_erred() {
        let output = b"100% done %d\xff\n".to_vec();
        let event = |erred| DetectEvent::Transcript {
            forced: false,
            entry: Transcript::Output { module: module(false), erred, output: output.as_slice().into() },
        };
        assert_eq!(lines(&event(true))[0], Line::info("======== Output: samples/a@0.0.1 ========"));
        assert_eq!(lines(&event(true))[1], Line { is_heard: true, ..Line::info(output.clone()) });
        assert_eq!(lines(&event(false))[1], Line { is_heard: true, ..Line::debug(output.clone()) });
    }

    #[test]
    fn results_are_aligned_and_optional_modules_are_skipped() {
        for (entry, level, text) in [
            (Transcript::Pass(module(false)), Level::Debug, "pass: samples/a@0.0.1"),
            (Transcript::OptedOut(module(false)), Level::Debug, "fail: samples/a@0.0.1"),
            (Transcript::OptedOut(module(true)), Level::Debug, "skip: samples/a@0.0.1"),
            (Transcript::Erred(module(true), Some(5)), Level::Info, "err:  samples/a@0.0.1 (5)"),
            (Transcript::Erred(module(false), None), Level::Info, "err:  samples/a@0.0.1"),
            (Transcript::PlanTried(2), Level::Debug, "Resolving plan... (try #2)"),
            (
                Transcript::Unprovided { module: module(false), dependency: "dep".into() },
                Level::Debug,
                "fail: samples/a@0.0.1 requires dep",
            ),
            (
                Transcript::Unused { module: module(true), dependency: "dep".into() },
                Level::Debug,
                "skip: samples/a@0.0.1 provides unused dep",
            ),
            (Transcript::Participating { chosen: 1, of: 3 }, Level::Info, "1 of 3 buildpacks participating"),
            (Transcript::Chosen(vec![module(false)]), Level::Info, "samples/a 0.0.1"),
        ] {
            assert_eq!(texts(entry), [(level, text.to_owned())]);
        }
    }

    #[test]
    fn targets_are_written_as_the_reference_writes_them() {
        let distro = Distro { name: "ubuntu".into(), version: "22.04".into() };
        let run = RunTarget {
            os: "linux".into(),
            arch: "amd64".into(),
            distro: Some(distro.clone()),
            ..RunTarget::default()
        };
        let windows = ModuleTarget { os: "windows".into(), ..ModuleTarget::default() };
        let ubuntu =
            ModuleTarget { os: "linux".into(), arch: "arm".into(), variant: "v7".into(), distros: vec![distro] };
        assert_eq!(in_braces(&ubuntu), "{linux arm v7 [{ubuntu 22.04}]}");
        assert_eq!(
            mismatch(&run, &[windows, ubuntu]),
            concat!(
                "unable to satisfy target os/arch constraints; run image: ",
                r#"{"os":"linux","arch":"amd64","distro":{"name":"ubuntu","version":"22.04"}}, buildpack: "#,
                r#"[{"os":"windows","arch":""},"#,
                r#"{"os":"linux","arch":"arm","arch-variant":"v7","distros":[{"name":"ubuntu","version":"22.04"}]}]"#,
            ),
        );
    }
}
