//! exec.d: programs of layers that write environment variables.
//!
//! Clause: buildpack.md#execd.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};

use super::exec::spawn;
use super::layers::{BuildpackLayers, ListError, each_file};
use super::toml::{self, Value};
use crate::model::env::Environment;
use crate::os::error_text;

/// Where a program writes its variables.
const OUTPUT: RawFd = 3;

/// The longest output that is read, in bytes. No system takes an environment of this length.
const LIMIT: u64 = 8 << 20;

/// An exec.d program failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecDError {
    /// A folder of programs cannot be listed.
    #[error("{0}")]
    List(#[from] ListError),
    /// The program could not be started, or ended badly.
    #[error("failed to execute exec.d file at path '{}': {cause}", path.display())]
    Execute {
        /// The program.
        path: PathBuf,
        /// What happened.
        cause: String,
    },
    /// The output could not be read.
    #[error("failed to read output from exec.d file at path '{}': {cause}", path.display())]
    Read {
        /// The program.
        path: PathBuf,
        /// What happened.
        cause: String,
    },
    /// The output is no table of strings.
    #[error("failed to decode output from exec.d file at path '{}': {cause}", path.display())]
    Decode {
        /// The program.
        path: PathBuf,
        /// Where and why.
        cause: toml::TomlError,
    },
}

/// Runs the programs of every layer, `exec.d` before `exec.d/<process type>`; each sees what those before it set.
///
/// # Errors
/// The first program that fails.
pub fn run_all(layers: &[BuildpackLayers], process_type: &str, env: &mut Environment) -> Result<(), ExecDError> {
    each_file(layers, "exec.d", process_type, &mut |program| {
        let output = run(&program, env)?;
        let variables = decode(&output).map_err(|cause| ExecDError::Decode { path: program, cause })?;
        variables.iter().for_each(|(name, value)| env.set(name, value));
        Ok(())
    })
}

/// Runs one program in the working directory and reads what it writes, until nobody can write any more.
///
/// # Errors
/// The program cannot be started or fails, or its output is too long.
pub fn run(program: &Path, env: &Environment) -> Result<Vec<u8>, ExecDError> {
    let failed = |cause: String| ExecDError::Execute { path: program.to_owned(), cause };
    let system = |what: &str, error: Errno| failed(format!("{what}: {}", error_text(&error.into())));
    let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
    if env.iter().any(|(name, value)| has_nul(name) || has_nul(value)) {
        return Err(failed("exec: environment variable contains NUL".into()));
    }

    let nothing = File::open("/dev/null").map_err(|error| failed(format!("open /dev/null: {}", error_text(&error))))?;
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| system("pipe2", error))?;
    // Standard input first: the file that stands for it may itself have the number 3 here.
    let descriptors = [(nothing.as_raw_fd(), 0), (writer.as_raw_fd(), OUTPUT)];
    let child = spawn(program, env, &descriptors)
        .map_err(|error| system(&format!("fork/exec {}", program.display()), error))?;
    drop(writer);

    let mut output = Vec::new();
    let read = File::from(reader).take(LIMIT + 1).read_to_end(&mut output);
    // The pipe is closed by now: a program that still writes ends.
    match waitpid(child, None).map_err(|error| system("waitid", error))? {
        _ if output.len() as u64 > LIMIT => {}
        WaitStatus::Exited(_, 0) => {}
        WaitStatus::Exited(_, code) => return Err(failed(format!("exit status {code}"))),
        WaitStatus::Signaled(_, signal, dumped) => {
            let dumped = if dumped { " (core dumped)" } else { "" };
            return Err(failed(format!("signal: {}{dumped}", signal_text(signal))));
        }
        _ => return Err(failed("stopped".into())),
    }
    let unread = |cause: String| ExecDError::Read { path: program.to_owned(), cause };
    read.map_err(|error| unread(error_text(&error)))?;
    if output.len() as u64 > LIMIT {
        return Err(unread(format!("more than {LIMIT} bytes")));
    }
    Ok(output)
}

/// Reads a table of strings.
///
/// # Errors
/// The output is no TOML, or has anything but strings.
pub fn decode(output: &[u8]) -> Result<Environment, toml::TomlError> {
    let mut variables = Environment::default();
    toml::read(output, &[], &mut |path: &[_], value: Value<'_>| match (path, value) {
        ([name], Value::String(_)) if variables.get(name.as_ref()).is_some() => Err(toml::defined_twice(name)),
        ([name], Value::String(text)) => {
            variables.set(name.as_ref(), text.as_ref());
            Ok(())
        }
        (_, other) => Err(other.is_no("string")),
    })?;
    Ok(variables)
}

/// The reference's names of signals.
fn signal_text(signal: Signal) -> String {
    let text = match signal {
        Signal::SIGHUP => "hangup",
        Signal::SIGINT => "interrupt",
        Signal::SIGQUIT => "quit",
        Signal::SIGILL => "illegal instruction",
        Signal::SIGTRAP => "trace/breakpoint trap",
        Signal::SIGABRT => "aborted",
        Signal::SIGBUS => "bus error",
        Signal::SIGFPE => "floating point exception",
        Signal::SIGKILL => "killed",
        Signal::SIGUSR1 => "user defined signal 1",
        Signal::SIGSEGV => "segmentation fault",
        Signal::SIGUSR2 => "user defined signal 2",
        Signal::SIGPIPE => "broken pipe",
        Signal::SIGALRM => "alarm clock",
        Signal::SIGTERM => "terminated",
        other => return format!("signal {}", other as i32),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn decoded(text: &str) -> Result<Environment, String> {
        decode(text.as_bytes()).map_err(|error| error.to_string())
    }

    /// The layer in a folder.
    fn layers(root: &tempfile::TempDir) -> [BuildpackLayers; 1] {
        [BuildpackLayers { dir: root.path().to_owned(), names: vec!["layer".into()] }]
    }

    /// A buildpack's folder that has a layer with these scripts.
    fn layer(scripts: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = root.path().join("layer").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        root
    }

    fn failure(script: &str) -> String {
        let layer = layer(&[("exec.d/p", script)]);
        let error = run_all(&layers(&layer), "", &mut Environment::default()).unwrap_err().to_string();
        error.replace(&format!("'{}/layer/exec.d/p'", layer.path().display()), "P")
    }

    #[test]
    fn decodes_a_table_of_strings() {
        assert_eq!(decoded(""), Ok(Environment::default()));
        let text = "A = \"1\\n\"\n# comment\n\"b c\" = '''\n2'''\n";
        assert_eq!(decoded(text), Ok([("A", "1\n"), ("b c", "2")].into_iter().collect()));
    }

    #[test]
    fn anything_but_strings_is_named() {
        let wrong = |kind: &str| {
            format!(
                "toml: line 1 (last key \"A\"): incompatible types: TOML value has type {kind}; destination has type string"
            )
        };
        for (text, kind) in [
            ("A = 1", "int64"),
            ("A = 0x1f", "int64"),
            ("A = 1.5", "float64"),
            ("A = true", "bool"),
            ("A = 1979-05-27", "time.Time"),
            ("A = []", "[]any"),
            ("A = {}", "map[string]any"),
            ("A.b = \"1\"", "map[string]any"),
            ("[A]", "map[string]any"),
            ("[[A]]", "[]map[string]any"),
        ] {
            assert_eq!(decoded(text), Err(wrong(kind)), "{text}");
        }
    }

    #[test]
    fn bad_toml_is_an_error_with_its_line() {
        let twice = "toml: line 2 (last key \"A\"): Key 'A' has already been defined.";
        assert_eq!(decoded("A = '1'\nA = '2'"), Err(twice.into()));
        for text in ["A", "A = ", "A = 'x", "= 1", "A = \"\\q\"", "A = 'x' B = 'y'", "A = '\0'"] {
            let error = decoded(text).unwrap_err();
            assert!(error.starts_with("toml: line 1"), "{text}: {error}");
        }
        let error = decode(b"A = 'x'\nB = '\xff'").unwrap_err();
        assert_eq!(error.to_string(), "toml: line 2: invalid UTF-8 byte: 0xff");
    }

    #[test]
    fn programs_run_in_order_and_see_what_those_before_them_set() {
        let script = "printf 'V = \"%s%s\"' \"$V\" \"${0##*/}\" >&3";
        let layer =
            layer(&[("exec.d/b", script), ("exec.d/a", script), ("exec.d/web/t", script), ("exec.d/x/n", script)]);
        let mut env = [("V", "0")].into_iter().collect();
        run_all(&layers(&layer), "web", &mut env).unwrap();
        assert_eq!(env.get("V"), Some(OsStr::new("0abt")));
    }

    #[test]
    fn a_program_has_no_input_and_only_its_environment() {
        let layer = layer(&[("exec.d/p", "printf 'IN = \"%s\"\\nHOME_IS = \"%s\"' \"$(cat)\" \"$HOME\" >&3")]);
        let mut env = Environment::default();
        run_all(&layers(&layer), "", &mut env).unwrap();
        assert_eq!(env.get("IN"), Some(OsStr::new("")));
        assert_eq!(env.get("HOME_IS"), Some(OsStr::new("")));
    }

    #[test]
    fn a_program_that_fails_is_named_with_the_reason() {
        assert_eq!(failure("exit 3"), "failed to execute exec.d file at path P: exit status 3");
        assert_eq!(failure("kill -9 $$"), "failed to execute exec.d file at path P: signal: killed");
        assert!(failure("echo 1 >&3").starts_with("failed to decode output from exec.d file at path P: toml: line 1"));
    }

    #[test]
    fn an_endless_output_is_an_error() {
        let text = failure("exec cat /dev/zero >&3");
        assert_eq!(text, "failed to read output from exec.d file at path P: more than 8388608 bytes");
    }

    #[test]
    fn what_cannot_be_executed_is_an_error() {
        let layer = layer(&[("exec.d/p", "")]);
        let path = layer.path().join("layer/exec.d/p");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = run(&path, &Environment::default()).unwrap_err().to_string();
        let path = path.display();
        let wanted = format!("failed to execute exec.d file at path '{path}': fork/exec {path}: permission denied");
        assert_eq!(error, wanted);
    }

    #[test]
    fn a_value_with_a_nul_byte_cannot_reach_a_program() {
        let layer = layer(&[("exec.d/p", "")]);
        let env = [("A", "\0")].into_iter().collect();
        let error = run(&layer.path().join("layer/exec.d/p"), &env).unwrap_err();
        assert!(error.to_string().ends_with(": exec: environment variable contains NUL"), "{error}");
    }

    #[test]
    fn fuzzed_output_is_read_as_another_reader_reads_it_or_refused() {
        use proptest::prelude::*;
        let words = ["A = ", "'a'", "\"\"\"", "\n", "\\u00e9", "[t]\n", "[", "]", "{", "}", "=", ".", "1"];
        crate::fuzz::documents("launch-exec-d", &words, |document| {
            let other = std::str::from_utf8(document).ok().and_then(|text| text.parse::<::toml::Table>().ok());
            let strings = other.as_ref().and_then(|table| {
                let pairs = table.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?)));
                pairs.collect::<Option<Vec<_>>>()
            });
            prop_assert_eq!(decode(document).ok(), strings.map(|pairs| pairs.into_iter().collect::<Environment>()));
            Ok(())
        });
    }
}
