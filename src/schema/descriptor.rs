//! buildpack.toml and extension.toml. Clauses: buildpack.md#buildpacktoml-toml, image_extension.md#extensiontoml-toml.
//!
//! Targets are read as they are declared; which targets a module without any has is decided in `buildpack`.

use super::analyzed::{distro, variant};
use super::read::{Fields, Problem};
use super::wire::each;
use super::{Error, order, read};
use crate::model::descriptor::Descriptor;
use crate::model::id::ModuleKind;
use crate::model::target::ModuleTarget;
use std::path::Path;

/// Reads buildpack.toml or extension.toml of the folder `root`.
pub fn parse(text: &str, kind: ModuleKind, root: &Path) -> Result<Descriptor, Error> {
    let table = match kind {
        ModuleKind::Buildpack => "buildpack",
        ModuleKind::Extension => "extension",
    };
    read::toml(text, |document| {
        let info = document.section(table)?;
        let is_buildpack = kind == ModuleKind::Buildpack;
        Ok(Descriptor {
            kind,
            root: root.to_owned(),
            api: document.text("api")?,
            id: info.id("id")?,
            version: info.text("version")?,
            name: info.text("name")?,
            homepage: info.text("homepage")?,
            clear_env: info.flag("clear-env")?,
            exec_env: exec_env(&info)?,
            sbom_formats: if is_buildpack { info.texts("sbom-formats")? } else { Vec::new() },
            order: if is_buildpack { each(document, "order", order::group)? } else { Vec::new() },
            targets: each(document, "targets", target)?,
            stacks: if is_buildpack { each(document, "stacks", |stack| stack.text("id"))? } else { Vec::new() },
        })
    })
}

/// Reads execution environments: a list of names, else a list of tables with a `name` (policy P20).
fn exec_env(info: &Fields<'_>) -> Result<Vec<String>, Problem> {
    info.texts("exec-env").or_else(|problem| match each(info, "exec-env", |table| table.text("name")) {
        Ok(names) => Ok(names),
        Err(_) => Err(problem),
    })
}

fn target(fields: &Fields<'_>) -> Result<ModuleTarget, Problem> {
    Ok(ModuleTarget {
        os: fields.text("os")?,
        arch: fields.text("arch")?,
        variant: variant(fields)?,
        distros: each(fields, "distros", distro)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::target::Distro;

    fn read(text: &str, kind: ModuleKind) -> Result<Descriptor, Error> {
        parse(text, kind, Path::new("/cnb/buildpacks/x/1"))
    }

    #[test]
    fn reads_a_buildpack() {
        let text = r#"
            api = "0.12"
            [buildpack]
            id = "samples/a"
            name = "A"
            version = "1.2"
            homepage = "http://a"
            clear-env = true
            exec-env = ["production"]
            sbom-formats = ["application/spdx+json"]
            description = "unknown keys are ignored"
            [[buildpack.licenses]]
            type = "MIT"
            [[targets]]
            os = "linux"
            arch = "arm64"
            variant = "v8"
            distros = [{name = "ubuntu", version = "22.04"}, {name = "debian"}]
            [[targets]]
            arch-variant = "v7"
            [[stacks]]
            id = "*"
            [[order]]
            group = [{id = "b", version = "1", optional = true}, {id = "c"}]
        "#;
        let descriptor = read(text, ModuleKind::Buildpack).unwrap();
        assert_eq!(descriptor.root, Path::new("/cnb/buildpacks/x/1"));
        assert_eq!((descriptor.api.as_str(), descriptor.id.as_str()), ("0.12", "samples/a"));
        assert_eq!((descriptor.version.as_str(), descriptor.name.as_str()), ("1.2", "A"));
        assert!(descriptor.clear_env && descriptor.is_composite());
        assert_eq!(descriptor.exec_env, ["production"]);
        assert_eq!(descriptor.sbom_formats, ["application/spdx+json"]);
        assert_eq!(descriptor.stacks, ["*"]);
        assert_eq!(descriptor.targets[0].variant, "v8");
        assert_eq!(descriptor.targets[0].distros[1], Distro { name: "debian".into(), version: String::new() });
        assert_eq!(descriptor.targets[1].variant, "v7");
        let group = &descriptor.order[0].elements;
        assert!(group[0].optional && !group[1].optional);
    }

    #[test]
    fn reads_an_extension() {
        let text = "api = '0.10'\n[extension]\nid = 'e'\nversion = '1'\n[[targets]]\nos = 'linux'";
        let descriptor = read(text, ModuleKind::Extension).unwrap();
        assert_eq!((descriptor.kind, descriptor.id.as_str()), (ModuleKind::Extension, "e"));
        assert_eq!(descriptor.targets.len(), 1);
    }

    #[test]
    fn reads_execution_environments_as_names_and_as_tables() {
        for form in ["exec-env = ['a', 'b']", "[[buildpack.exec-env]]\nname = 'a'\n[[buildpack.exec-env]]\nname = 'b'"]
        {
            let descriptor = read(&format!("[buildpack]\nid = 'x'\n{form}"), ModuleKind::Buildpack).unwrap();
            assert_eq!(descriptor.exec_env, ["a", "b"], "{form}");
        }
        let error = read("[buildpack]\nid = 'x'\nexec-env = 1", ModuleKind::Buildpack).unwrap_err();
        assert_eq!(
            error.to_string(),
            "toml: line 3 (last key \"buildpack.exec-env\"): incompatible types: TOML value has type int64; destination has type slice"
        );
    }

    #[test]
    fn refuses_a_module_without_an_id() {
        for (text, kind) in [
            ("", ModuleKind::Buildpack),
            ("[buildpack]\nid = ''", ModuleKind::Buildpack),
            ("[buildpack]\nid = 'x'", ModuleKind::Extension),
        ] {
            let error = read(text, kind).unwrap_err();
            assert_eq!(error.to_string(), "'' cannot be the id of a buildpack or extension");
        }
    }
}
