//! Manifests and indexes. Clauses: OCI image manifest, OCI image index; catalogue 2, section 2.6.

use std::collections::BTreeMap;

use oci_spec::image::{Arch, Os};

use super::object::{Object, texts_by_key};
use crate::model::digest::Digest;
use crate::model::image::Descriptor;
use crate::schema::Error;
use crate::schema::json::{self, Json};
use crate::schema::read::{self, Fields, Problem};
use crate::schema::wire::each;

/// A manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type; empty if it has no such key.
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, first to last.
    pub layers: Vec<Descriptor>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it is besides an image; empty if it has no such key.
    pub artifact_type: String,
}
/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Its operating system and architecture, by the names of the OCI image specification; `None` if it has none.
    pub platform: Option<(Os, Arch)>,
}
/// A manifest or an index, as a registry or layout gives one for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several, by platform.
    Index(Vec<IndexEntry>),
}

/// Reads a manifest or an index.
pub fn parse_document(json: &[u8]) -> Result<Document, Error> {
    read::json(json, |root| {
        let media_type = root.text("mediaType")?;
        // A document that could be taken for both would be another image for another reader (CVE-2021-41190).
        if root.has("manifests") && (root.has("config") || root.has("layers")) {
            return Err(Problem::Other("the document is both a manifest and an index".to_owned()));
        }
        if root.has("manifests") {
            return Ok(Document::Index(each(root, "manifests", index_entry)?));
        }
        let Some(config) = root.table("config")? else {
            return Err(Problem::Other("the document is no manifest and no index of images".to_owned()));
        };
        Ok(Document::Manifest(Manifest {
            media_type,
            config: descriptor(&config)?,
            layers: each(root, "layers", descriptor)?,
            annotations: texts_by_key(root, "annotations")?,
            artifact_type: root.text("artifactType")?,
        }))
    })
}

/// Writes a manifest, compact and without a newline.
pub fn render_manifest(manifest: &Manifest) -> Vec<u8> {
    let object = Object::new()
        .with("schemaVersion", 2)
        .with_any("mediaType", &manifest.media_type)
        .with("config", descriptor_json(&manifest.config))
        .with("layers", manifest.layers.iter().map(descriptor_json).collect::<Vec<_>>())
        .with_entries("annotations", &manifest.annotations)
        .with_any("artifactType", &manifest.artifact_type);
    json::render(&object.0).into_bytes()
}

fn digest(fields: &Fields<'_>) -> Result<Digest, Problem> {
    Digest::parse(&fields.text("digest")?).map_err(|error| Problem::Other(error.to_string()))
}

fn descriptor(fields: &Fields<'_>) -> Result<Descriptor, Problem> {
    Ok(Descriptor {
        media_type: fields.text("mediaType")?,
        size: fields.size("size")?,
        digest: digest(fields)?,
        urls: fields.texts("urls")?,
        annotations: texts_by_key(fields, "annotations")?,
    })
}

fn descriptor_json(descriptor: &Descriptor) -> Json {
    Object::new()
        .with("mediaType", descriptor.media_type.as_str())
        .with("size", descriptor.size)
        .with("digest", descriptor.digest.as_str())
        .with_list("urls", &descriptor.urls)
        .with_entries("annotations", &descriptor.annotations)
        .into()
}

fn index_entry(fields: &Fields<'_>) -> Result<IndexEntry, Problem> {
    let platform = fields
        .table("platform")?
        .map(|platform| Ok((platform.text("os")?.as_str().into(), platform.text("architecture")?.as_str().into())));
    Ok(IndexEntry { descriptor: descriptor(fields)?, platform: platform.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    #[test]
    fn writes_the_manifest_that_it_reads() {
        let text = format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"mm","config":{{"mediaType":"c","size":1,"digest":"{b}"}},"layers":[{{"mediaType":"m","#,
                r#""size":3,"digest":"{a}","urls":["https://x/?a\u0026b"],"annotations":{{"a":"2","b":"1"}}}}],"annotations":{{"k":"v"}},"artifactType":"t"}}"#
            ),
            a = sha("a"),
            b = sha("b")
        );
        let Ok(Document::Manifest(manifest)) = parse_document(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(String::from_utf8(render_manifest(&manifest)).unwrap(), text);
    }

    #[test]
    fn a_manifest_ignores_embedded_data_and_unknown_keys() {
        let text = format!(
            r#"{{"config":{{"size":0,"digest":"{}","data":"e30=","artifactType":"x"}},"layers":null,"subject":{{}}}}"#,
            sha("b")
        );
        let Ok(Document::Manifest(manifest)) = parse_document(text.as_bytes()) else { panic!("{text}") };
        assert_eq!((manifest.media_type.as_str(), manifest.layers.len()), ("", 0));
    }

    #[test]
    fn reads_an_index_with_its_platforms() {
        let text = format!(
            r#"{{"mediaType":"i","manifests":[{{"digest":"{0}","size":7,"platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}},{{"digest":"{0}"}}]}}"#,
            sha("c")
        );
        let Ok(Document::Index(entries)) = parse_document(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(entries[0].platform, Some((Os::Linux, Arch::ARM64)));
        assert_eq!((entries[0].descriptor.size, entries[1].platform.is_none()), (7, true));
    }

    #[test]
    fn refuses_documents_that_name_no_image() {
        let valid = sha("a");
        for text in [
            "{}".to_owned(),
            r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
            r#"{"config":{"digest":"sha512:00"}}"#.to_owned(),
            format!(r#"{{"config":{{"digest":"{valid}","size":-1}}}}"#),
            format!(r#"{{"config":{{"digest":"{valid}"}},"layers":[{{}}]}}"#),
            r#"{"manifests":[{}]}"#.to_owned(),
            r#"{"manifests":{}}"#.to_owned(),
            r#"{"manifests":[],"layers":[]}"#.to_owned(),
        ] {
            assert!(parse_document(text.as_bytes()).is_err(), "{text}");
        }
    }
}
