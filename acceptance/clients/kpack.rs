//! kpack: every phase on the builder image, by one user without any capability.
//!
//! Catalogue 3, section C6, items 52 and 53.

use super::{Client, is_reported};

#[test]
fn kpack_builds_with_one_user_and_no_capability() {
    let client = Client::new();
    let (app, run) = (client.registry.image("kpack/app"), client.registry.image("run"));
    for folder in ["layers", "workspace", "cache", "home", "report"] {
        client.platform.give(folder);
    }
    let (user, home, report) = (
        format!("--user={}", client.platform.owner()),
        client.volume("home", "/builder/home"),
        client.volume("report", "/var/report"),
    );
    let run_image = format!("--env=CNB_RUN_IMAGE={run}");
    let base = [
        user.as_str(),
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--env=CNB_PLATFORM_API=0.9",
        "--env=CNB_STACK_ID=com.example.demo",
    ];
    let phase = |more: &[&str], command: &[&str]| client.on_builder(&[&base[..], more].concat(), command).exits(0);
    let with_home = [home.as_str(), "--env=HOME=/builder/home"];
    for build in ["first", "second"] {
        let run_flag = format!("-run-image={run}");
        let analyze =
            ["/cnb/lifecycle/analyzer", "-layers=/layers", "-analyzed=/layers/analyzed.toml", &run_flag, &app];
        phase(&with_home, &analyze).done();
        let detect = ["-app=/workspace", "-group=/layers/group.toml", "-plan=/layers/plan.toml"];
        phase(&[], &[&["/cnb/lifecycle/detector"], &detect[..]].concat()).says("samples/greeting").done();
        let restore = [
            "/cnb/lifecycle/restorer",
            "-group=/layers/group.toml",
            "-layers=/layers",
            "-cache-dir=/cache",
            "-analyzed=/layers/analyzed.toml",
        ];
        phase(&with_home, &restore).done();
        let build_args = ["-layers=/layers", "-app=/workspace", "-group=/layers/group.toml", "-plan=/layers/plan.toml"];
        let bindings = ["--env=SERVICE_BINDING_ROOT=/platform/bindings"];
        phase(&bindings, &[&["/cnb/lifecycle/builder"], &build_args[..]].concat()).says("Greeting: Good day").done();
        let export = [
            "/cnb/lifecycle/exporter",
            "-layers=/layers",
            "-app=/workspace",
            "-group=/layers/group.toml",
            "-analyzed=/layers/analyzed.toml",
            "-project-metadata=/layers/project-metadata.toml",
            "-cache-dir=/cache",
            "-report=/var/report/report.toml",
            &app,
        ];
        let more = [&with_home[..], &[&report, &run_image, "--env=SOURCE_DATE_EPOCH=1700000000"]].concat();
        let exported = phase(&more, &export);
        if build == "second" {
            exported.says("Reusing layer 'samples/greeting:greeting'").done();
        }
        let image = client.fetch(&app, build);
        is_reported(&client.platform.path("report/report.toml"), &app, &image);
        assert_eq!(image.config["created"], "2023-11-14T22:13:20Z");
        let metadata = image.label("io.buildpacks.lifecycle.metadata");
        assert_eq!(metadata["stack"]["runImage"]["image"], run.as_str(), "kpack parses it as a reference");
        assert!(metadata["runImage"]["reference"].as_str().unwrap().starts_with(&format!("{run}@sha256:")));
    }
}
