//! What comes from a registry, in all its ways to fail.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::super::fake::Fault;
use super::super::retry::Pause;
use super::*;
use crate::effect::events::{Note, Outcome, SessionEvent, Work};
use crate::image::conforms::read;
use crate::image::sha256;

#[test]
fn missing_is_missing_and_denied_is_denied() {
    let world = World::new();
    assert_eq!(world.images.open(&world.name("none")).unwrap(), Opened::Missing);
    assert_eq!(world.images.open(&world.name("run:none")).unwrap(), Opened::Missing);
    world.registry.fault("GET", "/v2/run/manifests/", Fault::Answer(404, "", "a page\n".to_owned()));
    assert_eq!(world.images.open(&world.name("run")).unwrap(), Opened::Missing);
    world.images.check_read(&world.name("none")).unwrap();
    for (status, denied) in [(401, true), (403, true), (400, false)] {
        world.registry.fault("GET", "/v2/run/manifests/", Fault::Answer(status, "", "Unauthorized.\n".to_owned()));
        let error = world.error("run");
        assert_eq!((error.denied, error.retryable), (denied, false), "{status}");
        assert!(error.message.starts_with(&format!("GET http://{}/v2/run/manifests/latest: ", world.registry.address)));
    }
    world.registry.fault("HEAD", "/v2/run/manifests/", Fault::Answer(401, "", String::new()));
    let error = world.images.check_read(&world.name("run")).unwrap_err();
    assert_eq!(
        error.message,
        format!(
            "HEAD http://{}/v2/run/manifests/latest: unexpected status code 401 Unauthorized (HEAD responses have no body, use GET for details)",
            world.registry.address
        )
    );
    for status in [400, 405, 418] {
        world.registry.fault("HEAD", "/v2/run/manifests/", Fault::Answer(status, "", String::new()));
        world.images.check_write(&world.name("run")).expect("whoever opens it hears why");
    }
    let body = r#"{"errors":[{"code":"DENIED","message":"denied"}]}"#.to_owned();
    world.registry.fault("POST", "/v2/run/blobs/uploads/", Fault::Answer(403, "", body));
    let error = world.images.check_write(&world.name("run")).unwrap_err();
    assert_eq!(error.message, format!("POST http://{}/v2/run/blobs/uploads/: DENIED: denied", world.registry.address));
    assert!(error.denied);
}

#[test]
fn tries_again_what_may_pass() {
    let world = World::new();
    let fault = |fault: Fault| world.registry.fault("GET", "/v2/run/manifests/", fault);
    fault(Fault::Answer(503, "", String::new()));
    fault(Fault::Answer(429, "Retry-After: 7", String::new()));
    fault(Fault::Hangup);
    fault(Fault::CutAnswer(20));
    found(&world.images, &world.name("run"));
    let slept: Vec<u128> = world.pause.slept.lock().unwrap().iter().map(std::time::Duration::as_millis).collect();
    assert_eq!(slept, [150, 7000, 600, 1200]);
    let heard = world.heard.0.lock().unwrap();
    let notes: Vec<_> =
        heard.iter().filter_map(|event| if let Event::Note { note, .. } = event { Some(note) } else { None }).collect();
    let retry = |attempt, status| Note::Retry { attempt, status };
    assert_eq!(notes, [&retry(1, Some(503)), &retry(2, Some(429)), &retry(3, None), &retry(4, None)]);
    let begun = heard.iter().filter(|event| matches!(event, Event::Begin { work: Work::Request { .. }, .. })).count();
    let ended = heard.iter().filter(|event| matches!(event, Event::End { outcome: Outcome::Success, .. })).count();
    // Ping, manifest, configuration.
    assert_eq!((begun, ended), (3, 3));
}

#[test]
fn who_is_busy_or_broken_gives_no_access() {
    for status in [429, 500] {
        let world = World::new();
        let busy = |method, target| {
            for _ in 0..6 {
                world.registry.fault(method, target, Fault::Answer(status, "", String::new()));
            }
        };
        let expected = format!("unexpected status code {status}");
        busy("HEAD", "/v2/run/manifests/");
        let error = world.images.check_read(&world.name("run")).unwrap_err();
        assert!(error.message.contains(&expected), "{error}");
        world.images.check_read(&world.name("run")).unwrap();
        busy("POST", "/v2/run/blobs/uploads/");
        let error = world.images.check_write(&world.name("run")).unwrap_err();
        assert!(error.message.contains(&expected), "{error}");
        world.images.check_write(&world.name("run")).unwrap();
    }
}

#[test]
fn gives_up_in_the_end() {
    let world = World::new();
    world.run();
    for _ in 0..6 {
        world.registry.fault("GET", "/v2/run/manifests/", Fault::Answer(500, "", "oops".to_owned()));
    }
    let error = world.error("run");
    assert!(error.retryable);
    assert!(error.message.ends_with("unexpected status code 500 Internal Server Error: oops"), "{error}");
    assert_eq!(world.registry.seen().len(), 6);
    for status in [429, 503] {
        for _ in 0..6 {
            world.registry.fault("HEAD", "/v2/run/manifests/", Fault::Answer(status, "", String::new()));
        }
        assert!(world.images.check_read(&world.name("run")).unwrap_err().retryable, "{status}");
    }
}

#[test]
fn what_is_not_what_its_digest_says_is_refused() {
    let world = World::new();
    let run = world.run();
    let other = Fault::Answer(200, "Content-Type: application/json", r#"{"other":1}"#.to_owned());
    world.registry.fault("GET", "/v2/run/manifests/sha256:", other.clone());
    let error = world.images.open(&run.identifier).unwrap_err();
    assert!(error.message.contains("but the content is"), "{error}");
    world.registry.fault("GET", "/v2/run/blobs/", other);
    assert!(world.error("run").message.contains("but the content is"));
    world.registry.fault("GET", "/v2/run/manifests/latest", Fault::Answer(200, "", "<html>".to_owned()));
    assert!(world.error("run").message.contains("the answer is no image manifest"), "{}", world.error("run"));
    let large = "x".repeat((4 << 20) + 1);
    world.registry.fault("GET", "/v2/run/manifests/latest", Fault::Answer(200, "", large));
    assert!(world.error("run").message.contains("the answer is larger than 4194304 bytes"));
    let digest = run.layers[0].descriptor.clone().unwrap().digest;
    let bytes = vec![0; usize::try_from(run.layers[0].descriptor.as_ref().unwrap().size).unwrap()];
    world.registry.state().blobs.insert(("run".to_owned(), digest.to_string()), bytes);
    let layer = world.images.layer(&run, &run.layers[0].diff_id).unwrap().read_to_end(&mut Vec::new());
    assert!(layer.is_err());
}

#[test]
fn an_image_without_configuration_is_corrupt() {
    let world = World::new();
    world.registry.fault("GET", "/v2/run/blobs/", Fault::Answer(404, "", String::new()));
    let Opened::Corrupt(reason) = world.images.open(&world.name("run")).unwrap() else { panic!("not corrupt") };
    assert!(reason.starts_with("config sha256:") && reason.ends_with(" is missing"), "{reason}");
}

#[test]
fn chooses_the_platform_of_an_index() {
    let world = World::new();
    let run = world.run();
    let digest = run.identifier.rsplit_once('@').unwrap().1.to_owned();
    let entry = |digest: &str, arch: &str| {
        format!(r#"{{"size":1,"digest":"{digest}","platform":{{"os":"linux","architecture":"{arch}"}}}}"#)
    };
    let other = sha256::digest(b"other");
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        entry(other.as_str(), "arm64"),
        entry(&digest, "amd64")
    );
    let media_type = "application/vnd.oci.image.index.v1+json".to_owned();
    world.registry.state().manifests.insert(("run".to_owned(), "multi".to_owned()), (media_type, index.into_bytes()));
    let image = found(&world.images, &world.name("run:multi"));
    assert_eq!(image.identifier, run.identifier);
    let (arm, _temporary) = world.another(|config| config.architecture = "arm64".to_owned());
    assert!(matches!(arm.open(&world.name("run:multi")).unwrap(), Opened::Corrupt(_)));
    let (s390x, _temporary) = world.another(|config| config.architecture = "s390x".to_owned());
    let opened = s390x.open(&world.name("run:multi")).unwrap();
    assert_eq!(opened, Opened::Corrupt("failed to find manifest matching platform linux/s390x".to_owned()));
}

#[test]
fn goes_on_reading_a_layer_where_it_was_cut() {
    let world = World::new();
    let run = world.run();
    let digest = run.layers[0].descriptor.as_ref().unwrap().digest.to_string();
    world.registry.fault("GET", &digest, Fault::CutAnswer(1000));
    world.registry.fault("GET", &digest, Fault::CutAnswer(500));
    assert_eq!(read(&world.images, &run, &run.layers[0].diff_id).len(), 5000);
    let ranges: Vec<_> =
        world.registry.requests().iter().filter_map(|seen| seen.headers.get("range").cloned()).collect();
    assert_eq!(ranges, ["bytes=1000-", "bytes=1500-"]);
}

#[test]
fn names_both_ways_when_neither_leads_to_a_registry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (images, _, pause, _temporary) = client(|_| ());
    let error = images.open(&format!("{address}/app")).unwrap_err();
    assert_eq!(
        error.message,
        format!("GET https://{address}/v2/: connection refused; GET http://{address}/v2/: connection refused")
    );
    assert!(error.retryable && !error.denied);
    assert_eq!(pause.slept.lock().unwrap().len(), 5);
}

#[test]
fn who_waits_for_a_registry_that_cannot_be_reached_shares_the_tries() {
    /// A pause that lasts, the first time, until the other caller has begun and a little longer.
    struct Slow(NoPause, Barrier);
    impl Pause for Slow {
        fn sleep(&self, time: Duration) {
            if self.0.slept.lock().unwrap().is_empty() {
                self.1.wait();
                std::thread::sleep(Duration::from_millis(500));
            }
            self.0.sleep(time);
        }
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn chance(&self) -> f64 {
            self.0.chance()
        }
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app", listener.local_addr().unwrap());
    drop(listener);
    let pause = Arc::new(Slow(NoPause::new(), Barrier::new(2)));
    let temporary = tempfile::tempdir().unwrap();
    let config = RegistryConfig::new("amd64", temporary.path().to_owned());
    let images = RegistryImages::with_pause(config, Arc::new(Heard::default()).listener(), pause.clone());
    let open = || images.open(&name).unwrap_err();
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(open);
        pause.1.wait();
        (open(), first.join().unwrap())
    });
    assert_eq!(first.message, second.message);
    assert!(first.retryable && second.retryable);
    assert_eq!(pause.0.slept.lock().unwrap().len(), 5);
    open();
    assert_eq!(pause.0.slept.lock().unwrap().len(), 10, "later it is tried again");
}

#[test]
fn tells_once_how_an_unsafe_registry_is_reached() {
    let world = World::new();
    for _ in 0..2 {
        world.run();
    }
    let unsafe_ways: Vec<Event> =
        world.heard.0.lock().unwrap().iter().filter(|event| matches!(event, Event::Session(_))).cloned().collect();
    let registry = world.name("run").trim_end_matches("/run").to_owned();
    assert_eq!(unsafe_ways, [SessionEvent::UnsafeRegistry { registry, plain: true }.into()]);
}

#[test]
fn an_insecure_registry_that_does_not_exist_is_tried_by_http_too() {
    let (images, _, _, _temporary) = client(|config| config.insecure.push("registry.invalid".to_owned()));
    let error = images.check_read("registry.invalid/bar").unwrap_err();
    let cause = "dial tcp: lookup registry.invalid: no such host";
    let expected = format!("GET https://registry.invalid/v2/: {cause}; GET http://registry.invalid/v2/: {cause}");
    assert_eq!(error.message, expected);
    assert!(!error.retryable);
    let error = images.check_read("other.invalid/bar").unwrap_err();
    assert!(!error.message.contains("http://"), "{error}");
}

#[test]
fn an_insecure_registry_is_reached_through_the_proxy_too() {
    let proxy = FakeRegistry::start();
    let (images, _, _, _temporary) = client(|config| {
        config.insecure.push("registry.invalid".to_owned());
        let url = format!("http://{}", proxy.address);
        config.proxies = Proxies { https: url.clone(), http: url, none: String::new() };
    });
    images.check_read("registry.invalid/bar").unwrap_err();
    let seen: Vec<String> = proxy.requests().iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(seen, ["CONNECT registry.invalid:443", "CONNECT registry.invalid:80"]);
}

#[test]
fn a_proxy_of_another_kind_is_told_and_nobody_is_asked_past_it() {
    let registry = FakeRegistry::start();
    let port = registry.address.rsplit(':').next().unwrap();
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "127.0.0.1 registry.test").unwrap();
    for kind in ["socks5", "socks4", "https"] {
        let (images, _, _, _temporary) = client(|config| {
            config.lookup.hosts = hosts.path().to_owned();
            config.insecure.push(format!("registry.test:{port}"));
            let url = format!("{kind}://me:s3cret@127.0.0.1:9");
            config.proxies = Proxies { https: url.clone(), http: url, none: String::new() };
        });
        let error = images.check_read(&format!("registry.test:{port}/bar")).unwrap_err();
        assert!(error.message.contains("HTTPS_PROXY is no address of an http proxy"), "{error}");
        assert!(!error.retryable && !error.message.contains("s3cret"), "{error}");
    }
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn looks_a_registry_up_as_the_system_says() {
    let world = World::new();
    let files = tempfile::tempdir().unwrap();
    let hosts = files.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 registry.test").unwrap();
    let name = world.name("run").replace("127.0.0.1", "registry.test");
    let (images, _temporary) = world.another(|config| {
        config.lookup.hosts = hosts;
        config.insecure.push(name.clone());
    });
    assert_eq!(found(&images, &name).layers, world.run().layers);
}

#[test]
fn a_name_server_that_is_not_there_may_come_back() {
    let files = tempfile::tempdir().unwrap();
    let resolv_conf = files.path().join("resolv.conf");
    // Nothing listens at this address, on any port.
    std::fs::write(&resolv_conf, "nameserver 127.0.0.77").unwrap();
    let (images, _, pause, _temporary) = client(|config| config.lookup.resolv_conf = resolv_conf);
    let error = images.open("registry.test/app").unwrap_err();
    let cause = "dial tcp: lookup registry.test on 127.0.0.77:53: connection refused";
    assert_eq!(error.message, format!("GET https://registry.test/v2/: {cause}"));
    assert!(error.retryable);
    assert_eq!(pause.slept.lock().unwrap().len(), 5);
}

#[test]
fn a_host_that_is_no_registry_is_an_error_and_no_missing_image() {
    let world = World::new();
    world.registry.fault("GET", "/v2/", Fault::Answer(404, "", "nothing here".to_owned()));
    let error = world.error("run");
    assert!(error.message.ends_with("/v2/: unexpected status code 404 Not Found: nothing here"), "{error}");
}

#[test]
fn gives_the_documents_of_an_image_as_they_are() {
    let world = World::new();
    let run = world.run();
    let documents = world.images.documents(&run).unwrap();
    assert!(run.identifier.ends_with(sha256::digest(&documents.manifest).as_str()));
    let manifest = String::from_utf8(documents.manifest).unwrap();
    assert!(manifest.contains(sha256::digest(&documents.config).as_str()), "{manifest}");
    assert_eq!(count(&world.registry.seen(), "GET"), 2);
    let gone = ImageRecord { identifier: run.identifier.replace("run@", "none@"), ..run };
    let (_, digest) = gone.identifier.rsplit_once('@').unwrap();
    let error = world.images.documents(&gone).unwrap_err();
    assert_eq!(error.message, format!("{} has lost its document {digest}", gone.identifier));
}
