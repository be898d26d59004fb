//! `spec-fixtures/features.toml` beside the feature tables of `api`, both ways; each row has proof on both sides.

use std::fmt::Debug;

use cnb_lifecycle::api::{BUILDPACK_FEATURES, Gate, PLATFORM_FEATURES, Row};
use serde::Deserialize;

use super::{BUILDPACK_APIS, PLATFORM_APIS, cases, proof, table, versions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Features {
    platform: Vec<Feature>,
    buildpack: Vec<Feature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feature {
    name: String,
    /// The first version with it.
    since: Option<String>,
    /// The first version without it.
    until: Option<String>,
    clause: String,
    /// Cases and tests where it is not there.
    #[serde(default)]
    without: Vec<String>,
    /// Cases and tests where it is there.
    #[serde(default)]
    with: Vec<String>,
    /// Why a side has no proof.
    reason: Option<String>,
}

impl Feature {
    /// The line of the table without the proof.
    fn line(&self) -> String {
        let since = self.since.as_ref().map(|version| format!("since {version}"));
        let until = self.until.as_ref().map(|version| format!("until {version}"));
        format!("{} {} {}", self.name, since.into_iter().chain(until).collect::<String>(), self.clause)
    }

    /// The ranges of versions without and with the feature.
    fn sides(&self) -> (String, String) {
        match (&self.since, &self.until) {
            (Some(version), None) => (format!("..{version}"), format!("{version}..")),
            (None, Some(version)) => (format!("{version}.."), format!("..{version}")),
            _ => panic!("{}: one of since and until", self.name),
        }
    }
}

fn lines<F: Debug>(rows: &[Row<F>]) -> Vec<String> {
    let line = |row: &Row<F>| {
        let gate = match row.gate {
            Gate::Since(major, minor) => format!("since {major}.{minor}"),
            Gate::Until(major, minor) => format!("until {major}.{minor}"),
        };
        format!("{:?} {gate} {}", row.feature, row.clause)
    };
    rows.iter().map(line).collect()
}

#[test]
fn the_feature_tables_are_those_of_the_code() {
    let features: Features = table("features.toml");
    let lines_of = |features: &[Feature]| features.iter().map(Feature::line).collect::<Vec<_>>();
    assert_eq!(lines_of(&features.platform), lines(PLATFORM_FEATURES));
    assert_eq!(lines_of(&features.buildpack), lines(BUILDPACK_FEATURES));
}

#[test]
fn every_feature_is_proved_on_both_sides_of_its_gate() {
    let features: Features = table("features.toml");
    let (mut faults, mut open) = (Vec::new(), Vec::new());
    let tables = [(&features.platform, PLATFORM_APIS, true), (&features.buildpack, BUILDPACK_APIS, false)];
    for (feature, known, is_platform) in
        tables.into_iter().flat_map(|(list, known, is)| list.iter().map(move |feature| (feature, known, is)))
    {
        let (without, with) = feature.sides();
        for (names, side) in [(&feature.without, without), (&feature.with, with)] {
            if names.is_empty() && feature.reason.is_none() {
                faults.push(format!("{}: nothing at {side}, and no reason", feature.name));
            }
            faults
                .extend(proof::unknown(names).into_iter().map(|name| format!("{}: there is no {name}", feature.name)));
            let side = versions(&side, known);
            for name in
                names.iter().filter(|name| proof::is_case(name) && proof::unknown(&[(*name).clone()]).is_empty())
            {
                let (platform, buildpack) = cases::apis(&cases::read(name));
                let played = if is_platform { platform } else { buildpack };
                if !played.iter().all(|version| side.contains(version)) {
                    faults.push(format!("{}: {name} is played at {played:?}, not only at {side:?}", feature.name));
                }
            }
        }
        open.extend(feature.reason.as_ref().map(|reason| format!("{}: {reason}", feature.name)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    println!("features not proved on both sides: {open:#?}");
}
