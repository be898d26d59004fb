//! Requests to registries and daemons are spans that say how often they were tried, and not where they went.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use super::{ON, own_spans, send};
use crate::support::{RUN_IMAGE, Registry, World};

/// The spans of requests, each as its name, result, error, status and retries.
fn requests(world: &World) -> Vec<String> {
    let spans = own_spans(world).into_iter().filter(|span| span["kind"] == 3);
    let shown = spans.map(|span| {
        let attribute = |pairs: &Value, key: &str| {
            let pairs = pairs.as_array().unwrap();
            let value = pairs.iter().find(|pair| pair["key"] == key).map(|pair| pair["value"].as_object().unwrap());
            value.map_or("-", |value| value.values().next().unwrap().as_str().unwrap()).to_owned()
        };
        let own = |key: &str| attribute(&span["attributes"], key);
        let retries = span["events"].as_array().unwrap().iter().map(|event| {
            assert_eq!(event["name"], "retry");
            let of = |key: &str| attribute(&event["attributes"], key);
            format!(" {}:{}", of("http.request.resend_count"), of("http.response.status_code"))
        });
        format!(
            "{} {} {} {}{}",
            span["name"].as_str().unwrap(),
            own("cicd.pipeline.task.run.result"),
            own("error.type"),
            own("http.response.status_code"),
            retries.collect::<String>()
        )
    });
    shown.collect()
}

#[test]
fn r24_requests_to_a_registry_tell_their_retries() {
    let world = World::new();
    let registry = Registry::start();
    registry.push(&world.layout(RUN_IMAGE), "run");
    registry.refuse_times("HEAD", "run/manifests", 503, 2);
    registry.refuse_times("GET", "run/manifests", 503, 2);
    let images = ["-run-image", &registry.image("run"), &registry.image("app")];
    world.run_with("analyzer", &images, &[ON, ("CNB_USE_LAYOUT", None)]).exits(0).done();
    let told = requests(&world);
    assert!(told.iter().any(|span| span.ends_with("manifest success - 200 1:503 2:503")), "{told:#?}");
    assert!(told.iter().any(|span| span == "GET manifest success - 404"), "no previous image is no error: {told:#?}");
    // One that is refused for good.
    let world = World::new();
    registry.refuse("GET", "run/blobs", 403);
    world.run_with("analyzer", &images, &[ON, ("CNB_USE_LAYOUT", None)]).done();
    let told = requests(&world);
    assert!(told.iter().any(|span| span == "GET blob error http 403"), "{told:#?}");
}

#[test]
fn r24_requests_to_a_daemon_are_told() {
    let world = World::new();
    let socket = world.path("tmp/daemon.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // It has no image at all.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    let asked = String::from_utf8_lossy(&buffer);
                    let (status, body) = if asked.contains("/images/") {
                        ("404 Not Found", r#"{"message":"no such image: canary"}"#)
                    } else {
                        ("200 OK", r#"{"ApiVersion":"1.44","Os":"linux","Architecture":"amd64","OSType":"linux"}"#)
                    };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nApi-Version: 1.44\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let host = format!("unix://{}", socket.display());
    let daemon = [ON, ("CNB_USE_LAYOUT", None), ("DOCKER_HOST", Some(host.as_str()))];
    world.run_with("analyzer", &["-daemon", "-run-image", "canary/run", "canary/app"], &daemon).done();
    let told = requests(&world);
    assert!(told.iter().any(|span| span.starts_with("GET image success - 404")), "{told:#?}");
    assert!(own_spans(&world).iter().all(|span| !span.to_string().contains("canary")));
}

/// A registry that takes connections and never answers.
#[test]
fn r17_a_request_that_waits_is_cancelled_with_its_phase() {
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        let world = World::new();
        let registry = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = registry.local_addr().unwrap();
        let images = ["-run-image", &format!("{host}/run"), &format!("{host}/app")];
        let analyzer = world.start("analyzer", &images, &[ON, ("CNB_USE_LAYOUT", None)]);
        let waiting = registry.accept().unwrap();
        send(signal, &analyzer.id().to_string());
        analyzer.outcome().exits(128 + number).done();
        drop(waiting);
        let told = requests(&world);
        assert!(!told.is_empty() && told.iter().all(|span| span.contains(" cancellation - -")), "{told:#?}");
        let phase = own_spans(&world).into_iter().find(|span| span["name"] == "analyze").unwrap();
        assert!(phase["attributes"].to_string().contains("cancellation"), "{phase}");
    }
}
