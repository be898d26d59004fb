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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, api: &str) -> Result<Launch, String> {
        parse(text, BuildpackApi::negotiate(Some(api)).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_everything_that_a_buildpack_may_write() {
        let text = r#"
            [[labels]]
            key = "k"
            value = "v"
            [[processes]]
            type = "web"
            command = ["run", "it"]
            args = ["x"]
            default = true
            working-dir = "/w"
            exec-env = ["test"]
            [[processes]]
            type = "worker"
            [[slices]]
            paths = ["a", "b"]
            [[bom]]
            name = "n"
            version = "1"
        "#;
        let launch = read(text, "0.12").unwrap();
        assert_eq!(launch.labels[0].value, "v");
        assert_eq!(launch.slices[0].paths, ["a", "b"]);
        assert_eq!(launch.bom[0].version.as_deref(), Some("1"));
        let web = Process {
            r#type: "web".into(),
            command: vec!["run".into(), "it".into()],
            args: Some(vec!["x".into()]),
            direct: true,
            default: true,
            working_dir: "/w".into(),
            exec_env: vec!["test".into()],
            buildpack_id: String::new(),
        };
        assert_eq!(launch.processes[0], web);
        assert_eq!((launch.processes[1].command.len(), &launch.processes[1].args), (0, &None));
    }

    #[test]
    fn a_command_is_text_below_0_9_and_a_list_from_then_on() {
        let process = |rest: &str| format!("[[processes]]\ntype = 'x'\n{rest}");
        let old = read(&process("command = 'a b'"), "0.8").unwrap().processes.remove(0);
        assert_eq!((old.command, old.direct), (vec!["a b".to_owned()], false));
        assert!(read(&process("command = 'a b'\ndirect = true"), "0.8").unwrap().processes[0].direct);
        let mismatch = "toml: line 3 (last key \"processes.command\"): incompatible types: TOML value has type";
        assert_eq!(
            read(&process("command = ['a']"), "0.8"),
            Err(format!("{mismatch} []any; destination has type string"))
        );
        assert_eq!(
            read(&process("command = 'a'"), "0.9"),
            Err(format!("{mismatch} string; destination has type slice"))
        );
        assert!(
            read(&process(""), "0.8").unwrap_err().ends_with("TOML value has type <nil>; destination has type string")
        );
    }

    #[test]
    fn direct_is_no_key_from_0_9_on() {
        let text = "[[processes]]\ntype = 'x'\ncommand = ['a']\ndirect = false";
        assert_eq!(read(text, "0.9"), Err("process.direct is not supported on this buildpack version".to_owned()));
    }

    #[test]
    fn one_process_may_be_the_default() {
        let text = "[[processes]]\ntype = 'x'\ndefault = true\n[[processes]]\ntype = 'y'\ndefault = true";
        assert_eq!(read(text, "0.9"), Err("multiple default process types aren't allowed".to_owned()));
    }
}
