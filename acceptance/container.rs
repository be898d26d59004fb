//! The app from its image, pulled and run by a Docker daemon: the launcher where it works.
//!
//! Clause: platform.md#launcher, buildpack.md#environment.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::free_port;
use crate::support::platform::Platform;
use crate::support::registry::Registry;

#[test]
fn the_sample_app_answers_from_a_container() {
    let registry = Registry::plain();
    let platform = Platform::with_sample_app().run_image_in(&registry);
    let app = registry.image("hello");
    platform.create(&app, &[]).exits(0).done();
    let daemon = Daemon::start();
    daemon.pull(&app);
    let port = free_port();
    let container = daemon.serve(&app, &["--env", &format!("PORT={port}")]);
    let get = |path: &str| get(port, path).unwrap_or_else(|| panic!("no answer to {path}\n{}", container.log()));
    assert_eq!(get("/"), "Good day from a buildpack\n");
    let environment = get("/environment");
    for line in ["SAMPLE_IS_WEB=yes", "SAMPLE_BUILDPACKS=greeting"] {
        assert!(environment.lines().any(|found| found == line), "{environment}");
    }
    let started = format!("SAMPLE_STARTED_IN={}", platform.path("workspace").display());
    assert!(environment.lines().any(|found| found == started), "exec.d ran in the app's folder: {environment}");
}

#[test]
fn the_launcher_starts_processes_as_the_specification_says() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let app = registry.image("processes");
    platform.create(&app, &[]).exits(0).says("no default process type").done();
    let daemon = Daemon::start();
    daemon.pull(&app);

    // Without a default process, the entrypoint is the launcher itself, which needs a command.
    daemon.run(&app, &[], &[]).exits(82).says("when there is no default process a command is required").done();

    // A shell process: profile scripts, then variables.
    let shell = ["--entrypoint", "/cnb/process/shell"];
    daemon.run(&app, &shell, &[]).exits(0).says("Good day, from a shell with the profile of samples/greeting").done();
    // The image's user may replace a default.
    let replaced = ["--entrypoint", "/cnb/process/shell", "--env", "GREETING=Hello"];
    daemon.run(&app, &replaced, &[]).exits(0).says("Hello, from a shell").done();

    // A command behind `--` is started directly: layers and exec.d count, profiles do not, and the lifecycle's own
    // variables are gone.
    let env = daemon.run(&app, &[], &["--", "/usr/bin/env"]).exits(0).says("GREETING=Good day\n");
    let env = env.says("SAMPLE_BUILDPACKS=greeting\n").says("SAMPLE_STARTED_IN=");
    for gone in ["SAMPLE_PROFILE", "SAMPLE_IS_WEB", "CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PLATFORM_API", "/cnb/process"]
    {
        assert!(!env.stdout.contains(gone), "{gone} in {}", env.stdout);
    }
    // A command without `--` goes through bash.
    daemon.run(&app, &[], &["echo $SAMPLE_PROFILE"]).exits(0).says("profile of samples/greeting").done();

    // The process is the container's first, as the image's user, with its own exit code.
    daemon.run(&app, &[], &["--", "/bin/bash", "-c", "echo pid $$; exit 7"]).exits(7).says("pid 1\n").done();
    let id = daemon.run(&app, &[], &["--", "/usr/bin/id"]).exits(0);
    let (uid, gid) = platform.owner().split_once(':').map(|(uid, gid)| (uid.to_owned(), gid.to_owned())).unwrap();
    id.says(&format!("uid={uid}")).says(&format!("gid={gid}")).done();
    daemon.run(&app, &[], &["--", "no-such-program"]).exits(82).fails_with(&["failed to launch"]).done();
}

#[test]
fn a_process_that_was_chosen_for_the_image_is_its_entrypoint() {
    let registry = Registry::plain();
    let platform = Platform::new().run_image_in(&registry);
    let app = registry.image("chosen");
    platform.create(&app, &["-process-type=shell"]).exits(0).says("Setting default process type 'shell'").done();
    let daemon = Daemon::start();
    daemon.pull(&app);
    daemon.run(&app, &[], &[]).exits(0).says("Good day, from a shell").done();
}

/// Asks a server of 127.0.0.1, which may need time to listen.
fn get(port: u16, path: &str) -> Option<String> {
    let start = Instant::now();
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(_) if start.elapsed() < Duration::from_secs(20) => sleep(Duration::from_millis(50)),
            Err(_) => return None,
        }
    };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains("200 OK").then(|| body.to_owned())
}
