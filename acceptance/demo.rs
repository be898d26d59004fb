//! `make demo`, which must work for a stranger: as root, and as an ordinary user.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::machine::copy_folder;
use crate::support::outcome::Outcome;
use crate::support::{builder, checkout, give, lifecycle_dir, scratch, tool};

/// What the demo shows, whoever runs it.
fn is_complete(outcome: Outcome) {
    outcome
        .exits(0)
        .says("Compiling hello")
        .says("Reusing the binary: the source has not changed")
        .says("Reusing layer 'samples/rust:app'")
        .says("Good day from a buildpack")
        .says("from a shell with the profile of samples/greeting")
        .says("count files")
        .says("The image is the OCI layout")
        .done();
}

#[test]
fn make_demo_works_as_root() {
    let temp = scratch();
    let mut make = clean("make");
    make.arg("demo").current_dir(checkout()).env("TMPDIR", temp.path());
    is_complete(Outcome::new("make demo".to_owned(), &make.output().unwrap()));
}

#[test]
fn the_demo_works_as_an_ordinary_user() {
    let (user, dir) = (builder(), scratch());
    let path = |name: &str| dir.path().join(name);
    let mut build = clean("cargo");
    tool(build.args(["build", "--locked", "--quiet", "--example", "demo"]).current_dir(checkout()));
    // The user may have no way into this checkout.
    for folder in ["apps", "buildpacks"] {
        copy_folder(&checkout().join("acceptance").join(folder), &path("checkout/acceptance").join(folder)).unwrap();
    }
    copy_folder(&lifecycle_dir(), &path("lifecycle")).unwrap();
    let target = std::env::current_exe().unwrap();
    let target = target.ancestors().nth(2).unwrap();
    fs::copy(target.join("examples/demo"), path("demo")).unwrap();
    fs::create_dir(path("home")).unwrap();
    let toolchain = user.toolchain(&path("toolchain")).unwrap();
    give(&path("checkout"), &user);
    give(&path("home"), &user);

    let mut demo = Command::new(path("demo"));
    demo.arg(path("lifecycle")).current_dir(path("checkout")).env_clear().uid(user.uid).gid(user.gid);
    demo.env("PATH", format!("{}:/usr/bin:/bin", toolchain.display()));
    demo.env("HOME", path("home")).env("TMPDIR", path("home"));
    is_complete(Outcome::new("demo, as an ordinary user".to_owned(), &demo.output().unwrap()));
}

/// A program that is told nothing of the cargo and make that run these tests: they would build everything again.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    #[expect(clippy::disallowed_methods, reason = "a test target has no other way to learn its environment")]
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| {
        let name = name.to_string_lossy();
        let is_setting = matches!(&*name, "CARGO_HOME" | "CARGO_TARGET_DIR");
        ["CARGO", "MAKE", "MFLAGS", "LD_LIBRARY_PATH", "RUSTUP_TOOLCHAIN"].iter().any(|start| name.starts_with(start))
            && !is_setting
    }) {
        command.env_remove(name);
    }
    command
}
