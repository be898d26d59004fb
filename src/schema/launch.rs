//! launch.toml. Clause: buildpack.md#launchtoml-toml.

use super::read::{Fields, Problem, Wanted};
use super::wire::{bom_entry, each, label, slice};
use super::{Error, read};
use crate::api::{BuildpackApi, BuildpackFeature};
use crate::model::launch::Launch;
use crate::model::process::Process;

/// Reads launch.toml of a buildpack of a Buildpack API version.
pub fn parse(text: &str, api: BuildpackApi) -> Result<Launch, Error> {
    read::toml(text, |root| {
        let launch = Launch {
            labels: each(root, "labels", label)?,
            processes: each(root, "processes", |fields| process(fields, api))?,
            slices: each(root, "slices", slice)?,
            bom: each(root, "bom", bom_entry)?,
        };
        if launch.processes.iter().filter(|process| process.default).count() > 1 {
            return Err(Problem::Other("multiple default process types aren't allowed".to_owned()));
        }
        Ok(launch)
    })
}

fn process(fields: &Fields<'_>, api: BuildpackApi) -> Result<Process, Problem> {
    let direct = fields.flag_if_any("direct")?;
    let (command, direct) = if api.has(BuildpackFeature::ProcessCommandLists) {
        if direct.is_some() {
            return Err(Problem::Other("process.direct is not supported on this buildpack version".to_owned()));
        }
        (fields.texts("command")?, true)
    } else {
        let command = fields.text_if_any("command")?.ok_or_else(|| fields.mismatch("command", Wanted::Text))?;
        (vec![command], direct.unwrap_or_default())
    };
    Ok(Process {
        r#type: fields.text("type")?,
        command,
        args: fields.texts_if_any("args")?,
        direct,
        default: fields.flag("default")?,
        working_dir: fields.text("working-dir")?,
        exec_env: fields.texts("exec-env")?,
        buildpack_id: String::new(),
    })
}
