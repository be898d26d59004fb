//! Which modules may run at all: targets and execution environments.
//!
//! Clauses: buildpack.md#targets-2, buildpack.md#execution-environments, platform.md#detector.

use crate::api::{BuildpackApi, BuildpackFeature};
use crate::model::descriptor::Descriptor;
use crate::model::id::ModuleKind;
use crate::model::target::{Distro, ModuleTarget};

/// The stack whose buildpacks predate targets.
const BIONIC: &str = "io.buildpacks.stacks.bionic";

/// The targets that a module supports: those of its descriptor, or what older descriptors and the programs in its
/// folder say instead. `has` knows whether a file is in that folder. An empty list matches any target.
pub(super) fn targets(descriptor: &Descriptor, api: BuildpackApi, has: impl Fn(&str) -> bool) -> Vec<ModuleTarget> {
    if !descriptor.targets.is_empty() {
        return descriptor.targets.clone();
    }
    let linux = || ModuleTarget { os: "linux".to_owned(), ..ModuleTarget::default() };
    if descriptor.kind == ModuleKind::Extension {
        let runs = has("bin/detect") || has("bin/generate");
        return vec![if runs { linux() } else { ModuleTarget::default() }];
    }
    let bionic_counts = descriptor.stacks.len() == 1 || api.has(BuildpackFeature::BionicBesideOtherStacks);
    let stacks: Vec<ModuleTarget> = descriptor
        .stacks
        .iter()
        .filter_map(|stack| match stack.as_str() {
            BIONIC if bionic_counts => Some(bionic()),
            "*" => Some(ModuleTarget::default()),
            _ => None,
        })
        .collect();
    if stacks.is_empty() && has("bin/build") { vec![linux()] } else { stacks }
}

fn bionic() -> ModuleTarget {
    ModuleTarget {
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
        distros: vec![Distro { name: "ubuntu".to_owned(), version: "18.04".to_owned() }],
        ..ModuleTarget::default()
    }
}

/// Says whether a module supports an execution environment.
pub(super) fn supports_exec_env(descriptor: &Descriptor, api: BuildpackApi, current: &str) -> bool {
    let supported = &descriptor.exec_env;
    !api.has(BuildpackFeature::ExecEnv)
        || supported.is_empty()
        || supported.iter().any(|name| name == "*" || name == current)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{api, descriptor};
    use super::*;

    fn stacks(ids: &[&str]) -> Descriptor {
        Descriptor { stacks: ids.iter().map(|&id| id.to_owned()).collect(), ..descriptor("a@1") }
    }

    #[test]
    fn the_descriptors_own_targets_count() {
        let target = ModuleTarget { os: "windows".into(), ..ModuleTarget::default() };
        let module = Descriptor { targets: vec![target.clone()], ..stacks(&[BIONIC]) };
        assert_eq!(targets(&module, api("0.10"), |_| true), [target]);
    }

    #[test]
    fn the_bionic_stack_is_a_target_alone_and_from_0_10_on_beside_others() {
        assert_eq!(targets(&stacks(&[BIONIC]), api("0.9"), |_| true), [bionic()]);
        assert_eq!(targets(&stacks(&[BIONIC, "x"]), api("0.10"), |_| true), [bionic()]);
        assert_eq!(targets(&stacks(&[BIONIC, "x"]), api("0.9"), |_| false), []);
    }

    #[test]
    fn any_stack_is_any_target() {
        assert_eq!(targets(&stacks(&["*"]), api("0.9"), |_| true), [ModuleTarget::default()]);
    }

    #[test]
    fn programs_are_for_linux() {
        let linux = ModuleTarget { os: "linux".into(), ..ModuleTarget::default() };
        assert_eq!(targets(&stacks(&["x"]), api("0.9"), |file| file == "bin/build"), vec![linux.clone()]);
        assert_eq!(targets(&stacks(&[]), api("0.9"), |_| false), []);
        let extension = Descriptor { kind: ModuleKind::Extension, ..stacks(&[]) };
        assert_eq!(targets(&extension, api("0.9"), |file| file == "bin/generate"), [linux]);
        assert_eq!(targets(&extension, api("0.9"), |_| false), [ModuleTarget::default()]);
    }

    #[test]
    fn execution_environments_count_from_buildpack_api_0_12_on() {
        let module = Descriptor { exec_env: vec!["test".into(), "dev".into()], ..descriptor("a@1") };
        assert!(supports_exec_env(&module, api("0.12"), "test"));
        assert!(!supports_exec_env(&module, api("0.12"), "production"));
        assert!(supports_exec_env(&module, api("0.11"), "production"));
        assert!(supports_exec_env(&descriptor("a@1"), api("0.12"), "production"));
        let any = Descriptor { exec_env: vec!["*".into()], ..descriptor("a@1") };
        assert!(supports_exec_env(&any, api("0.12"), "production"));
    }
}
