//! buildpack.toml and extension.toml. Clauses: buildpack.md#buildpacktoml-toml, image_extension.md#extensiontoml-toml.
//!
//! Targets are read as they are declared; which targets a module without any has is decided in `buildpack`.

use super::analyzed::{distro, variant};
use super::read::{Fields, Problem};
use super::wire::each;
use super::{Error, order, read};
use crate::model::descriptor::Descriptor;
use crate::model::id::{ModuleId, ModuleKind};
use crate::model::target::ModuleTarget;
use std::path::Path;

/// Reads buildpack.toml or extension.toml of the folder `root`.
pub fn parse(text: &str, kind: ModuleKind, root: &Path) -> Result<Descriptor, Error> {
    let table = match kind {
        ModuleKind::Buildpack => "buildpack",
        ModuleKind::Extension => "extension",
    };
    read::toml(text, |document| {
        let Some(info) = document.table(table)? else {
            return Err(Problem::Other(
                ModuleId::parse("").map_or_else(|error| error.to_string(), |id| id.to_string()),
            ));
        };
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
