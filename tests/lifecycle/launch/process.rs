//! What a started process is: the one that was started, with nothing of the launcher in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::launcher;
use crate::support::output;

/// A layers folder with a direct process and a shell process that run a script, and an exec.d program that runs one.
fn image(script: &str, exec_d: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    };
    write(
        "config/metadata.toml",
        "[[buildpacks]]\nid = 'bp'\napi = '0.12'\n[[processes]]\ntype = 'direct'\ncommand = ['sh', '-c', '. ./script']\n\
         direct = true\n[[processes]]\ntype = 'shell'\ncommand = '. ./script'\n",
    );
    write("script", script);
    write("bp/layer/env/V", "value");
    write("bp/layer/exec.d/program", &format!("#!/bin/sh\n{exec_d}\n"));
    root
}

fn command(launcher: &Path, image: &tempfile::TempDir, process: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(launcher);
    command.arg0(process).env_clear().env("PATH", "/usr/bin:/bin").env("CNB_PLATFORM_API", "0.15");
    command.env("CNB_LAYERS_DIR", image.path()).env("CNB_APP_DIR", image.path()).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> String {
    let output = output(command).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_process_and_an_exec_d_program_inherit_no_descriptor_of_the_launcher() {
    let list = "cd /proc/$$/fd; echo *";
    let image = image(list, list);
    for (process, shell) in [("direct", "sh"), ("shell", "bash")] {
        // What the shells have without the launcher: these tests themselves may have inherited some.
        let mut bare = Command::new(shell);
        let without = said(bare.args(["-c", ". ./script"]).current_dir(image.path()));
        let mut bare = Command::new("/bin/sh");
        let program_without = said(bare.args(["-c", "exec ./bp/layer/exec.d/program 3>&1"]).current_dir(image.path()));
        let with = said(&mut command(&launcher(), &image, process));
        assert_eq!(with, format!("{program_without}{without}"), "{process}");
    }
}

#[test]
fn signals_have_their_default_actions_and_none_is_blocked() {
    let image = image("grep -E 'Sig(Blk|Ign)' /proc/self/status", "");
    for process in ["direct", "shell"] {
        let mut bash = Command::new("/bin/bash");
        bash.args(["-c", "trap '' HUP INT QUIT USR1 USR2 PIPE ALRM TERM RTMIN+3 RTMAX; exec -a \"$1\" \"$0\""]);
        bash.arg(launcher()).arg(process).env_clear().env("PATH", "/usr/bin:/bin").env("CNB_PLATFORM_API", "0.15");
        bash.env("CNB_LAYERS_DIR", image.path()).env("CNB_APP_DIR", image.path());
        // SIGHUP and SIGINT stay ignored: `nohup` and background jobs mean it so.
        let found = said(&mut bash);
        let masks = found.lines().map(|line| line.split_once('\t').unwrap().1);
        // Signals 32 to 34 belong to C libraries.
        let masks: Vec<u64> = masks.map(|mask| u64::from_str_radix(mask, 16).unwrap() & !(7 << 31)).collect();
        assert_eq!(masks, [0, 3], "{process}: {found}");
    }
}

#[test]
fn the_process_is_the_one_that_was_started_and_has_no_children() {
    let image = image("echo $$ $PPID; cat /proc/$$/task/$$/children", "true");
    for process in ["direct", "shell"] {
        let child = command(&launcher(), &image, process).stdout(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let (first, children) = said.split_once('\n').unwrap();
        assert_eq!(first, format!("{id} {}", std::process::id()), "{process}");
        // `cat` is the only one.
        assert_eq!(children.split_whitespace().count(), 1, "{process}: {children}");
    }
}
