//! The label with the metadata of the build. Clause: platform.md#iobuildpacksbuildmetadata-json.

use serde::Serialize;

use super::list;
use crate::api::{PlatformApi, PlatformFeature};
use crate::model::build_metadata::BuildMetadata;
use crate::model::launch::BomEntry;
use crate::model::order::GroupElement;
use crate::model::process::Process;
use crate::model::value::Value;
use crate::schema::Error;
use crate::schema::build_metadata::shown;
use crate::schema::json::{self, Json};
use crate::schema::value::to_json_or_null;

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
        processes: metadata
            .processes
            .as_ref()
            .map(|processes| processes.iter().map(|process| ShownProcess::of(process, api)).collect()),
        default_process_type: metadata.default_process_type.as_deref().unwrap_or_default(),
    }))
}

#[derive(Serialize)]
struct BuildLabel<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bom: Option<LegacyBom<'a>>,
    buildpacks: Option<Vec<Module<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Vec<Module<'a>>>,
    launcher: Launcher<'a>,
    processes: Option<Vec<ShownProcess<'a>>>,
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
pub(in crate::schema) struct LegacyBom<'a>(Option<Vec<LegacyEntry<'a>>>);

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
    pub(in crate::schema) fn of(entries: &'a [BomEntry]) -> Self {
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
    use crate::model::value::Table;

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
            processes: Some(vec![Process {
                r#type: "web".into(),
                command: vec!["run".into(), "x".into()],
                args: None,
                direct: true,
                working_dir: "/w".into(),
                exec_env: vec!["test".into()],
                buildpack_id: "b".into(),
                default: false,
            }]),
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
    fn an_empty_build_has_null_buildpacks_and_the_processes_of_its_document() {
        let rest = r#""buildpacks":null,"launcher":{"version":"1.2.3","source":{"git":{"repository":"r","commit":"c"}}},"processes":null}"#;
        assert_eq!(build("0.12", &BuildMetadata::default()), format!("{{{rest}"));
        assert_eq!(build("0.8", &BuildMetadata::default()), format!(r#"{{"bom":null,{rest}"#));
        let listed = BuildMetadata { processes: Some(vec![]), ..BuildMetadata::default() };
        assert_eq!(build("0.12", &listed), format!("{{{rest}").replace(r#""processes":null"#, r#""processes":[]"#));
    }
}
