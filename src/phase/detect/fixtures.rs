//! Modules as literals, for the tests of detection.

use std::path::PathBuf;

use crate::api::BuildpackApi;
use crate::model::descriptor::Descriptor;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::order::{GroupElement, OrderGroup};
use crate::model::plan::{DetectPlan, PlanSection, Require};

/// A required buildpack, from `<id>@<version>`.
pub(super) fn element(name: &str) -> GroupElement {
    let (id, version) = name.split_once('@').unwrap();
    GroupElement {
        kind: ModuleKind::Buildpack,
        id: ModuleId::parse(id).unwrap(),
        version: version.to_owned(),
        api: String::new(),
        homepage: String::new(),
        optional: false,
    }
}

/// An optional buildpack.
pub(super) fn optional(name: &str) -> GroupElement {
    GroupElement { optional: true, ..element(name) }
}

/// An extension.
pub(super) fn extension(name: &str) -> GroupElement {
    GroupElement { kind: ModuleKind::Extension, ..optional(name) }
}

/// A group of required buildpacks.
pub(super) fn group(elements: &[&str]) -> OrderGroup {
    OrderGroup { elements: elements.iter().map(|name| element(name)).collect() }
}

/// A buildpack's descriptor.
pub(super) fn descriptor(name: &str) -> Descriptor {
    let module = element(name);
    Descriptor {
        kind: module.kind,
        root: PathBuf::from("/no/such/folder"),
        api: "0.10".to_owned(),
        id: module.id,
        version: module.version,
        name: String::new(),
        homepage: String::new(),
        clear_env: false,
        exec_env: Vec::new(),
        sbom_formats: Vec::new(),
        order: Vec::new(),
        targets: Vec::new(),
        stacks: Vec::new(),
    }
}

/// A composite's descriptor.
pub(super) fn composite(name: &str, order: Vec<OrderGroup>) -> Descriptor {
    Descriptor { order, ..descriptor(name) }
}

/// A Buildpack API.
pub(super) fn api(version: &str) -> BuildpackApi {
    BuildpackApi::negotiate(Some(version)).unwrap()
}

/// `<id>@<version>` of each module.
pub(super) fn names(elements: &[GroupElement]) -> Vec<String> {
    elements.iter().map(ToString::to_string).collect()
}

/// A requirement without metadata.
pub(super) fn require(name: &str) -> Require {
    Require { name: name.to_owned(), version: None, metadata: None }
}

/// A plan from its alternatives, separated by `|`, each of `+provided` and `-required` names.
pub(super) fn plan(text: &str) -> DetectPlan {
    let section = |text: &str| {
        let mut section = PlanSection::default();
        for word in text.split_whitespace() {
            match word.split_at(1) {
                ("+", name) => section.provides.push(name.to_owned()),
                (_, name) => section.requires.push(require(name)),
            }
        }
        section
    };
    DetectPlan { alternatives: text.split('|').map(section).collect() }
}
