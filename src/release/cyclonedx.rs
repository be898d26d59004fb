//! A bill as CycloneDX 1.5, JSON. Clause: <https://cyclonedx.org/docs/1.5/json/>.

use serde::Serialize;

use super::bill::{Bill, Component};

/// Writes the document.
pub fn render(bill: &Bill) -> String {
    let Some((root, linked)) = bill.components.split_first() else { return String::new() };
    let reference = |component: &Component| component.purl();
    let dependencies = bill.components.iter().map(|component| Dependency {
        r#ref: reference(component),
        depends_on: component.dependencies.iter().map(|&at| reference(&bill.components[at])).collect(),
    });
    let program = Part {
        r#type: "application",
        bom_ref: reference(root),
        name: &bill.program,
        version: &bill.version,
        hashes: vec![Hash { alg: "SHA-256", content: &bill.sha256 }],
        ..Part::of(root)
    };
    let document = Document {
        bom_format: "CycloneDX",
        spec_version: "1.5",
        serial_number: format!("urn:uuid:{}", bill.uuid()),
        version: 1,
        metadata: Metadata { timestamp: &bill.created, component: program },
        components: linked.iter().map(Part::of).collect(),
        dependencies: dependencies.collect(),
    };
    super::pretty(&document)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Part<'a>>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: &'a str,
    component: Part<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    r#type: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License<'a>>,
    purl: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Link<'a>>,
}

#[derive(Serialize)]
struct Hash<'a> {
    alg: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct License<'a> {
    expression: &'a str,
}

#[derive(Serialize)]
struct Link<'a> {
    r#type: &'static str,
    url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: Vec<String>,
}

impl<'a> Part<'a> {
    fn of(component: &'a Component) -> Self {
        let given = |text: &'a str| (!text.is_empty()).then_some(text);
        Self {
            r#type: "library",
            bom_ref: component.purl(),
            name: &component.name,
            version: &component.version,
            hashes: component.checksum().map(|content| Hash { alg: "SHA-256", content }).into_iter().collect(),
            licenses: given(&component.license).map(|expression| License { expression }).into_iter().collect(),
            purl: component.purl(),
            external_references: given(&component.repository)
                .map(|url| Link { r#type: "vcs", url })
                .into_iter()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::release::bill::sample;

    #[test]
    fn has_the_program_what_it_links_and_how_that_hangs_together() {
        let document: Value = serde_json::from_str(&render(&sample())).unwrap();
        assert_eq!(document["bomFormat"], "CycloneDX");
        assert_eq!(document["serialNumber"], "urn:uuid:01234567-89ab-8def-8123-456789abcdef");
        let program = &document["metadata"]["component"];
        assert_eq!((&program["type"], &program["name"]), (&json!("application"), &json!("launcher")));
        assert_eq!(program["hashes"][0]["content"], sample().sha256);
        assert_eq!(
            document["components"][0],
            json!({
                "type": "library", "bom-ref": "pkg:cargo/a_b@1.0.0%2Bx", "name": "a_b", "version": "1.0.0+x",
                "hashes": [{ "alg": "SHA-256", "content": "a".repeat(64) }],
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                "purl": "pkg:cargo/a_b@1.0.0%2Bx",
                "externalReferences": [{ "type": "vcs", "url": "https://example.com/a_b" }],
            })
        );
        assert_eq!(document["components"][1].get("licenses"), None);
        assert_eq!(document["components"].as_array().unwrap().len(), 3);
        assert_eq!(document["dependencies"][1]["dependsOn"], json!(["pkg:cargo/c@2.0.0"]));
        assert_eq!(document["dependencies"].as_array().unwrap().len(), 4);
    }
}
