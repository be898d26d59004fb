//! A bill as Syft's own JSON, version 16.1.10 of its schema. Clause: <https://github.com/anchore/syft/tree/main/schema/json>.

use serde::Serialize;
use serde_json::{Value, json};

use super::bill::{Bill, Component, Origin};

const SCHEMA: &str = "16.1.10";

/// Writes the document.
pub fn render(bill: &Bill) -> String {
    let Some((root, linked)) = bill.components.split_first() else { return String::new() };
    let links = bill.components.iter().flat_map(|component| {
        component.dependencies.iter().map(|&at| Relationship {
            // The parent is a dependency of the child.
            parent: Bill::id(&bill.components[at]),
            child: Bill::id(component),
            r#type: "dependency-of",
        })
    });
    let names = |component: &Component| -> Vec<String> {
        component.dependencies.iter().map(|&at| bill.components[at].name.clone()).collect()
    };
    let program = Artifact { name: &bill.program, version: &bill.version, ..Artifact::of(root, &[], bill) };
    let document = Document {
        artifacts: std::iter::once(program)
            .chain(linked.iter().map(|component| Artifact::of(component, &names(component), bill)))
            .collect(),
        artifact_relationships: links.collect(),
        source: Source {
            id: &bill.sha256,
            name: &bill.program,
            version: &bill.version,
            r#type: "file",
            metadata: json!({
                "path": format!("/cnb/lifecycle/{}", bill.program),
                "digests": [{ "algorithm": "sha256", "value": bill.sha256 }],
            }),
        },
        // Known for containers; a static program is of none.
        distro: json!({}),
        descriptor: json!({ "name": root.name, "version": bill.version, "configuration": { "created": bill.created } }),
        schema: json!({
            "version": SCHEMA,
            "url": format!("https://raw.githubusercontent.com/anchore/syft/main/schema/json/schema-{SCHEMA}.json"),
        }),
    };
    super::pretty(&document)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    artifacts: Vec<Artifact<'a>>,
    artifact_relationships: Vec<Relationship>,
    source: Source<'a>,
    distro: Value,
    descriptor: Value,
    schema: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact<'a> {
    id: String,
    name: &'a str,
    version: &'a str,
    r#type: &'static str,
    found_by: &'static str,
    locations: [Value; 1],
    licenses: Vec<Value>,
    language: &'static str,
    cpes: [Value; 0],
    purl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

#[derive(Serialize)]
struct Relationship {
    parent: String,
    child: String,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Source<'a> {
    id: &'a str,
    name: &'a str,
    version: &'a str,
    r#type: &'static str,
    metadata: Value,
}

impl<'a> Artifact<'a> {
    fn of(component: &'a Component, dependencies: &[String], bill: &Bill) -> Self {
        let path = format!("/cnb/lifecycle/{}", bill.program);
        let license = &component.license;
        let licenses = (!license.is_empty()).then(
            || json!({ "value": license, "spdxExpression": license, "type": "declared", "urls": [], "locations": [] }),
        );
        let locked = component.checksum().map(|checksum| {
            json!({
                "name": component.name,
                "version": component.version,
                "source": "registry+https://github.com/rust-lang/crates.io-index",
                "checksum": checksum,
                "dependencies": dependencies,
            })
        });
        Self {
            id: Bill::id(component),
            name: &component.name,
            version: &component.version,
            r#type: match component.origin {
                Origin::Own => "binary",
                Origin::CratesIo { .. } | Origin::Toolchain => "rust-crate",
            },
            found_by: "cargo-tree",
            locations: [json!({ "path": path, "accessPath": path })],
            licenses: licenses.into_iter().collect(),
            language: "rust",
            cpes: [],
            purl: component.purl(),
            metadata_type: locked.as_ref().map(|_| "rust-cargo-lock-entry"),
            metadata: locked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::bill::sample;

    #[test]
    fn has_an_artifact_for_each_component_and_its_relationships() {
        let document: Value = serde_json::from_str(&render(&sample())).unwrap();
        let artifacts = document["artifacts"].as_array().unwrap();
        let names: Vec<&str> = artifacts.iter().filter_map(|artifact| artifact["name"].as_str()).collect();
        assert_eq!(names, ["launcher", "a_b", "c", "std"]);
        assert_eq!(artifacts[1]["metadata"]["dependencies"], json!(["c"]));
        assert_eq!(artifacts[1]["metadata"]["checksum"], "a".repeat(64));
        assert_eq!((artifacts[3].get("metadata"), artifacts[2]["licenses"].clone()), (None, json!([])));
        assert_eq!(document["artifactRelationships"].as_array().unwrap().len(), 3);
        let of_c = json!({ "parent": "c-2.0.0", "child": "a-b-1.0.0-x", "type": "dependency-of" });
        assert!(document["artifactRelationships"].as_array().unwrap().contains(&of_c));
        assert_eq!(document["source"]["metadata"]["digests"][0]["value"], sample().sha256);
    }
}
