//! The run image in a registry: how the analyzer chooses it, and how the restorer checks it.
//!
//! Clauses: platform.md#run-image-resolution, platform.md#restorer; catalogue 1, sections 1.9 and 4.2.

use crate::support::{Registry, World};

const IN_REGISTRY: (&str, Option<&str>) = ("CNB_USE_LAYOUT", None);

/// A world whose analysis chose an image in a registry that has nothing; run.toml has this text.
fn analyzed(api: &'static str, run_image: &str, run_toml: &str) -> World {
    let world = World::new().at(api);
    world.write("run.toml", run_toml);
    world.write("layers/group.toml", "");
    let target = "[run-image.target]\nos = \"linux\"\narch = \"amd64\"\n";
    let run_image = format!("[run-image]\nreference = \"{run_image}@sha256:1\"\nimage = \"{run_image}\"\n{target}");
    world.write("layers/analyzed.toml", &run_image);
    world
}

#[test]
fn from_0_14_on_a_listed_run_image_must_be_readable() {
    let registry = Registry::start();
    registry.refuse("GET", "/v2/run/manifests/", 401);
    registry.refuse("HEAD", "/v2/run/manifests/", 401);
    let (image, mirror) = (registry.image("run"), registry.image("mirror"));
    let listed = format!("[[images]]\nimage = \"{image}\"\nmirrors = [\"{mirror}\"]\n");
    let other = "[[images]]\nimage = \"a.io/other\"\n";
    let text = format!("ERROR: selected run image '{image}' is not accessible\n");
    for (api, run_toml, exit) in
        [("0.13", listed.as_str(), 0), ("0.14", &listed, 1), ("0.15", &listed, 1), ("0.14", other, 0), ("0.14", "", 0)]
    {
        let world = analyzed(api, &image, run_toml);
        let before = world.read("layers/analyzed.toml");
        registry.seen();
        let outcome = world.run_with("restorer", &["-log-level", "debug"], &[IN_REGISTRY]).exits(exit);
        let outcome = if exit == 1 { outcome.says(&text) } else { outcome.does_not_say("not accessible") };
        // No mirror takes its place: what the analyzer chose is checked and stays.
        assert!(registry.seen().iter().all(|request| !request.contains("mirror")), "{}", outcome.report());
        outcome.done();
        let [before, after] = [before, world.read("layers/analyzed.toml")].map(|text| text.parse::<toml::Table>());
        assert_eq!(before.unwrap()["run-image"], after.unwrap()["run-image"], "{api}");
    }
    // So it is with a mirror that the analyzer chose.
    registry.refuse("GET", "/v2/mirror/manifests/", 401);
    registry.refuse("HEAD", "/v2/mirror/manifests/", 401);
    let world = analyzed("0.15", &mirror, &listed);
    registry.seen();
    let outcome = world.run_with("restorer", &[], &[IN_REGISTRY]).exits(1);
    assert!(registry.seen().iter().all(|request| !request.contains("/v2/run/")), "{}", outcome.report());
    outcome.says(&format!("ERROR: selected run image '{mirror}' is not accessible\n")).done();
    // run.toml is read also where there is no run image to check.
    let world = analyzed("0.14", &image, "[[");
    world.write("layers/analyzed.toml", "");
    world.run("restorer", &[]).exits(1).says("ERROR: failed to read run file: toml: line 1").done();
    // An empty name is one like another.
    let world = analyzed("0.14", "", "[[images]]\nimage = \"\"\n");
    world.run_with("restorer", &[], &[IN_REGISTRY]).exits(1).says("selected run image '' is not accessible").done();
    // In a layout every name counts as accessible.
    let world = analyzed("0.14", &image, &listed);
    world.run("restorer", &[]).exits(0).done();
}

#[test]
fn a_run_image_of_which_no_candidate_can_be_read_is_exit_3() {
    let registry = Registry::start();
    for (api, file, text) in [
        ("0.11", "stack.toml", "[run-image]\nimage = \"IMAGE\"\n"),
        ("0.12", "run.toml", "[[images]]\nimage = \"IMAGE\"\n"),
    ] {
        let world = World::new().at(api);
        world.write(file, &text.replace("IMAGE", &registry.image("run")));
        let stack = world.path("stack.toml").display().to_string();
        let variables = [IN_REGISTRY, ("CNB_STACK_PATH", Some(stack.as_str()))];
        let outcome = world.run_with("analyzer", &[&registry.image("app")], &variables).exits(3);
        outcome.says("ERROR: failed to resolve inputs: failed to find accessible run image").done();
        assert!(!world.path("layers/analyzed.toml").exists());
    }
}

#[test]
fn a_mirror_on_the_registry_of_the_app_is_chosen_unless_it_is_not_there() {
    let (near, far) = (Registry::start(), Registry::start());
    let world = World::new();
    let run = format!("[[images]]\nimage = \"{}\"\nmirrors = [\"{}\"]\n", far.image("run"), near.image("run"));
    world.write("run.toml", &run);
    near.refuse("GET", "/v2/run/manifests/", 403);
    near.refuse("HEAD", "/v2/run/manifests/", 403);
    // Neither can be read: both are asked, the near one first, and the reason of each is told.
    let outcome = world.run_with("analyzer", &[&near.image("app")], &[IN_REGISTRY]).exits(3);
    let text = &outcome.stdout;
    let [first, second] = [near.image("run"), far.image("run")].map(|name| text.find(&format!("; {name}: ")).unwrap());
    assert!(first < second, "{}", outcome.report());
}

#[test]
fn a_restorer_with_extensions_and_no_run_image_says_so_or_goes_on() {
    for api in ["0.10", "0.11", "0.12", "0.15"] {
        let world = World::new().at(api);
        world.write(
            "layers/group.toml",
            "[[group]]\nid = \"a\"\nversion = \"1\"\napi = \"0.10\"\n\
             [[group-extensions]]\nid = \"e\"\nversion = \"1\"\napi = \"0.10\"\n",
        );
        // Nothing, an empty analysis, and one that names only a reference: the reference crashes on each.
        world.run("restorer", &[]).exits(0).says("No analyzed metadata found").done();
        world.write("layers/analyzed.toml", "");
        world.run("restorer", &[]).exits(0).done();
        let registry = Registry::start();
        let gone = format!("[run-image]\nreference = \"{}\"\n", registry.image("gone"));
        world.write("layers/analyzed.toml", &gone);
        let outcome = world.run_with("restorer", &[], &[IN_REGISTRY]).exits(1);
        outcome.says(&format!("ERROR: failed to get run image {}: not found", registry.image("gone"))).done();
    }
}
