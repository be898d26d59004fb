//! metadata.toml. Clause: platform.md#metadatatoml-toml.

use super::json::{self, Json};
use super::read::{Fields, Problem, Wanted};
use super::wire::{bom_block, bom_entry, each, each_if_any, element, element_block, extension, label, slice};
use super::write::Block;
use super::{Error, read};
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
            processes: each_if_any(root, "processes", process)?,
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
    let document = match metadata.processes.as_deref() {
        None | Some([]) => document.texts("processes", &[]),
        Some(processes) => document.tables("processes", processes.iter().map(|process| process_block(process, api))),
    };
    document
        .tables("slices", slices)
        .text_if_any("buildpack-default-process-type", metadata.default_process_type.as_deref().unwrap_or_default())
        .render()
}

/// A process as a version of the Platform API shows it.
pub(super) struct Shown {
    /// The command: a text or a list of texts.
    pub(super) command: Json,
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
    // A JSON string is a TOML string, but for the one control character that JSON does not escape.
    let in_toml = |json: &Json| json::render(json).replace('\u{7f}', "\\u007f");
    let command = match command.as_array() {
        Some(words) => format!("[{}]", words.iter().map(in_toml).collect::<Vec<_>>().join(", ")),
        None => in_toml(&command),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn api(version: &str) -> PlatformApi {
        PlatformApi::negotiate(Some(version)).unwrap()
    }

    const TEXT: &str = r#"buildpack-default-process-type = "web"

[[buildpacks]]
  id = "b/one"
  version = "1.0.0"
  api = "0.12"
  homepage = "http://b-one"

[[extensions]]
  id = "e/one"
  version = "1.0.0"
  api = "0.10"

[[labels]]
  key = "k"
  value = "v"

[[processes]]
  type = "old"
  command = ["legacy cmd \u0026 \u003cx\u003e \"q\"", "b"]
  args = ["1"]
  direct = false
  buildpack-id = "b/two"
  working-dir = "/x"
  exec-env = ["test"]

[[processes]]
  type = "web"
  command = ["run"]
  direct = true
  buildpack-id = "b/one"

[[slices]]
  paths = ["s/*"]
"#;

    #[test]
    fn writes_what_it_reads() {
        let metadata = parse(TEXT).unwrap();
        let processes = metadata.processes.as_deref().unwrap();
        assert_eq!(processes[0].command, ["legacy cmd & <x> \"q\"", "b"]);
        assert_eq!(processes[1].args, None);
        assert_eq!(render(&metadata, api("0.10")), TEXT);
    }

    #[test]
    fn below_0_10_a_command_is_one_text_and_its_other_words_are_arguments() {
        let text = render(&parse(TEXT).unwrap(), api("0.9"));
        assert!(
            text.contains("  command = \"legacy cmd \\u0026 \\u003cx\\u003e \\\"q\\\"\"\n  args = [\"b\", \"1\"]\n"),
            "{text}"
        );
        assert!(text.contains("  command = \"run\"\n  args = []\n"), "{text}");
        let read = parse(&text).unwrap().processes.unwrap();
        assert_eq!(read[0].command, ["legacy cmd & <x> \"q\""]);
        assert_eq!(read[1].args.as_deref(), Some(&[][..]));
    }

    #[test]
    fn below_0_10_a_process_without_a_command_has_an_empty_one() {
        let metadata = BuildMetadata { processes: Some(vec![Process::default()]), ..BuildMetadata::default() };
        let expected =
            "[[processes]]\n  type = \"\"\n  command = \"\"\n  args = []\n  direct = false\n  buildpack-id = \"\"\n";
        assert_eq!(render(&metadata, api("0.9")), expected);
    }

    #[test]
    fn an_empty_build_still_lists_its_processes() {
        let none = BuildMetadata { default_process_type: Some("web".into()), ..BuildMetadata::default() };
        let expected = "processes = []\nbuildpack-default-process-type = \"web\"\n";
        let metadata = BuildMetadata { processes: Some(vec![]), ..none.clone() };
        for metadata in [&none, &metadata] {
            assert_eq!(render(metadata, api("0.12")), expected);
        }
        assert_eq!(parse(expected), Ok(metadata));
        assert_eq!(parse("buildpack-default-process-type = \"web\""), Ok(none));
    }

    #[test]
    fn the_bill_of_materials_ends_with_0_8() {
        let text = r#"processes = []

[[bom]]
  name = "n"
  [bom.metadata]
    a = 1
  [bom.buildpack]
    id = "b"
    version = "1"
"#;
        let metadata = parse(text).unwrap();
        assert_eq!(render(&metadata, api("0.8")), text);
        assert_eq!(render(&metadata, api("0.9")), "processes = []\n");
    }

    #[test]
    fn a_buildpack_stays_optional_and_an_extension_is_always_so() {
        let metadata = parse("[[buildpacks]]\nid = 'b'\noptional = true\n[[extensions]]\nid = 'e'\n").unwrap();
        assert!(metadata.buildpacks[0].optional && metadata.extensions[0].optional);
        let text = render(&metadata, api("0.12"));
        assert_eq!(text.matches("optional").count(), 1, "{text}");
    }

    #[test]
    fn a_command_of_another_type_is_an_error() {
        for command in ["1", "[1]", "{}"] {
            let error = parse(&format!("[[processes]]\ncommand = {command}")).unwrap_err().to_string();
            assert!(error.starts_with("toml: line 2 (last key \"processes.command\"): incompatible types"), "{error}");
        }
    }
}
