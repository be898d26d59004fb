//! Arguments as clients write them, where that needs no container: catalogue 3, section C6, and the tasks of Tekton's
//! catalogue, which pass every parameter of theirs, also those that nobody set.

use crate::support::{APP_IMAGE, World};

#[test]
fn a_flag_with_an_empty_value_counts_as_not_given() {
    let world = World::new().at("0.13");
    world.buildpack("b", "0.10", "", "exit 0", "exit 0");
    world.order(&[&["b"]]);
    let (layers, app, platform) = (
        format!("-layers={}", world.path("layers").display()),
        format!("-app={}/", world.path("workspace").display()),
        format!("-platform={}", world.path("platform").display()),
    );
    let analyze = [
        "-log-level=info",
        &layers,
        "-run-image=",
        "-cache-image=",
        "-insecure-registry=",
        "-tag=",
        "-skip-layers=false",
        APP_IMAGE,
    ];
    world.run("analyzer", &analyze).exits(0).done();
    let (group, plan) = (
        format!("-group={}", world.path("layers/group.toml").display()),
        format!("-plan={}", world.path("layers/plan.toml").display()),
    );
    world.run("detector", &["-log-level=info", &app, &group, &plan, &layers, &platform]).exits(0).done();
    let restore =
        [group.as_str(), &layers, "-cache-dir=", "-cache-image=", "-insecure-registry=", "-skip-layers=false"];
    world.run("restorer", &restore).exits(0).done();
    world.run("builder", &[&app, &layers, &group, &plan, &platform]).exits(0).done();
    let launcher = format!("-launcher={}", world.path("bin/launcher").display());
    let export = [&app, &layers, &group, "-cache-dir=", "-cache-image=", "-process-type=", &launcher, APP_IMAGE];
    world.run("exporter", &export).exits(0).done();
    assert!(world.read("layers/report.toml").contains(APP_IMAGE));
}

#[test]
fn the_creator_takes_the_arguments_of_tektons_task() {
    let world = World::new().at("0.12");
    world.buildpack("b", "0.10", "", "exit 0", "exit 0");
    world.order(&[&["b"]]);
    let at = |flag: &str, name: &str| format!("-{flag}={}", world.path(name).display());
    let (app, layers, platform, report) = (
        at("app", "workspace/"),
        at("layers", "layers"),
        at("platform", "platform"),
        at("report", "layers/report.toml"),
    );
    let launcher = at("launcher", "bin/launcher");
    let previous = format!("-previous-image={APP_IMAGE}");
    let create = [
        &app,
        "-cache-dir=",
        "-cache-image=",
        &layers,
        &platform,
        &report,
        "-process-type=",
        "-skip-restore=false",
        &previous,
        "-run-image=",
        &launcher,
        APP_IMAGE,
    ];
    world.run("creator", &create).exits(0).done();
    assert!(world.read("layers/report.toml").contains(APP_IMAGE));
}
