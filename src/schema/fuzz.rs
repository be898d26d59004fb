//! No document makes a reader panic, and what a reader takes is the same when it was written and read again.

use std::path::Path;

use super::*;
use crate::api::{BuildpackApi, PlatformApi};
use crate::fuzz::parser;
use crate::model::id::ModuleKind;

const CASES: u32 = 400;

/// Reads texts as a document of this kind. What is no text is refused before it comes to a reader.
fn document(target: &str, read: impl Fn(&str)) {
    parser(target, CASES, &[], |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            read(text);
        }
    });
}

/// The same for a document that is written, too: what was read and written is read as the same.
fn written<T>(target: &str, parse: impl Fn(&str) -> Option<T>, render: impl Fn(&T) -> String) {
    document(target, |text| {
        if let Some(value) = parse(text) {
            let first = render(&value);
            let again = parse(&first).unwrap_or_else(|| panic!("cannot be read again: {first}"));
            assert_eq!(render(&again), first);
        }
    });
}

fn buildpack_apis() -> [BuildpackApi; 2] {
    ["0.8", "0.12"].map(|version| BuildpackApi::negotiate(Some(version)).unwrap())
}

#[test]
fn analyzed_toml() {
    written("analyzed", |text| analyzed::parse(text).ok(), analyzed::render);
}

#[test]
fn group_toml() {
    written("group", |text| group::parse(text).ok(), group::render);
}

#[test]
fn plan_toml() {
    written("plan", |text| plan::parse(text).ok(), plan::render);
}

#[test]
fn metadata_toml() {
    let api = PlatformApi::negotiate(Some("0.12")).unwrap();
    written("metadata", |text| build_metadata::parse(text).ok(), |metadata| build_metadata::render(metadata, api));
}

#[test]
fn order_toml() {
    document("order", |text| drop(order::parse(text)));
}

#[test]
fn system_toml() {
    document("system", |text| drop(order::parse_system(text)));
}

#[test]
fn descriptors() {
    document("descriptor", |text| {
        for kind in [ModuleKind::Buildpack, ModuleKind::Extension] {
            let _ = descriptor::parse(text, kind, Path::new("/"));
        }
    });
}

#[test]
fn layer_toml() {
    document("layer", |text| drop(layer::parse(text)));
}

#[test]
fn store_toml() {
    written("store", |text| layer::parse_store(text).ok(), layer::render_store);
}

#[test]
fn launch_toml() {
    document("launch", |text| buildpack_apis().into_iter().for_each(|api| drop(launch::parse(text, api))));
}

#[test]
fn build_toml() {
    document("build", |text| drop(build::parse(text)));
}

#[test]
fn build_plans() {
    document("build-plan", |text| drop(detect_plan::parse(text)));
}

#[test]
fn run_toml() {
    document("run", |text| drop(run_image::parse_run(text)));
}

#[test]
fn stack_toml() {
    document("stack", |text| drop(run_image::parse_stack(text)));
}

#[test]
fn project_metadata_toml() {
    document("project", |text| drop(project::to_label(text)));
}

#[test]
fn extend_config_toml() {
    document("extend-config", |text| drop(extend_config::parse(text)));
}

#[test]
fn dockerfiles() {
    document("dockerfile", |text| drop(dockerfile::parse(text)));
}

#[test]
fn labels() {
    document("label", |text| {
        if let Ok(metadata) = label::parse_app(text) {
            let first = label::render_app(&metadata).unwrap();
            assert_eq!(label::render_app(&label::parse_app(&first).unwrap()).unwrap(), first);
        }
        let _ = label::parse_mixins(text);
    });
}

#[test]
fn cache_metadata() {
    document("cache-metadata", |text| drop(label::parse_cache(text)));
}

#[test]
fn manifests_and_indexes() {
    parser("manifest", CASES, &[], |bytes| drop(image::parse_document(bytes)));
}

#[test]
fn image_configurations() {
    parser("config", CASES, &[], |bytes| {
        if let Ok(config) = image::parse_config(bytes) {
            let first = image::render_config(&config);
            assert_eq!(image::render_config(&image::parse_config(&first).unwrap()), first);
        }
    });
}

#[test]
fn answers_of_a_daemon() {
    parser("daemon-inspect", CASES, &[], |bytes| {
        let _ = image::parse_inspect(bytes);
        let _ = image::parse_history(bytes);
    });
}
