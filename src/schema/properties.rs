//! What holds for every document that is written: it is read back as what it was. What holds for every text is in `fuzz`.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::api::PlatformApi;
use crate::model::analyzed::{Analyzed, AnalyzedRunImage};
use crate::model::app_metadata::{AppMetadata, CacheMetadata, RunImageMetadata, StoredBuildpack, StoredLayer};
use crate::model::build_metadata::BuildMetadata;
use crate::model::digest::DiffId;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::launch::{Label, Slice};
use crate::model::layer::LayerTypes;
use crate::model::order::{Group, GroupElement};
use crate::model::plan::{Plan, PlanEntry, Provider, Require};
use crate::model::process::Process;
use crate::model::run_image::RunImageRef;
use crate::model::target::{Distro, RunTarget};
use crate::model::value::{Table, Value};

/// Text with everything that could need escaping.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/._-]{0,8}", any::<String>(), "[\\x00-\\x20\"'\\\\<&>\u{7f}\u{2028}\u{feff}=#\\[\\]]{0,6}"]
}

fn id() -> impl Strategy<Value = ModuleId> {
    text().prop_filter_map("no id", |text| ModuleId::parse(&text).ok())
}

fn diff_id() -> impl Strategy<Value = DiffId> {
    any::<[u8; 32]>().prop_map(|sha256| DiffId::from_sha256(&sha256))
}

/// Any value without null; floats have a fraction, as JSON has no other.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("no fraction", |number| number.fract() != 0.0).prop_map(Value::Float),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(text(), inner, 0..4).prop_map(Value::Table),
        ]
    })
}

fn table() -> impl Strategy<Value = Table> {
    btree_map(text(), value(), 0..4)
}

fn run_image() -> impl Strategy<Value = RunImageRef> {
    (text(), vec(text(), 0..3)).prop_map(|(image, mirrors)| RunImageRef { image, mirrors })
}

fn stored_layer() -> impl Strategy<Value = StoredLayer> {
    let data = prop_oneof![Just(Value::Null), table().prop_map(Value::Table), value()];
    let types = any::<(bool, bool, bool)>().prop_map(|(build, launch, cache)| LayerTypes { build, launch, cache });
    (option::of(diff_id()), types, data).prop_map(|(sha, types, data)| StoredLayer { sha, types, data })
}

fn store() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), table().prop_map(Value::Table)]
}

fn stored_buildpack() -> impl Strategy<Value = StoredBuildpack> {
    (text(), text(), btree_map(text(), stored_layer(), 0..3), option::of(store()))
        .prop_map(|(key, version, layers, store)| StoredBuildpack { key, version, layers, store })
}

fn app_metadata() -> impl Strategy<Value = AppMetadata> {
    let sha = || option::of(diff_id());
    let run_image_metadata = (text(), text(), run_image()).prop_map(|(top_layer, reference, names)| RunImageMetadata {
        top_layer,
        reference,
        names,
    });
    let parts = (
        vec(diff_id(), 0..3),
        sha(),
        vec(stored_buildpack(), 0..3),
        sha(),
        sha(),
        sha(),
        run_image_metadata,
        option::of(run_image()),
    );
    parts.prop_map(|(app, sbom, buildpacks, config, launcher, process_types, run_image, stack)| AppMetadata {
        app,
        sbom,
        buildpacks,
        config,
        launcher,
        process_types,
        run_image,
        stack,
    })
}

fn analyzed() -> impl Strategy<Value = Analyzed> {
    let distro = (text(), text()).prop_map(|(name, version)| Distro { name, version });
    let target = (text(), text(), text(), text(), option::of(distro))
        .prop_map(|(id, os, arch, variant, distro)| RunTarget { id, os, arch, variant, distro });
    let run_image = (text(), text(), any::<bool>(), option::of(target))
        .prop_map(|(reference, image, extend, target)| AnalyzedRunImage { reference, image, extend, target });
    (text(), option::of(text()), option::of(run_image), app_metadata(), vec(diff_id(), 0..3)).prop_map(
        |(previous_image, build_image, run_image, metadata, unsound_cache_layers)| Analyzed {
            previous_image,
            build_image,
            run_image,
            metadata,
            unsound_cache_layers,
        },
    )
}

fn element(kind: ModuleKind) -> impl Strategy<Value = GroupElement> {
    let optional = kind == ModuleKind::Extension;
    (id(), text(), text(), text()).prop_map(move |(id, version, api, homepage)| GroupElement {
        kind,
        id,
        version,
        api,
        homepage,
        optional,
    })
}

fn require() -> impl Strategy<Value = Require> {
    let version = option::of(text().prop_filter("empty", |version| !version.is_empty()));
    (text(), version, option::of(table())).prop_map(|(name, version, metadata)| Require { name, version, metadata })
}

fn plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![Just(ModuleKind::Buildpack), Just(ModuleKind::Extension)];
    let provider = (kind, id(), text()).prop_map(|(kind, id, version)| Provider { kind, id, version });
    let entry =
        (vec(provider, 0..3), vec(require(), 0..3)).prop_map(|(providers, requires)| PlanEntry { providers, requires });
    vec(entry, 0..4).prop_map(|entries| Plan { entries })
}

fn process() -> impl Strategy<Value = Process> {
    let words = || vec(text(), 0..3);
    let names = (text(), text(), text());
    (names, words(), option::of(words()), any::<(bool, bool)>(), words()).prop_map(
        |((kind, working_dir, buildpack_id), command, args, (direct, default), exec_env)| Process {
            r#type: kind,
            command,
            args,
            direct,
            default,
            working_dir,
            exec_env,
            buildpack_id,
        },
    )
}

fn build_metadata() -> impl Strategy<Value = BuildMetadata> {
    let label = (text(), text()).prop_map(|(key, value)| Label { key, value });
    let slice = vec(text(), 0..3).prop_map(|paths| Slice { paths });
    let parts = (
        vec(element(ModuleKind::Buildpack), 0..3),
        vec(element(ModuleKind::Extension), 0..3),
        vec(process(), 0..3),
        option::of("[a-z]{1,4}"),
        vec(label, 0..3),
        vec(slice, 0..3),
    );
    parts.prop_map(|(buildpacks, extensions, processes, default_process_type, labels, slices)| BuildMetadata {
        buildpacks,
        extensions,
        processes: Some(processes),
        default_process_type,
        labels,
        slices,
        bom: Vec::new(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn analyzed_toml_is_read_back(analyzed in analyzed()) {
        prop_assert_eq!(analyzed::parse(&analyzed::render(&analyzed)), Ok(analyzed));
    }

    #[test]
    fn group_toml_is_read_back(
        buildpacks in vec(element(ModuleKind::Buildpack), 0..4),
        extensions in vec(element(ModuleKind::Extension), 0..4),
    ) {
        let group = Group { buildpacks, extensions };
        prop_assert_eq!(group::parse(&group::render(&group)), Ok(group));
    }

    #[test]
    fn plan_toml_is_read_back(plan in plan()) {
        prop_assert_eq!(plan::parse(&plan::render(&plan)), Ok(plan));
    }

    #[test]
    fn metadata_toml_is_read_back(metadata in build_metadata()) {
        let api = PlatformApi::negotiate(Some("0.12")).unwrap();
        prop_assert_eq!(build_metadata::parse(&build_metadata::render(&metadata, api)), Ok(metadata));
    }

    #[test]
    fn the_lifecycle_label_is_read_back(metadata in app_metadata()) {
        let label = label::render_app(&metadata).unwrap();
        prop_assert_eq!(label.find(['<', '>', '&', '\n', '\u{2028}']), None);
        prop_assert_eq!(label::parse_app(&label), Ok(metadata));
    }

    #[test]
    fn the_cache_metadata_is_read_back(sbom in option::of(diff_id()), buildpacks in vec(stored_buildpack(), 0..3)) {
        let buildpacks = buildpacks.into_iter().map(|buildpack| StoredBuildpack { store: None, ..buildpack }).collect();
        let cache = CacheMetadata { sbom, buildpacks };
        prop_assert_eq!(label::parse_cache(&label::render_cache(&cache).unwrap()), Ok(cache));
    }

    #[test]
    fn a_store_is_read_back(store in store()) {
        prop_assert_eq!(layer::parse_store(&layer::render_store(&store)), Ok(store));
    }
}
