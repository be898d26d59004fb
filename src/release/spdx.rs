//! A bill as SPDX 2.3, JSON. Clause: <https://spdx.github.io/spdx-spec/v2.3/>.

use serde::Serialize;

use super::bill::{Bill, Component};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// What the format wants where nobody has looked.
const UNKNOWN: &str = "NOASSERTION";

/// Writes the document.
pub fn render(bill: &Bill) -> String {
    let Some((root, linked)) = bill.components.split_first() else { return String::new() };
    let program = Package {
        name: &bill.program,
        version_info: &bill.version,
        primary_package_purpose: "APPLICATION",
        checksums: vec![Checksum { algorithm: "SHA256", checksum_value: &bill.sha256 }],
        ..Package::of(root)
    };
    let described = Relationship { from: DOCUMENT.to_owned(), r#type: "DESCRIBES", to: id(root) };
    let links = bill.components.iter().flat_map(|component| {
        component.dependencies.iter().map(|&at| Relationship {
            from: id(component),
            r#type: "DEPENDS_ON",
            to: id(&bill.components[at]),
        })
    });
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: &bill.program,
        namespace: format!("https://spdx.org/spdxdocs/{}-{}-{}", root.name, bill.program, bill.uuid()),
        creation_info: CreationInfo {
            created: &bill.created,
            creators: [format!("Tool: {}-{}", root.name, bill.version)],
        },
        packages: std::iter::once(program).chain(linked.iter().map(Package::of)).collect(),
        relationships: std::iter::once(described).chain(links).collect(),
    };
    super::pretty(&document)
}

fn id(component: &Component) -> String {
    format!("SPDXRef-Package-{}", Bill::id(component))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    #[serde(rename = "documentNamespace")]
    namespace: String,
    creation_info: CreationInfo<'a>,
    packages: Vec<Package<'a>>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo<'a> {
    created: &'a str,
    creators: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: &'a str,
    version_info: &'a str,
    primary_package_purpose: &'static str,
    supplier: &'static str,
    download_location: String,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum<'a>>,
    license_concluded: &'static str,
    license_declared: &'a str,
    copyright_text: &'static str,
    external_refs: [ExternalRef; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum<'a> {
    algorithm: &'static str,
    checksum_value: &'a str,
}

#[derive(Serialize)]
struct ExternalRef {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceType")]
    r#type: &'static str,
    #[serde(rename = "referenceLocator")]
    locator: String,
}

#[derive(Serialize)]
struct Relationship {
    #[serde(rename = "spdxElementId")]
    from: String,
    #[serde(rename = "relationshipType")]
    r#type: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    to: String,
}

impl<'a> Package<'a> {
    fn of(component: &'a Component) -> Self {
        let checksum = |checksum_value| Checksum { algorithm: "SHA256", checksum_value };
        Self {
            id: id(component),
            name: &component.name,
            version_info: &component.version,
            primary_package_purpose: "LIBRARY",
            supplier: UNKNOWN,
            download_location: component.download().unwrap_or_else(|| UNKNOWN.to_owned()),
            files_analyzed: false,
            checksums: component.checksum().map(checksum).into_iter().collect(),
            license_concluded: UNKNOWN,
            license_declared: if component.license.is_empty() { UNKNOWN } else { &component.license },
            copyright_text: UNKNOWN,
            external_refs: [ExternalRef { category: "PACKAGE-MANAGER", r#type: "purl", locator: component.purl() }],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::release::bill::sample;

    #[test]
    fn describes_the_program_and_names_what_it_depends_on() {
        let document: Value = serde_json::from_str(&render(&sample())).unwrap();
        assert_eq!(document["SPDXID"], "SPDXRef-DOCUMENT");
        assert_eq!(document["creationInfo"]["created"], "1980-01-01T00:00:01Z");
        let packages = document["packages"].as_array().unwrap();
        assert_eq!((&packages[0]["name"], packages.len()), (&json!("launcher"), 4));
        assert_eq!(packages[0]["checksums"][0]["checksumValue"], sample().sha256);
        assert_eq!(packages[1]["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(packages[1]["downloadLocation"], "https://static.crates.io/crates/a_b/a_b-1.0.0+x.crate");
        assert_eq!(packages[2]["licenseDeclared"], "NOASSERTION");
        assert_eq!(packages[3].get("checksums"), None);
        let relationships: Vec<String> = document["relationships"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| format!("{} {} {}", r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]))
            .map(|text| text.replace(['"'], "").replace("SPDXRef-", "").replace("Package-", ""))
            .collect();
        assert_eq!(
            relationships,
            [
                "DOCUMENT DESCRIBES cnb-lifecycle-0.22.0",
                "cnb-lifecycle-0.22.0 DEPENDS_ON a-b-1.0.0-x",
                "cnb-lifecycle-0.22.0 DEPENDS_ON std-1.90.0",
                "a-b-1.0.0-x DEPENDS_ON c-2.0.0",
            ]
        );
    }
}
