//! Spring Boot's plugins for Maven and Gradle: into the daemon, all from the builder image, with Platform API 0.14 at most.
//!
//! A builder that is trusted runs the creator. Another one runs phase by phase: with the daemon as root, without it as the
//! image's user.

use super::Client;
use crate::support::outcome::Outcome;

/// A client whose daemon has the run image, with the option for its socket.
fn client() -> Client {
    let client = Client::new();
    client.daemon.pull(&client.registry.image("run"));
    std::fs::create_dir(client.platform.path("launch-cache")).unwrap();
    client.platform.give("workspace");
    client
}

const APP: &str = "docker.io/library/spring:0.0.1-SNAPSHOT";

fn runs(client: &Client) {
    let shell = ["--entrypoint", "/cnb/process/shell"];
    client.daemon.run("spring:0.0.1-SNAPSHOT", &shell, &[]).exits(0).says("Good day, from a shell").done();
}

#[test]
fn spring_boot_builds_with_the_creator() {
    let client = client();
    let (run, socket) = (client.registry.image("run"), client.socket());
    let launch_cache = client.volume("launch-cache", "/launch-cache");
    let options = [
        "--user=root",
        &socket,
        &launch_cache,
        "--security-opt=label=disable",
        "--label=author=spring-boot",
        "--env=CNB_PLATFORM_API=0.14",
        "--env=SOURCE_DATE_EPOCH=1700000000",
    ];
    let create = |more: &[&str]| -> Outcome {
        let before = ["/cnb/lifecycle/creator", "-log-level", "debug", "-app", "/workspace", "-platform", "/platform"];
        let places = ["-run-image", &run, "-layers", "/layers", "-cache-dir", "/cache"];
        let daemon = ["-launch-cache", "/launch-cache", "-daemon"];
        client.on_builder(&options, &[&before[..], &places, &daemon, more, &[APP]].concat()).exits(0)
    };
    create(&[]).says("Adding layer 'samples/greeting:greeting'").done();
    runs(&client);
    client.platform.fresh_layers();
    create(&[]).says("Reusing layer 'samples/greeting:greeting'").done();
    // With `cleanCache` the volume of the cache is a new one.
    client.platform.fresh_layers();
    create(&["-skip-restore"]).done();
    runs(&client);
}

#[test]
fn spring_boot_builds_phase_by_phase_and_with_a_clean_cache_without_the_restorer() {
    let client = client();
    let (run, socket) = (client.registry.image("run"), client.socket());
    let launch_cache = client.volume("launch-cache", "/launch-cache");
    let owner = format!("--user={}", client.platform.owner());
    let base = ["--label=author=spring-boot", "--env=CNB_PLATFORM_API=0.14"];
    let user = [&base[..], &[owner.as_str()]].concat();
    let daemon = [&base[..], &["--user=root", &socket, "--security-opt=label=disable"]].concat();
    let caching = [&daemon[..], &[&launch_cache]].concat();
    for (restores, says) in [(true, "Adding"), (true, "Reusing"), (false, "Reusing")] {
        client.platform.fresh_layers();
        // As docker makes a volume where the image has no such folder.
        crate::support::tool(std::process::Command::new("chown").arg("0:0").arg(client.platform.path("layers")));
        let layers = ["-layers", "/layers"];
        let launch = ["-launch-cache", "/launch-cache"];
        let analyze = [&["/cnb/lifecycle/analyzer", "-daemon"], &launch[..], &layers, &["-run-image", &run, APP]];
        client.on_builder(&caching, &analyze.concat()).exits(0).done();
        let app = ["-app", "/workspace"];
        let platform = ["-platform", "/platform"];
        let detect = [&["/cnb/lifecycle/detector"], &app[..], &layers, &platform].concat();
        client.on_builder(&user, &detect).exits(0).done();
        if restores {
            let restore = [&["/cnb/lifecycle/restorer", "-daemon", "-cache-dir", "/cache"], &layers[..]].concat();
            client.on_builder(&daemon, &restore).exits(0).done();
        }
        let build = [&["/cnb/lifecycle/builder"], &app[..], &layers, &platform].concat();
        client.on_builder(&user, &build).exits(0).says("Greeting: Good day").done();
        let export =
            [&["/cnb/lifecycle/exporter", "-daemon"], &app[..], &["-cache-dir", "/cache"], &launch, &layers, &[APP]];
        let exported = client.on_builder(&caching, &export.concat()).exits(0);
        exported.says(&format!("{says} layer 'samples/greeting:greeting'")).done();
        runs(&client);
    }
}
