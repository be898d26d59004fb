//! Labels of app images and cache images: JSON inside the image configuration, in the reference's key order and escaping (policy P8).

use std::collections::BTreeMap;

use serde::Serialize;

use super::analyzed::{Keys, metadata, stored_buildpack};
use super::build_metadata::shown;
use super::json::{self, Json};
use super::value::{table_to_json, to_json, to_json_or_null};
use super::wire::{each, sha_in, sha_text};
use super::{Error, read};
use crate::api::{PlatformApi, PlatformFeature};
use crate::model::app_metadata::{AppMetadata, CacheMetadata, StoredBuildpack, StoredLayer};
use crate::model::build_metadata::BuildMetadata;
use crate::model::digest::DiffId;
use crate::model::launch::BomEntry;
use crate::model::order::GroupElement;
use crate::model::process::Process;
use crate::model::run_image::RunImageRef;
use crate::model::value::Value;

/// The label with the metadata of layers.
pub const LIFECYCLE_METADATA: &str = "io.buildpacks.lifecycle.metadata";
/// The label with the metadata of the build.
pub const BUILD_METADATA: &str = "io.buildpacks.build.metadata";
/// The label with the metadata of the source.
pub const PROJECT_METADATA: &str = "io.buildpacks.project.metadata";
/// The label with the metadata of a cache image.
pub const CACHE_METADATA: &str = "io.buildpacks.lifecycle.cache.metadata";
/// The label with the execution environment.
pub const EXEC_ENV: &str = "io.buildpacks.exec-env";

/// What the build metadata label says of this lifecycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleInfo {
    /// Its version.
    pub version: String,
    /// Where its source is.
    pub repository: String,
    /// Which commit it was built from.
    pub commit: String,
}

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
        run_image: RunImage {
            top_layer: &metadata.run_image.top_layer,
            reference: &metadata.run_image.reference,
            names: Names::of(&metadata.run_image.names),
        },
        stack: metadata.stack.as_ref().map(|stack| Stack { run_image: Names::of(stack) }),
    }))
}

/// Reads the cache metadata; its `store` keys are dropped.
pub fn parse_cache(json: &str) -> Result<CacheMetadata, Error> {
    read::json(json.as_bytes(), |root| {
        let buildpacks = each(root, "buildpacks", |buildpack| stored_buildpack(buildpack, &JSON_KEYS))?;
        let buildpacks = buildpacks.into_iter().map(|buildpack| StoredBuildpack { store: None, ..buildpack });
        Ok(CacheMetadata { sbom: sha_in(root, "sbom")?, buildpacks: buildpacks.collect() })
    })
}

/// Writes the cache metadata, without a newline.
pub fn render_cache(metadata: &CacheMetadata) -> Result<String, Error> {
    Ok(json::render(&CacheLabel {
        sbom: Sha::of(metadata.sbom.as_ref()),
        buildpacks: list(metadata.buildpacks.iter().map(Stored::of).collect::<Result<_, _>>()?),
    }))
}

/// Writes `io.buildpacks.build.metadata`.
pub fn render_build(metadata: &BuildMetadata, lifecycle: &LifecycleInfo, api: PlatformApi) -> Result<String, Error> {
    let bom = api.has(PlatformFeature::BomInMetadata).then(|| LegacyBom::of(&metadata.bom));
    Ok(json::render(&BuildLabel {
        bom,
        buildpacks: list(
            metadata.buildpacks.iter().map(|buildpack| Module::of(buildpack, buildpack.optional)).collect(),
        ),
        extensions: list(metadata.extensions.iter().map(|extension| Module::of(extension, false)).collect()),
        launcher: Launcher {
            version: &lifecycle.version,
            source: Source { git: Git { repository: &lifecycle.repository, commit: &lifecycle.commit } },
        },
        processes: metadata.processes.iter().map(|process| ShownProcess::of(process, api)).collect(),
        default_process_type: metadata.default_process_type.as_deref().unwrap_or_default(),
    }))
}

/// An empty list is `null`.
fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    if items.is_empty() { None } else { Some(items) }
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
        let store = |store| Ok(Store { metadata: table_to_json(store)? });
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

#[derive(Serialize)]
struct BuildLabel<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bom: Option<LegacyBom<'a>>,
    buildpacks: Option<Vec<Module<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Vec<Module<'a>>>,
    launcher: Launcher<'a>,
    processes: Vec<ShownProcess<'a>>,
    #[serde(rename = "buildpack-default-process-type", skip_serializing_if = "str::is_empty")]
    default_process_type: &'a str,
}

#[derive(Serialize)]
struct Module<'a> {
    id: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    homepage: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

impl<'a> Module<'a> {
    fn of(element: &'a GroupElement, optional: bool) -> Self {
        Self { id: element.id.as_str(), version: &element.version, homepage: &element.homepage, optional }
    }
}

#[derive(Serialize)]
struct Launcher<'a> {
    version: &'a str,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    git: Git<'a>,
}

#[derive(Serialize)]
struct Git<'a> {
    repository: &'a str,
    commit: &'a str,
}

#[derive(Serialize)]
struct ShownProcess<'a> {
    r#type: &'a str,
    command: Json,
    args: Option<Vec<String>>,
    direct: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(rename = "buildpackID")]
    buildpack_id: &'a str,
    #[serde(rename = "working-dir", skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(rename = "exec-env", skip_serializing_if = "<[_]>::is_empty")]
    exec_env: &'a [String],
}

impl<'a> ShownProcess<'a> {
    fn of(process: &'a Process, api: PlatformApi) -> Self {
        let shown = shown(process, api);
        Self {
            r#type: &process.r#type,
            command: shown.command,
            args: shown.args,
            direct: process.direct,
            default: process.default,
            buildpack_id: &process.buildpack_id,
            working_dir: &process.working_dir,
            exec_env: &process.exec_env,
        }
    }
}

/// A bill of materials of the time before SBOM files; `null` if it is empty.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct LegacyBom<'a>(Option<Vec<LegacyEntry<'a>>>);

#[derive(Serialize)]
struct LegacyEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    metadata: Json,
    buildpack: LegacySource<'a>,
}

#[derive(Serialize)]
struct LegacySource<'a> {
    id: &'a str,
    version: &'a str,
}

impl<'a> LegacyBom<'a> {
    /// Takes the entries; numbers that JSON cannot hold are `null`.
    pub(super) fn of(entries: &'a [BomEntry]) -> Self {
        let entry = |entry: &'a BomEntry| {
            let source = entry.buildpack.as_ref();
            LegacyEntry {
                name: &entry.name,
                version: entry.version.as_deref(),
                metadata: entry.metadata.clone().map_or(Json::Null, |table| to_json_or_null(&Value::Table(table))),
                buildpack: LegacySource {
                    id: source.map_or("", |source| source.id.as_str()),
                    version: source.map_or("", |source| source.version.as_str()),
                },
            }
        };
        Self(list(entries.iter().map(entry).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ModuleId, ModuleKind};
    use crate::model::launch::BomSource;
    use crate::model::run_image::RunImageRef;
    use crate::model::value::Table;

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
        let layer = StoredLayer { sha: None, types: Default::default(), data: Value::Float(f64::NAN) };
        let layers = BTreeMap::from([("l".to_owned(), layer)]);
        let buildpacks = vec![StoredBuildpack { layers, ..StoredBuildpack::default() }];
        assert!(render_app(&AppMetadata { buildpacks: buildpacks.clone(), ..AppMetadata::default() }).is_err());
        assert!(render_cache(&CacheMetadata { sbom: None, buildpacks }).is_err());
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

    fn metadata() -> BuildMetadata {
        let element = |id: &str, kind, optional| GroupElement {
            kind,
            id: ModuleId::parse(id).unwrap(),
            version: "1".into(),
            api: "0.10".into(),
            homepage: if optional { String::new() } else { "http://h?a&b".into() },
            optional,
        };
        let bom = BomEntry {
            name: "n".into(),
            version: None,
            metadata: Some(Table::from([("a".into(), Value::Int(1))])),
            buildpack: Some(BomSource { id: ModuleId::parse("b").unwrap(), version: "1".into() }),
        };
        BuildMetadata {
            buildpacks: vec![element("b", ModuleKind::Buildpack, false), element("o", ModuleKind::Buildpack, true)],
            extensions: vec![element("e", ModuleKind::Extension, true)],
            processes: vec![Process {
                r#type: "web".into(),
                command: vec!["run".into(), "x".into()],
                args: None,
                direct: true,
                working_dir: "/w".into(),
                exec_env: vec!["test".into()],
                buildpack_id: "b".into(),
                default: false,
            }],
            default_process_type: Some("web".into()),
            bom: vec![bom],
            ..BuildMetadata::default()
        }
    }

    fn build(api: &str, metadata: &BuildMetadata) -> String {
        let lifecycle = LifecycleInfo { version: "1.2.3".into(), repository: "r".into(), commit: "c".into() };
        render_build(metadata, &lifecycle, PlatformApi::negotiate(Some(api)).unwrap()).unwrap()
    }

    const MODULES: &str = concat!(
        r#""buildpacks":[{"id":"b","version":"1","homepage":"http://h?a\u0026b"},{"id":"o","version":"1","optional":true}],"#,
        r#""extensions":[{"id":"e","version":"1"}],"#,
        r#""launcher":{"version":"1.2.3","source":{"git":{"repository":"r","commit":"c"}}},"#
    );

    #[test]
    fn writes_the_build_label_of_each_platform_api() {
        let rest = r#""direct":true,"buildpackID":"b","working-dir":"/w","exec-env":["test"]}],"buildpack-default-process-type":"web"}"#;
        let list = format!(r#"{{{MODULES}"processes":[{{"type":"web","command":["run","x"],"args":null,{rest}"#);
        assert_eq!(build("0.10", &metadata()), list);
        let text = format!(r#"{MODULES}"processes":[{{"type":"web","command":"run","args":["x"],{rest}"#);
        assert_eq!(build("0.9", &metadata()), format!("{{{text}"));
        let bom = r#""bom":[{"name":"n","metadata":{"a":1},"buildpack":{"id":"b","version":"1"}}],"#;
        assert_eq!(build("0.8", &metadata()), format!("{{{bom}{text}"));
    }

    #[test]
    fn an_empty_build_has_null_buildpacks_and_a_list_of_processes() {
        let rest = r#""buildpacks":null,"launcher":{"version":"1.2.3","source":{"git":{"repository":"r","commit":"c"}}},"processes":[]}"#;
        assert_eq!(build("0.12", &BuildMetadata::default()), format!("{{{rest}"));
        assert_eq!(build("0.8", &BuildMetadata::default()), format!(r#"{{"bom":null,{rest}"#));
    }
}
