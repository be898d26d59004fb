//! Input that nobody should write: each ends with a clear line and the code that it has, never with a panic.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::launcher;
use crate::support::output;

const METADATA: &str = "[[buildpacks]]\nid = \"bp\"\napi = \"0.12\"\n[[processes]]\ntype = \"web\"\n\
                        command = [\"true\"]\ndirect = true\nbuildpack-id = \"bp\"\n";

/// An image with one layer and a process `web` that does nothing.
struct Image(tempfile::TempDir);

impl Image {
    fn new() -> Self {
        let image = Self(tempfile::Builder::new().prefix("launch-").tempdir_in("/tmp").unwrap());
        image.write("config/metadata.toml", METADATA);
        image
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        self.folder_of(name);
        fs::write(self.path(name), contents).unwrap();
    }

    fn folder_of(&self, name: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
    }

    /// Makes a link that leads to itself.
    fn cycle(&self, name: &str) {
        self.folder_of(name);
        let _ = fs::remove_file(self.path(name));
        symlink(self.path(name).file_name().unwrap(), self.path(name)).unwrap();
    }

    fn exec_d(&self, script: &str) {
        self.write("bp/layer/exec.d/program", format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path("bp/layer/exec.d/program"), Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, launcher: PathBuf) -> Command {
        let mut command = Command::new(launcher);
        command.arg0("web").env_clear().env("PATH", "/usr/bin:/bin").env("CNB_PLATFORM_API", "0.15");
        command.env("CNB_LAYERS_DIR", self.0.path()).env("CNB_APP_DIR", "/").env("CNB_NO_COLOR", "1");
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Starts `web`, which must fail with one line: `{root}` in it is the image's folder.
    #[track_caller]
    fn fails(&self, code: i32, text: &str) {
        self.ends(&mut self.command(launcher()), code, text);
    }

    #[track_caller]
    fn ends(&self, command: &mut Command, code: i32, text: &str) {
        let output = output(command).unwrap();
        let said = String::from_utf8(output.stdout).unwrap().replace(self.0.path().to_str().unwrap(), "{root}");
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with(&format!("ERROR: {text}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn the_image_starts_as_long_as_nothing_is_wrong() {
    let image = Image::new();
    image.exec_d("echo 'A = \"b\"' >&3");
    image.write("bp/layer/env/V.append", "x");
    assert!(image.command(launcher()).status().unwrap().success());
}

#[test]
fn metadata_that_ends_too_early_starts_nothing_or_says_where() {
    let image = Image::new();
    for end in 0..METADATA.len() {
        image.write("config/metadata.toml", &METADATA[..end]);
        let output = output(&mut image.command(launcher())).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let code = output.status.code().unwrap();
        // Whole lines make a document of their own, which may lack an API (12) or the process (82).
        let starts = ["failed to read metadata: toml: line ", "failed to parse buildpack API ", "failed to launch: "];
        let wanted = [1, 12, 82].into_iter().zip(starts).find(|(wanted, _)| *wanted == code);
        match wanted {
            Some((_, start)) => assert!(said.starts_with(&format!("ERROR: {start}")), "{end}: {said}"),
            None => assert!(code == 0 || said.contains("API version"), "{end}: {code} {said}"),
        }
    }
}

#[test]
fn hostile_metadata_is_refused() {
    let image = Image::new();
    for (contents, text) in [
        (b"\xff\xfe".to_vec(), "toml: line 1: invalid UTF-8 byte: 0xff"),
        (b"a = '\0'".to_vec(), "toml: line 1: "),
        (format!("a = {}", "[".repeat(1 << 20)).into_bytes(), "toml: line 1: "),
        (b"[[processes]]\ntype = 1\n".to_vec(), "toml: line 2 (last key \"processes.type\"): incompatible types"),
        (b"processes = 'web'".to_vec(), "toml: line 1 (last key \"processes\"): incompatible types"),
    ] {
        image.write("config/metadata.toml", contents);
        image.fails(1, &format!("failed to read metadata: {text}"));
    }
    File::create(image.path("config/metadata.toml")).unwrap().set_len(33 << 20).unwrap();
    image.fails(1, "failed to read metadata: read {root}/config/metadata.toml: more than 33554432 bytes");
}

#[test]
fn metadata_that_is_no_file_is_named() {
    let image = Image::new();
    let missing = "open {root}/config/metadata.toml: ";
    image.cycle("config/metadata.toml");
    image.fails(1, &format!("failed to read metadata: {missing}too many levels of symbolic links"));
    fs::remove_file(image.path("config/metadata.toml")).unwrap();
    image.fails(1, &format!("failed to read metadata: {missing}no such file or directory"));
    fs::create_dir(image.path("config/metadata.toml")).unwrap();
    image.fails(1, "failed to read metadata: read {root}/config/metadata.toml: is a directory");
}

#[test]
fn exec_d_output_that_is_too_long_or_no_table_of_strings_names_the_program() {
    let image = Image::new();
    let program = "exec.d file at path '{root}/bp/layer/exec.d/program': ";
    image.exec_d("head -c 10485760 /dev/zero | tr '\\0' ' ' >&3");
    image.fails(82, &format!("failed to launch: exec.d: failed to read output from {program}more than 8388608 bytes"));
    for (output, text) in [
        ("A =", "toml: line 1: "),
        ("A = 'x", "toml: line 1: "),
        ("\\377", "toml: line 1: invalid UTF-8 byte: 0xff"),
        ("\\nA = 1", "toml: line 2 (last key \"A\"): incompatible types: TOML value has type int64"),
        ("[A]", "toml: line 1 (last key \"A\"): incompatible types"),
    ] {
        image.exec_d(&format!("printf \"{output}\" >&3"));
        image.fails(82, &format!("failed to launch: exec.d: failed to decode output from {program}{text}"));
    }
}

#[test]
fn links_that_lead_to_themselves_are_named() {
    let looping = "too many levels of symbolic links";
    for (name, text) in [
        ("bp", "modify env: find buildpack directory: stat {root}/bp: "),
        ("bp/layer/bin", "modify env: add layer root: stat {root}/bp/layer/bin: "),
        (
            "bp/layer/env.launch",
            "modify env: add layer env: apply env files from dir '{root}/bp/layer/env.launch': open {root}/bp/layer/env.launch: ",
        ),
        (
            "bp/layer/env/V",
            "modify env: add layer env: apply env files from dir '{root}/bp/layer/env': stat {root}/bp/layer/env/V: ",
        ),
        (
            "bp/layer/exec.d",
            "exec.d: failed to list files in dir '{root}/bp/layer/exec.d': open {root}/bp/layer/exec.d: ",
        ),
        (
            "bp/layer/exec.d/x",
            "exec.d: failed to execute exec.d file at path '{root}/bp/layer/exec.d/x': fork/exec {root}/bp/layer/exec.d/x: ",
        ),
    ] {
        let image = Image::new();
        image.cycle(name);
        image.fails(82, &format!("failed to launch: {text}{looping}"));
    }
    let image = Image::new();
    image.cycle("app");
    let mut command = image.command(launcher());
    image.ends(
        command.env("CNB_APP_DIR", image.path("app")),
        82,
        &format!("failed to launch: change to app directory: chdir {{root}}/app: {looping}"),
    );
}

#[test]
fn what_this_user_may_not_read_is_named() {
    let image = Image::new();
    let (file, folder) = ("bp/layer/env/V", "bp/locked");
    image.write(file, "x");
    let ours = image.path("launcher");
    fs::hard_link(launcher(), &ours).or_else(|_| fs::copy(launcher(), &ours).map(drop)).unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    for name in ["", "config", "bp", "bp/layer", "bp/layer/env"] {
        fs::set_permissions(image.path(name), Permissions::from_mode(0o755)).unwrap();
    }
    let refused = |text: &str| {
        let mut command = image.command(ours.clone());
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        image.ends(&mut command, 82, &format!("failed to launch: modify env: {text}: permission denied"));
    };
    fs::set_permissions(image.path(file), Permissions::from_mode(0o000)).unwrap();
    let dir = "add layer env: apply env files from dir '{root}/bp/layer/env'";
    refused(&format!("{dir}: open {{root}}/{file}"));
    fs::set_permissions(image.path("bp/layer/env"), Permissions::from_mode(0o000)).unwrap();
    refused(&format!("{dir}: open {{root}}/bp/layer/env"));
    fs::create_dir(image.path(folder)).unwrap();
    fs::set_permissions(image.path(folder), Permissions::from_mode(0o000)).unwrap();
    refused(&format!("add layer root: stat {{root}}/{folder}/bin"));
    // So that the folder can be removed.
    for name in [folder, "bp/layer/env"] {
        fs::set_permissions(image.path(name), Permissions::from_mode(0o755)).unwrap();
    }
}
