//! SBOMs of the programs as Cargo builds them: catalogue 3, section C1.

use std::collections::BTreeSet;
use std::path::Path;

use cnb_lifecycle::release::{Bill, Component, Origin, components, cyclonedx, spdx, syft};
use serde_json::Value;

/// What the program is linked from on this machine.
fn linked(features: &[&str]) -> Vec<Component> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    components(Path::new(env!("CARGO")), Path::new(env!("CARGO_MANIFEST_DIR")), &target, features).unwrap()
}

fn bill(program: &str, features: &[&str]) -> Bill {
    Bill {
        program: program.to_owned(),
        version: "0.22.0".to_owned(),
        sha256: "0".repeat(64),
        created: "1980-01-01T00:00:01Z".to_owned(),
        components: linked(features),
    }
}

/// The `[dependencies]` of Cargo.toml, all or those that are not optional.
fn declared(optional: bool) -> BTreeSet<String> {
    let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
    let is_optional = |spec: &toml::Value| spec.get("optional").and_then(toml::Value::as_bool).unwrap_or(false);
    let dependencies = manifest["dependencies"].as_table().unwrap();
    dependencies.iter().filter(|(_, spec)| optional || !is_optional(spec)).map(|(name, _)| name.clone()).collect()
}

fn names<'a>(components: impl IntoIterator<Item = &'a Component>) -> BTreeSet<String> {
    components.into_iter().map(|component| component.name.clone()).collect()
}

#[test]
fn each_program_has_the_dependencies_that_cargo_toml_declares_for_it() {
    for (features, optional) in [(&[][..], true), (&["--no-default-features"], false)] {
        let found = linked(features);
        let direct = names(found[0].dependencies.iter().map(|&at| &found[at]));
        let mut expected = declared(optional);
        expected.insert("std".to_owned());
        assert_eq!(direct, expected);
        for component in &found[1..] {
            let is_checked = component.checksum().is_some_and(|sum| sum.len() == 64);
            assert!(is_checked || component.origin == Origin::Toolchain, "{component:?}");
            assert!(!component.license.is_empty() && !component.license.contains('/'), "{component:?}");
        }
    }
}

#[test]
fn the_launcher_links_nothing_but_what_it_needs() {
    let launcher = names(&linked(&["--no-default-features"])[1..]);
    let lifecycle = names(&linked(&[])[1..]);
    assert!(launcher.is_subset(&lifecycle), "{launcher:?}");
    assert!(launcher.contains("winnow"), "what dependencies link counts, too: {launcher:?}");
    for heavy in ["rustls", "ring", "serde", "ureq", "clap"] {
        assert!(lifecycle.contains(heavy) && !launcher.contains(heavy), "{heavy}");
    }
    for tool in ["cc", "syn", "proptest", "serde_derive"] {
        assert!(!lifecycle.contains(tool), "{tool} is linked into no program");
    }
}

#[test]
fn the_three_documents_tell_the_same() {
    for (program, features) in [("lifecycle", &[][..]), ("launcher", &["--no-default-features"])] {
        let bill = bill(program, features);
        let expected: BTreeSet<String> = bill.components.iter().map(Component::purl).collect();
        let links: usize = bill.components.iter().map(|component| component.dependencies.len()).sum();
        let read = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
        let list = |value: &Value| value.as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();

        let document = read(cyclonedx(&bill));
        let mut purls: BTreeSet<String> = list(&document["components"]).iter().map(|c| text(&c["purl"])).collect();
        purls.insert(text(&document["metadata"]["component"]["purl"]));
        assert_eq!(purls, expected);
        let depends = list(&document["dependencies"]);
        assert_eq!(depends.iter().map(|d| list(&d["dependsOn"]).len()).sum::<usize>(), links);
        assert!(depends.iter().flat_map(|d| list(&d["dependsOn"])).all(|to| purls.contains(&text(&to))));

        let document = read(spdx(&bill));
        let packages = list(&document["packages"]);
        let purls = packages.iter().map(|p| text(&p["externalRefs"][0]["referenceLocator"])).collect::<BTreeSet<_>>();
        assert_eq!(purls, expected);
        let ids: BTreeSet<String> = packages.iter().map(|package| text(&package["SPDXID"])).collect();
        assert_eq!(ids.len(), packages.len(), "ids are unique");
        let relationships = list(&document["relationships"]);
        assert_eq!(relationships.len(), links + 1);
        assert!(relationships.iter().all(|r| ids.contains(&text(&r["relatedSpdxElement"]))));

        let document = read(syft(&bill));
        let artifacts = list(&document["artifacts"]);
        assert_eq!(artifacts.iter().map(|a| text(&a["purl"])).collect::<BTreeSet<_>>(), expected);
        let ids: BTreeSet<String> = artifacts.iter().map(|artifact| text(&artifact["id"])).collect();
        let relationships = list(&document["artifactRelationships"]);
        assert_eq!(relationships.len(), links);
        assert!(relationships.iter().all(|r| ids.contains(&text(&r["parent"])) && ids.contains(&text(&r["child"]))));
    }
}

#[test]
fn the_same_program_has_the_same_documents() {
    let bill = bill("launcher", &["--no-default-features"]);
    let write = |bill: &Bill| [cyclonedx(bill), spdx(bill), syft(bill)];
    assert_eq!(write(&bill), write(&bill.clone()));
    let other = Bill { sha256: "1".repeat(64), ..bill.clone() };
    for (one, two) in write(&bill).iter().zip(&write(&other)) {
        assert_ne!(one, two, "a document names the very program");
    }
}
