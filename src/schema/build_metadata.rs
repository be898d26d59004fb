//! metadata.toml. Clause: platform.md#metadatatoml-toml.

use super::read::{Fields, Problem, Wanted};
use super::wire::{bom_block, bom_entry, each, element, element_block, extension, label, slice};
use super::write::Block;
use super::{Error, json, read};
use crate::api::{PlatformApi, PlatformFeature};
use crate::model::build_metadata::BuildMetadata;
use crate::model::id::ModuleKind;
use crate::model::process::Process;

/// Reads metadata.toml.
pub fn parse(text: &str) -> Result<BuildMetadata, Error> {
    read::toml(text, |root| {
        Ok(BuildMetadata {
            buildpacks: each(root, "buildpacks", element)?,
            extensions: each(root, "extensions", extension)?,
            processes: each(root, "processes", process)?,
            default_process_type: root
                .text_if_any("buildpack-default-process-type")?
                .filter(|process_type| !process_type.is_empty()),
            labels: each(root, "labels", label)?,
            slices: each(root, "slices", slice)?,
            bom: each(root, "bom", bom_entry)?,
        })
    })
}

/// Writes metadata.toml.
pub fn render(metadata: &BuildMetadata, api: PlatformApi) -> String {
    let bom = if api.has(PlatformFeature::BomInMetadata) { metadata.bom.as_slice() } else { &[] };
    let buildpacks = metadata.buildpacks.iter().map(|buildpack| {
        element_block(buildpack)
            .flag_if_set("extension", buildpack.kind == ModuleKind::Extension)
            .flag_if_set("optional", buildpack.optional)
    });
    let labels = metadata.labels.iter().map(|label| Block::new().text("key", &label.key).text("value", &label.value));
    let slices = metadata.slices.iter().map(|slice| Block::new().texts("paths", &slice.paths));
    let document = Block::new()
        .tables("bom", bom.iter().map(bom_block))
        .tables("buildpacks", buildpacks)
        .tables("extensions", metadata.extensions.iter().map(element_block))
        .tables("labels", labels);
    let document = if metadata.processes.is_empty() {
        document.texts("processes", &[])
    } else {
        document.tables("processes", metadata.processes.iter().map(|process| process_block(process, api)))
    };
    document
        .tables("slices", slices)
        .text_if_any("buildpack-default-process-type", metadata.default_process_type.as_deref().unwrap_or_default())
        .render()
}

/// A process as a version of the Platform API shows it.
pub(super) struct Shown {
    /// The command as JSON, which is the same in TOML.
    pub(super) command: super::json::Json,
    /// The arguments.
    pub(super) args: Option<Vec<String>>,
}

/// Brings command and arguments into the form of a Platform API version: where a command is one text, its other words
/// are the first arguments.
pub(super) fn shown(process: &Process, api: PlatformApi) -> Shown {
    if api.has(PlatformFeature::CommandLists) {
        return Shown { command: process.command.clone().into(), args: process.args.clone() };
    }
    let (command, words) = process.command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let args = words.iter().chain(process.args.iter().flatten()).cloned().collect();
    Shown { command: command.into(), args: Some(args) }
}

fn process(fields: &Fields<'_>) -> Result<Process, Problem> {
    let command = match fields.text_if_any("command") {
        Ok(command) => command.into_iter().collect(),
        Err(_) => fields.texts("command").map_err(|_| fields.mismatch("command", Wanted::Text))?,
    };
    Ok(Process {
        r#type: fields.text("type")?,
        command,
        args: fields.texts_if_any("args")?,
        direct: fields.flag("direct")?,
        default: fields.flag("default")?,
        working_dir: fields.text("working-dir")?,
        exec_env: fields.texts("exec-env")?,
        buildpack_id: fields.text("buildpack-id")?,
    })
}

fn process_block(process: &Process, api: PlatformApi) -> Block {
    let Shown { command, args } = shown(process, api);
    let command = match command.as_array() {
        Some(words) => format!("[{}]", words.iter().map(json::render).collect::<Vec<_>>().join(", ")),
        None => json::render(&command),
    };
    let block = Block::new().text("type", &process.r#type).raw("command", command);
    let block = match &args {
        Some(args) => block.texts("args", args),
        None => block,
    };
    block
        .flag("direct", process.direct)
        .flag_if_set("default", process.default)
        .text("buildpack-id", &process.buildpack_id)
        .text_if_any("working-dir", &process.working_dir)
        .texts_if_any("exec-env", &process.exec_env)
}
