//! The labels with the metadata of layers: of an app image and of a cache.

use std::collections::BTreeMap;

use serde::Serialize;

use super::list;
use crate::model::app_metadata::{AppMetadata, CacheMetadata, RunImageMetadata, StoredBuildpack, StoredLayer};
use crate::model::digest::DiffId;
use crate::model::run_image::RunImageRef;
use crate::schema::analyzed::{Keys, metadata, stored_buildpack};
use crate::schema::json::{self, Json};
use crate::schema::value::{to_json, to_json_or_null};
use crate::schema::wire::{each, sha_text};
use crate::schema::{Error, read};

const JSON_KEYS: Keys = Keys { run_image: "runImage", top_layer: "topLayer", layer_data: "data" };

/// Reads `io.buildpacks.lifecycle.metadata`.
pub fn parse_app(json: &str) -> Result<AppMetadata, Error> {
    read::json(json.as_bytes(), |root| metadata(root, &JSON_KEYS))
}

/// Writes `io.buildpacks.lifecycle.metadata`.
pub fn render_app(metadata: &AppMetadata) -> Result<String, Error> {
    Ok(json::render(&AppLabel {
        app: list(metadata.app.iter().map(|app| Sha::of(Some(app))).collect()),
        sbom: metadata.sbom.as_ref().map(|sbom| Sha::of(Some(sbom))),
        buildpacks: list(metadata.buildpacks.iter().map(Stored::of).collect::<Result<_, _>>()?),
        config: Sha::of(metadata.config.as_ref()),
        launcher: Sha::of(metadata.launcher.as_ref()),
        process_types: Sha::of(metadata.process_types.as_ref()),
        run_image: RunImage::of(&metadata.run_image),
        stack: metadata.stack.as_ref().map(|stack| Stack { run_image: Names::of(stack) }),
    }))
}

/// Writes the same for an image that was rebased and had the label `before`: what that says of the app stays, also where
/// the model cannot hold it.
pub fn render_rebased(metadata: &AppMetadata, before: &str) -> Result<String, Error> {
    let json = |text: &str| serde_json::from_str::<Json>(text).map_err(|error| Error(error.to_string()));
    let mut label = json(&render_app(metadata)?)?;
    label["app"] = to_json_or_null(&read::json(before.as_bytes(), |root| Ok(root.value("app")))?);
    keep(&mut label, &json(before)?);
    Ok(json::render(&label))
}

/// Keeps texts that were no digests, and lists that were empty instead of absent.
fn keep(label: &mut Json, before: &Json) {
    match (label, before) {
        (Json::Object(label), Json::Object(before)) => {
            for (key, value) in label {
                if let Some(before) = before.get(key) {
                    keep(value, before);
                }
            }
        }
        (Json::Array(label), Json::Array(before)) => {
            label.iter_mut().zip(before).for_each(|(value, before)| keep(value, before));
        }
        (Json::String(label), Json::String(before)) if label.is_empty() => label.clone_from(before),
        (label @ Json::Null, Json::Array(before)) if before.is_empty() => *label = Json::Array(Vec::new()),
        _ => {}
    }
}

/// Writes `runImage` of `io.buildpacks.lifecycle.metadata` by itself, as messages show it.
pub fn render_run_image(run_image: &RunImageMetadata) -> String {
    json::render(&RunImage::of(run_image))
}

/// Writes `stack.runImage` by itself, as messages show it.
pub fn render_stack_run_image(names: &RunImageRef) -> String {
    json::render(&Names::of(names))
}

/// Reads the cache metadata; its `store` keys are dropped.
pub fn parse_cache(json: &str) -> Result<CacheMetadata, Error> {
    read::json(json.as_bytes(), |root| {
        let buildpacks = each(root, "buildpacks", |buildpack| stored_buildpack(buildpack, &JSON_KEYS))?;
        let buildpacks = buildpacks.into_iter().map(|buildpack| StoredBuildpack { store: None, ..buildpack });
        Ok(CacheMetadata { sbom: root.section("sbom")?.diff_id("sha")?, buildpacks: buildpacks.collect() })
    })
}

/// Writes the cache metadata, without a newline.
pub fn render_cache(metadata: &CacheMetadata) -> Result<String, Error> {
    Ok(json::render(&CacheLabel {
        sbom: Sha::of(metadata.sbom.as_ref()),
        buildpacks: list(metadata.buildpacks.iter().map(Stored::of).collect::<Result<_, _>>()?),
    }))
}

#[derive(Serialize)]
struct AppLabel<'a> {
    app: Option<Vec<Sha<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sbom: Option<Sha<'a>>,
    buildpacks: Option<Vec<Stored<'a>>>,
    config: Sha<'a>,
    launcher: Sha<'a>,
    #[serde(rename = "process-types")]
    process_types: Sha<'a>,
    #[serde(rename = "runImage")]
    run_image: RunImage<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Stack<'a>>,
}

#[derive(Serialize)]
struct CacheLabel<'a> {
    sbom: Sha<'a>,
    buildpacks: Option<Vec<Stored<'a>>>,
}

#[derive(Serialize)]
struct Sha<'a> {
    sha: &'a str,
}

impl<'a> Sha<'a> {
    fn of(sha: Option<&'a DiffId>) -> Self {
        Self { sha: sha_text(sha) }
    }
}

#[derive(Serialize)]
struct Stored<'a> {
    key: &'a str,
    version: &'a str,
    layers: BTreeMap<&'a str, Layer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Store>,
}

impl<'a> Stored<'a> {
    fn of(buildpack: &'a StoredBuildpack) -> Result<Self, Error> {
        let layers = buildpack.layers.iter().map(|(name, layer)| Ok((name.as_str(), Layer::of(layer)?)));
        let store = |store| Ok(Store { metadata: to_json(store)? });
        Ok(Self {
            key: &buildpack.key,
            version: &buildpack.version,
            layers: layers.collect::<Result<_, Error>>()?,
            store: buildpack.store.as_ref().map(store).transpose()?,
        })
    }
}

#[derive(Serialize)]
struct Store {
    metadata: Json,
}

#[derive(Serialize)]
struct Layer<'a> {
    sha: &'a str,
    data: Json,
    build: bool,
    launch: bool,
    cache: bool,
}

impl<'a> Layer<'a> {
    fn of(layer: &'a StoredLayer) -> Result<Self, Error> {
        Ok(Self {
            sha: sha_text(layer.sha.as_ref()),
            data: to_json(&layer.data)?,
            build: layer.types.build,
            launch: layer.types.launch,
            cache: layer.types.cache,
        })
    }
}

#[derive(Serialize)]
struct RunImage<'a> {
    #[serde(rename = "topLayer")]
    top_layer: &'a str,
    reference: &'a str,
    #[serde(flatten)]
    names: Names<'a>,
}

impl<'a> RunImage<'a> {
    fn of(metadata: &'a RunImageMetadata) -> Self {
        Self { top_layer: &metadata.top_layer, reference: &metadata.reference, names: Names::of(&metadata.names) }
    }
}

#[derive(Serialize)]
struct Stack<'a> {
    #[serde(rename = "runImage")]
    run_image: Names<'a>,
}

#[derive(Serialize)]
struct Names<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    image: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mirrors: &'a [String],
}

impl<'a> Names<'a> {
    fn of(names: &'a RunImageRef) -> Self {
        Self { image: &names.image, mirrors: &names.mirrors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layer::LayerTypes;
    use crate::model::value::Value;

    fn sha(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    #[test]
    fn writes_the_lifecycle_label_with_the_keys_of_the_reference() {
        let (a, b) = (sha("a"), sha("b"));
        let text = format!(
            concat!(
                r#"{{"app":[{{"sha":"{a}"}}],"sbom":{{"sha":"{b}"}},"buildpacks":[{{"key":"b/one","version":"1","layers":{{"#,
                r#""a.b":{{"sha":"","data":null,"build":false,"launch":false,"cache":false}},"#,
                r#""l":{{"sha":"{a}","data":{{"a":1,"f":1.5,"n":null,"t":{{"x":"y"}}}},"build":true,"launch":true,"cache":false}},"#,
                r#""s":{{"sha":"{b}","data":"\u003c\u0026\u003e","build":false,"launch":true,"cache":false}}}},"#,
                r#""store":{{"metadata":{{"k":"v"}}}}}},{{"key":"b/two","version":"2","layers":{{}}}}],"#,
                r#""config":{{"sha":"{a}"}},"launcher":{{"sha":"{b}"}},"process-types":{{"sha":""}},"#,
                r#""runImage":{{"topLayer":"t","reference":"r","image":"i","mirrors":["m"]}},"#,
                r#""stack":{{"runImage":{{"image":"i","mirrors":["m"]}}}}}}"#
            ),
            a = a,
            b = b
        );
        assert_eq!(render_app(&parse_app(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_rebased_label_says_of_the_app_what_it_said_before() {
        let before = concat!(
            r#"{"zz":{"a":1},"app":[{"sha":"x","more":1.0,"and":[]},{"sha":""}],"buildpacks":[{"key":"b","version":"1","#,
            r#""layers":{"l":{"sha":"y","data":{"a":null},"build":true,"launch":true,"cache":false}},"store":{}}],"#,
            r#""config":{"sha":"z"},"launcher":{"sha":"","other":2},"process-types":{},"#,
            r#""runImage":{"q":1,"topLayer":"old","reference":"old"}}"#
        );
        let mut metadata = parse_app(before).unwrap();
        metadata.run_image.top_layer = "new".into();
        metadata.run_image.reference = "new".into();
        let after = concat!(
            r#"{"app":[{"and":[],"more":1,"sha":"x"},{"sha":""}],"buildpacks":[{"key":"b","version":"1","#,
            r#""layers":{"l":{"sha":"y","data":{"a":null},"build":true,"launch":true,"cache":false}},"#,
            r#""store":{"metadata":null}}],"config":{"sha":"z"},"launcher":{"sha":""},"process-types":{"sha":""},"#,
            r#""runImage":{"topLayer":"new","reference":"new"}}"#
        );
        assert_eq!(render_rebased(&metadata, before).unwrap(), after);
        for empty in ["{}", "null", r#"{"app":[],"buildpacks":[]}"#] {
            let list = if empty.contains("app") { "[]" } else { "null" };
            let label = render_rebased(&parse_app(empty).unwrap(), empty).unwrap();
            assert!(label.starts_with(&format!(r#"{{"app":{list},"buildpacks":{list},"config""#)), "{label}");
        }
    }

    #[test]
    fn writes_null_for_what_is_empty_and_nothing_for_what_is_unknown() {
        assert_eq!(
            render_app(&AppMetadata::default()).unwrap(),
            concat!(
                r#"{"app":null,"buildpacks":null,"config":{"sha":""},"launcher":{"sha":""},"process-types":{"sha":""},"#,
                r#""runImage":{"topLayer":"","reference":""}}"#
            )
        );
        let stack = Some(RunImageRef::default());
        assert!(
            render_app(&AppMetadata { stack, ..AppMetadata::default() })
                .unwrap()
                .ends_with(r#","stack":{"runImage":{}}}"#)
        );
    }

    #[test]
    fn reads_labels_of_older_lifecycles() {
        for text in ["{}", "null", r#"{"app":null,"buildpacks":null,"config":{},"runImage":null,"unknown":[{}]}"#] {
            assert_eq!(parse_app(text), Ok(AppMetadata::default()), "{text}");
        }
    }

    #[test]
    fn refuses_labels_that_are_none() {
        for text in ["", "x", "[]", "{", r#"{"app":1}"#, r#"{"app":[1]}"#, r#"{"buildpacks":[{"layers":[]}]}"#, "{} {}"]
        {
            assert!(parse_app(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_an_error() {
        let layer = StoredLayer { sha: None, types: LayerTypes::default(), data: Value::Float(f64::NAN) };
        let layers = BTreeMap::from([("l".to_owned(), layer)]);
        let buildpacks = vec![StoredBuildpack { layers, ..StoredBuildpack::default() }];
        assert!(render_app(&AppMetadata { buildpacks: buildpacks.clone(), ..AppMetadata::default() }).is_err());
        assert!(render_cache(&CacheMetadata { sbom: None, buildpacks }).is_err());
    }

    #[test]
    fn a_store_without_metadata_is_a_store() {
        for store in [r#""store":{"metadata":null}"#, r#""store":{"metadata":{}}"#, r#""store":{}"#, r#""store":null"#]
        {
            let label = format!(r#"{{"buildpacks":[{{"key":"b",{store}}}]}}"#);
            let written = render_app(&parse_app(&label).unwrap()).unwrap();
            let expected = match store {
                r#""store":{}"# => r#","store":{"metadata":null}}],"#.to_owned(),
                r#""store":null"# => r#""layers":{}}],"#.to_owned(),
                _ => format!(",{store}}}],"),
            };
            assert!(written.contains(&expected), "{written}");
        }
    }

    #[test]
    fn the_cache_metadata_has_no_store() {
        let text = r#"{"buildpacks":[{"key":"b","version":"1","layers":{},"store":{"metadata":{"k":1}}}]}"#;
        let cache = parse_cache(text).unwrap();
        assert_eq!(
            render_cache(&cache).unwrap(),
            r#"{"sbom":{"sha":""},"buildpacks":[{"key":"b","version":"1","layers":{}}]}"#
        );
    }

    #[test]
    fn reads_pretty_printed_cache_metadata_with_a_newline() {
        let cache = parse_cache("{\n \"buildpacks\": [ {\"key\": \"b\"} ]\n}\n").unwrap();
        assert_eq!(cache.buildpacks[0].key, "b");
    }
}
