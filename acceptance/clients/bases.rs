//! Builds and apps on images that have a C library and bash, busybox alone, or nothing at all.
//!
//! Catalogue 3, items 46, 47 and 54: the lifecycle and the launcher need nothing of the images that they are in.

use std::fs;
use std::process::Command;

use super::{Base, Client};
use crate::machine::copy_folder;
use crate::support::{checkout, tool};

/// A process of an old Buildpack API goes through the shell, for the profile scripts of its layers.
const OLD: &str = r#"#!/cnb/buildpacks/samples_static/0.1.0/bin/busybox sh
printf '[[processes]]\ntype = "old"\ncommand = "echo"\nargs = ["in $0"]\n' >"$CNB_LAYERS_DIR/launch.toml"
"#;

/// A client on this base whose buildpacks need nothing but the shell that one of them brings.
fn client(base: Base) -> Client {
    let client = Client::on(base);
    let buildpack = client.platform.path("buildpacks/samples_static/0.1.0");
    copy_folder(&checkout().join("acceptance/buildpacks/static"), &buildpack).unwrap();
    fs::copy("/bin/busybox", buildpack.join("bin/busybox"))
        .unwrap_or_else(|error| panic!("/bin/busybox: {error}; acceptance/install-packages installs busybox-static"));
    let write = |file: &str, text: &str| client.platform.write(&format!("buildpacks/samples_old/0.1.0/{file}"), text);
    write(
        "buildpack.toml",
        "api = \"0.8\"\n[buildpack]\nid = \"samples/old\"\nversion = \"0.1.0\"\n[[stacks]]\nid = \"*\"\n",
    );
    write("bin/detect", OLD.lines().next().unwrap());
    write("bin/build", OLD);
    tool(Command::new("chmod").args(["-R", "755"]).arg(client.platform.path("buildpacks/samples_old")));
    client.platform.order(&[("samples/static", "0.1.0"), ("samples/old", "0.1.0")]);
    client.platform.give("workspace");
    client
}

/// Builds as pack does: five containers for a registry, then the creator for a daemon; then runs what was built.
fn builds_and_runs(base: Base) {
    let client = client(base);
    let (app, run) = (client.registry.image("bases/app"), client.registry.image("run"));
    let env = ["--env=CNB_PLATFORM_API=0.15", "--env=CNB_EXEC_ENV=production"];
    let secure = [&env[..], &["--security-opt=no-new-privileges"]].concat();
    let root = [&secure[..], &["--env=CNB_REGISTRY_AUTH={}", "--user=0:0"]].concat();
    let owner = format!("--user={}", client.platform.owner());
    let user = [&secure[..], &[&owner, "--cap-drop=ALL"]].concat();
    for shell in ["Bringing", "Keeping"] {
        client.on_lifecycle(&root, &["/cnb/lifecycle/analyzer", "-run-image", &run, &app]).exits(0).done();
        client.on_builder(&user, &["/cnb/lifecycle/detector", "-app", "/workspace"]).exits(0).done();
        client.on_lifecycle(&root, &["/cnb/lifecycle/restorer", "-cache-dir", "/cache"]).exits(0).done();
        let built = client.on_builder(&user, &["/cnb/lifecycle/builder", "-app", "/workspace"]);
        built.exits(0).says(&format!("{shell} a shell").replace("Keeping a", "Keeping the")).done();
        let export = ["/cnb/lifecycle/exporter", "-app", "/workspace", "-cache-dir", "/cache", &app];
        client.on_lifecycle(&root, &export).exits(0).done();
    }
    client.fetch(&app, "app");
    client.daemon.pull(&app);

    client.platform.fresh_layers();
    client.daemon.pull(&run);
    fs::create_dir(client.platform.path("launch-cache")).unwrap();
    let (socket, launch_cache) = (client.socket(), client.volume("launch-cache", "/launch-cache"));
    let options = [&env[..], &[&socket, &launch_cache, "--security-opt=label=disable", "--user=0:0"]].concat();
    let create = ["/cnb/lifecycle/creator", "-daemon", "-launch-cache", "/launch-cache", "-app", "/workspace"];
    let create = [&create[..], &["-cache-dir", "/cache", "-run-image", &run, "bases/app"]].concat();
    client.on_builder(&options, &create).exits(0).says("Keeping the shell").done();

    let bash = base == Base::Glibc;
    let missing = ["failed to launch: bash exec: no such file or directory"];
    for app in [&app, "bases/app"] {
        client.daemon.run(app, &[], &[]).exits(0).says("process 1 in /workspace\n").done();
        let launcher = ["--entrypoint", "/cnb/lifecycle/launcher"];
        let id = client.daemon.run(app, &launcher, &["--", "busybox", "id", "-u"]).exits(0);
        assert_eq!(id.stdout.trim(), client.owner().0, "{base:?}");
        // What needs a shell needs bash.
        let old = client.daemon.run(app, &["--entrypoint", "/cnb/process/old"], &[]);
        let script = client.daemon.run(app, &launcher, &["echo in $0"]);
        for (shell, says) in [(old, "in echo\n"), (script, "in bash\n")] {
            if bash {
                shell.exits(0).says(says).done();
            } else {
                shell.exits(82).fails_with(&missing).done();
            }
        }
    }
}

#[test]
fn images_with_a_c_library_build_and_run() {
    builds_and_runs(Base::Glibc);
}

#[test]
fn images_of_busybox_alone_build_and_run_what_needs_no_bash() {
    builds_and_runs(Base::Busybox);
}

#[test]
fn empty_images_build_and_run_what_needs_no_bash() {
    builds_and_runs(Base::Empty);
}
