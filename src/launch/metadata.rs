//! `<layers>/config/metadata.toml` as the launcher reads it: processes and buildpacks, and of them only what it needs.
//!
//! Clause: platform.md#metadatatoml-toml.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::toml::{self, TomlError, Value};
use crate::model::process::Process;
use crate::os::error_text;

/// The longest document that is read, in bytes: early platforms put a bill of materials into it.
const LIMIT: u64 = 32 << 20;

/// The keys that are read, of processes and of buildpacks.
const KEYS: [&str; 10] =
    ["type", "command", "args", "direct", "default", "working-dir", "exec-env", "buildpack-id", "id", "api"];

/// What the builder left for the launcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The processes, in the order of the document.
    pub processes: Vec<Process>,
    /// The buildpacks that contributed to the image, in their order.
    pub buildpacks: Vec<Contributor>,
}

/// A buildpack of the image, before negotiation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contributor {
    /// Its id.
    pub id: String,
    /// The Buildpack API that it declares.
    pub api: String,
}

/// The document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The system refuses.
    #[error("{verb} {}: {cause}", path.display())]
    Io {
        /// `open` or `read`.
        verb: &'static str,
        /// The document.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// The document is longer than anybody needs.
    #[error("read {}: more than {LIMIT} bytes", .0.display())]
    TooLong(PathBuf),
    /// The document is wrong.
    #[error(transparent)]
    Toml(#[from] TomlError),
}

/// Reads the document at `path`.
///
/// # Errors
/// It is missing, unreadable, too long or wrong.
pub fn read(path: &Path) -> Result<Metadata, MetadataError> {
    let failed =
        |verb: &'static str| move |error| MetadataError::Io { verb, path: path.to_owned(), cause: error_text(&error) };
    let file = File::open(path).map_err(failed("open"))?;
    let mut document = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut document).map_err(failed("read"))?;
    if document.len() as u64 > LIMIT {
        return Err(MetadataError::TooLong(path.to_owned()));
    }
    Ok(parse(&document)?)
}

/// Reads a document; `command` may be a string or a list, keys that are not known are ignored.
///
/// # Errors
/// The document is no TOML, or a known key has a value of the wrong type or is there twice.
pub fn parse(document: &[u8]) -> Result<Metadata, TomlError> {
    let mut reader = Reader::default();
    toml::read(document, &["processes", "buildpacks"], &mut |path, value| reader.visit(path, value))?;
    Ok(reader.metadata)
}

/// The document as far as it is read.
#[derive(Default)]
struct Reader {
    metadata: Metadata,
    /// A bit for each of [`KEYS`] that the present table has.
    seen: u16,
}

impl Reader {
    fn visit(&mut self, path: &[Cow<'_, str>], value: Value<'_>) -> Result<(), String> {
        let Some((list, below)) = path.split_first() else { return Ok(()) };
        let is_process = match list.as_ref() {
            "processes" => true,
            "buildpacks" => false,
            _ => return Ok(()),
        };
        match (below, value) {
            ([], Value::Array | Value::Tables) => {}
            ([], other) => return Err(other.is_no("slice")),
            ([_item], Value::Table) => {
                self.seen = 0;
                if is_process {
                    self.metadata.processes.push(Process::default());
                } else {
                    self.metadata.buildpacks.push(Contributor::default());
                }
            }
            ([_item], other) => {
                let wanted = if is_process { "Process" } else { "Buildpack" };
                let kind = other.kind();
                return Err(format!("type mismatch for launch.{wanted}: expected table but found {kind}"));
            }
            ([_item, key], value) => {
                let bit = KEYS.iter().position(|known| key == known).map_or(0, |index| 1 << index);
                if self.seen & bit != 0 {
                    return Err(toml::defined_twice(&toml::name(path)));
                }
                self.seen |= bit;
                if is_process {
                    self.process(key, value)?;
                } else {
                    self.buildpack(key, value)?;
                }
            }
            ([_item, key, _element], value) if is_process => self.element(key, value)?,
            _ => {}
        }
        Ok(())
    }

    fn process(&mut self, key: &str, value: Value<'_>) -> Result<(), String> {
        let Some(process) = self.metadata.processes.last_mut() else { return Ok(()) };
        match (key, value) {
            ("type", value) => process.r#type = string(value)?,
            ("working-dir", value) => process.working_dir = string(value)?,
            ("buildpack-id", value) => process.buildpack_id = string(value)?,
            ("direct", value) => process.direct = boolean(&value)?,
            ("default", value) => process.default = boolean(&value)?,
            ("command", Value::String(command)) => process.command = vec![command.into_owned()],
            ("command", Value::Array) => process.command.clear(),
            ("command", other) => return Err(format!("unknown command type {}", other.kind())),
            ("args", Value::Array) => process.args = Some(Vec::new()),
            ("exec-env", Value::Array) => process.exec_env.clear(),
            ("args" | "exec-env", other) => return Err(other.is_no("slice")),
            _ => {}
        }
        Ok(())
    }

    /// Takes an element of a list of a process.
    fn element(&mut self, key: &str, value: Value<'_>) -> Result<(), String> {
        let Some(process) = self.metadata.processes.last_mut() else { return Ok(()) };
        match key {
            "command" => process.command.push(string(value)?),
            "args" => process.args.get_or_insert_default().push(string(value)?),
            "exec-env" => process.exec_env.push(string(value)?),
            _ => {}
        }
        Ok(())
    }

    fn buildpack(&mut self, key: &str, value: Value<'_>) -> Result<(), String> {
        let Some(buildpack) = self.metadata.buildpacks.last_mut() else { return Ok(()) };
        match key {
            "id" => buildpack.id = string(value)?,
            "api" => buildpack.api = string(value)?,
            _ => {}
        }
        Ok(())
    }
}

fn string(value: Value<'_>) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.into_owned()),
        other => Err(other.is_no("string")),
    }
}

fn boolean(value: &Value<'_>) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(other.is_no("boolean")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_processes_and_buildpacks_and_ignores_the_rest() {
        let text = r#"
            [[buildpacks]]
            id = "a/b"
            version = "1"
            api = "0.10"
            homepage = "x"

            [[buildpacks]]
            id = "c"
            api = "0.8"

            [[processes]]
            type = "web"
            command = ["a", "b"]
            args = ["c"]
            direct = true
            default = true
            working-dir = "/d"
            buildpack-id = "a/b"
            exec-env = ["test", "*"]
            [processes.extra]
            type = "not this"

            [[processes]]
            type = "worker"
            command = "one two"
            direct = false

            [[slices]]
            paths = ["x"]
            [[bom]]
            name = "n"
            [bom.metadata]
            type = "not this"
            [launcher]
        "#;
        let web = Process {
            r#type: "web".into(),
            command: strings(&["a", "b"]),
            args: Some(strings(&["c"])),
            direct: true,
            default: true,
            working_dir: "/d".into(),
            exec_env: strings(&["test", "*"]),
            buildpack_id: "a/b".into(),
        };
        let worker = Process { r#type: "worker".into(), command: strings(&["one two"]), ..Process::default() };
        let buildpacks = [("a/b", "0.10"), ("c", "0.8")];
        let buildpacks = buildpacks.map(|(id, api)| Contributor { id: id.into(), api: api.into() });
        let wanted = Metadata { processes: vec![web, worker], buildpacks: buildpacks.to_vec() };
        assert_eq!(parse(text.as_bytes()), Ok(wanted));
    }

    #[test]
    fn reads_lists_written_in_line() {
        let found = parse(b"processes = [{type = 'a', args = []}, {type = 'b'}]\nbuildpacks = []").unwrap();
        assert_eq!(found.processes.iter().map(|process| process.r#type.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found.processes[0].args, Some(vec![]));
        assert_eq!(found.processes[1].args, None);
        assert_eq!(parse(b""), Ok(Metadata::default()));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        let wrong = |line: usize, key: &str, is: &str, wanted: &str| {
            format!(
                "toml: line {line} (last key \"{key}\"): \
                 incompatible types: TOML value has type {is}; destination has type {wanted}"
            )
        };
        assert_eq!(error("processes = 1"), wrong(1, "processes", "int64", "slice"));
        assert_eq!(error("[processes]"), wrong(1, "processes", "map[string]any", "slice"));
        assert_eq!(error("processes.a = 1"), wrong(1, "processes", "map[string]any", "slice"));
        assert_eq!(error("[[processes]]\ntype = 1"), wrong(2, "processes.type", "int64", "string"));
        assert_eq!(error("[[processes]]\ndirect = ''"), wrong(2, "processes.direct", "string", "boolean"));
        assert_eq!(error("[[processes]]\nargs = ''"), wrong(2, "processes.args", "string", "slice"));
        assert_eq!(error("[[processes]]\nargs = ['', 1]"), wrong(2, "processes.args", "int64", "string"));
        assert_eq!(error("[[buildpacks]]\nid = {}"), wrong(2, "buildpacks.id", "map[string]any", "string"));
        let command = "toml: line 2 (last key \"processes.command\"): unknown command type int64";
        assert_eq!(error("[[processes]]\ncommand = 1"), command);
        let table = "toml: line 1 (last key \"buildpacks\"): \
                     type mismatch for launch.Buildpack: expected table but found int64";
        assert_eq!(error("buildpacks = [1]"), table);
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error() {
        let wanted = "toml: line 3 (last key \"processes.type\"): Key 'processes.type' has already been defined.";
        assert_eq!(error("[[processes]]\ntype = 'a'\ntype = 'b'"), wanted);
    }

    #[test]
    fn a_truncated_document_is_an_error() {
        let text = "[[processes]]\ntype = \"web\"\ncommand = [\"a\", \"b\"]";
        for end in [1, 5, 12, 15, 20, 24, 30, 40, 45] {
            assert!(parse(&text.as_bytes()[..end]).is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn a_missing_document_and_a_folder_in_its_place_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("metadata.toml");
        let shown = path.display();
        let text = |path: &Path| read(path).unwrap_err().to_string();
        assert_eq!(text(&path), format!("open {shown}: no such file or directory"));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(text(&path), format!("read {shown}: is a directory"));
    }

    #[test]
    fn fuzzed_metadata_is_read_as_another_reader_reads_it_or_refused() {
        use proptest::prelude::*;
        let words = [
            "[[processes]]\n",
            "[[buildpacks]]\n",
            "type = ",
            "'a'",
            "[",
            "]",
            "{",
            "}",
            "\"\"\"",
            "\n",
            "=",
            ".",
            ",",
        ];
        crate::fuzz::documents("launch-metadata", &words, |document| {
            let other = std::str::from_utf8(document).ok().and_then(|text| text.parse::<::toml::Table>().ok());
            match (parse(document), other) {
                (Ok(found), Some(table)) => {
                    let texts = |list: &str, key: &str| -> Vec<String> {
                        let items = table.get(list).and_then(::toml::Value::as_array).into_iter().flatten();
                        items
                            .map(|item| item.get(key).and_then(::toml::Value::as_str).unwrap_or("").to_owned())
                            .collect()
                    };
                    let types: Vec<_> = found.processes.into_iter().map(|process| process.r#type).collect();
                    prop_assert_eq!(types, texts("processes", "type"));
                    let ids: Vec<_> = found.buildpacks.into_iter().map(|buildpack| buildpack.id).collect();
                    prop_assert_eq!(ids, texts("buildpacks", "id"));
                }
                // Sound TOML is refused for a value of the wrong type, which has a name.
                (Err(error), Some(_)) => prop_assert!(error.key.is_some(), "{}", error),
                (Err(error), None) => {
                    prop_assert!(error.line <= document.split(|byte| *byte == b'\n').count(), "{}", error);
                }
                // Tables that are defined twice go unnoticed.
                (Ok(_), None) => {}
            }
            Ok(())
        });
    }
}
