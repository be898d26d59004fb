//! Uploads to registries that refuse, cut, redirect, forget and lie.

use std::time::{Duration, Instant};

use super::super::connection::is_broken;
use super::super::fake::{Auth, FakeRegistry, Fault};
use super::super::http::{Body, Request, Transport};
use super::super::url::Url;
use super::writing::noise;
use super::*;
use crate::effect::events::{TransferEvent, Work};
use crate::effect::images::Registry as _;
use crate::image::conforms::draft;
use crate::image::memory::new_layer;

/// A layer that cannot be compressed, of 9 MB: more than systems take for somebody who does not read.
fn large() -> NewLayer {
    new_layer("large", noise())
}

fn store(world: &World) -> Result<(), ImageError> {
    world.images.store_layer(&world.name("app"), &large())
}

/// How many whole blobs the image `app` has.
fn stored(registry: &FakeRegistry) -> usize {
    registry.state().blobs.keys().filter(|(repository, _)| repository == "app").count()
}

/// Has the next large layer sent once it is whole, by one request with a length.
fn with_length(registry: &FakeRegistry) {
    registry.fault("PATCH", "uploads", Fault::Answer(411, "", String::new()));
}

/// The ranges of what was sent in pieces.
fn ranges(world: &World) -> Vec<String> {
    let requests = world.registry.requests();
    requests.iter().filter_map(|seen| seen.headers.get("content-range").cloned()).collect()
}

#[test]
fn what_is_refused_before_it_is_read_is_told_in_the_words_of_who_refuses_and_not_tried_again() {
    let reason = "<html>\r\nRequest Entity\tToo Large\r\n</html>";
    for method in ["PATCH", "PUT"] {
        let world = World::new();
        world.registry.seen();
        if method == "PUT" {
            with_length(&world.registry);
        }
        world.registry.fault(method, "uploads", Fault::Refuse(413, reason));
        let error = store(&world).unwrap_err();
        let expected = ": unexpected status code 413 Payload Too Large: <html> Request Entity Too Large </html>";
        assert!(error.message.ends_with(expected), "{error}");
        assert!(error.message.starts_with(method) && !error.retryable, "{error}");
        assert_eq!(count(&world.registry.seen(), method), 1);
    }
}

#[test]
fn what_is_refused_before_it_is_read_is_told_over_tls_too() {
    let registry = FakeRegistry::start_tls();
    for method in ["PATCH", "PUT"] {
        if method == "PUT" {
            with_length(&registry);
        }
        registry.fault(method, "uploads", Fault::Refuse(403, r#"{"errors":[{"code":"DENIED","message":"quota"}]}"#));
        let (images, _, _, _temporary) = client(|config| config.insecure.push(registry.address.clone()));
        let error = images.store_layer(&registry.name("app"), &large()).unwrap_err();
        assert!(error.message.starts_with(method) && error.message.ends_with(": DENIED: quota"), "{error}");
        assert_eq!(count(&registry.seen(), method), 1);
    }
}

#[test]
fn who_refuses_and_neither_reads_on_nor_hangs_up_is_heard_before_the_time_is_over() {
    let stall = Duration::from_secs(30);
    for registry in [FakeRegistry::start(), FakeRegistry::start_tls()] {
        for method in ["PATCH", "PUT"] {
            if method == "PUT" {
                with_length(&registry);
            }
            registry.fault(method, "uploads", Fault::Stall(70_000, Some(413)));
            let (images, _, _, _temporary) = client(|config| {
                config.insecure.push(registry.address.clone());
                config.timeouts.stall = stall;
            });
            let begin = Instant::now();
            let error = images.store_layer(&registry.name("app"), &large()).unwrap_err();
            assert!(error.message.starts_with(method) && error.message.contains(" 413 "), "{error}");
            assert!(begin.elapsed() < stall, "{method} {:?}", begin.elapsed());
            assert_eq!(count(&registry.seen(), method), 1);
        }
    }
}

#[test]
fn who_stops_reading_is_waited_for_until_the_time_is_over_and_tried_again() {
    let stall = Duration::from_secs(6);
    let world = World::with(|config, _| config.timeouts.stall = stall);
    world.registry.seen();
    world.registry.fault("PATCH", "uploads", Fault::Stall(70_000, None));
    let begin = Instant::now();
    store(&world).unwrap();
    assert!((stall..2 * stall).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!((count(&world.registry.seen(), "PATCH"), stored(&world.registry)), (1, 1));
}

/// What waits to be read on a new connection is of TLS: tickets.
#[test]
fn a_pause_over_tls_is_no_refusal() {
    let registry = FakeRegistry::start_tls();
    registry.fault("PUT", "uploads", Fault::Pause(Duration::from_millis(3500)));
    let transport = Transport::new(Lookup::default(), Proxies::default(), Timeouts::default());
    let url = Url::parse(&format!("https://{}/v2/app/blobs/uploads/0", registry.address)).unwrap();
    let noise = noise();
    let body = Body::Bytes(&noise);
    let request = Request { method: "PUT", url: &url, headers: Vec::new(), body, insecure: true };
    let answer = transport.send(&request).unwrap();
    assert_eq!((answer.status, is_broken()), (404, false));
    assert_eq!(registry.requests()[0].body.len(), noise.len());
}

#[test]
fn what_is_accepted_before_it_is_sent_is_sent_again() {
    for (method, status) in [("PATCH", 202), ("PUT", 201)] {
        let world = World::new();
        world.registry.seen();
        if method == "PUT" {
            with_length(&world.registry);
        }
        world.registry.fault(method, "uploads", Fault::Refuse(status, ""));
        store(&world).unwrap();
        assert_eq!(stored(&world.registry), 1, "{method}");
    }
}

#[test]
fn a_connection_that_ends_without_an_answer_is_no_refusal() {
    let world = World::new();
    for _ in 0..6 {
        world.registry.fault("PATCH", "uploads", Fault::CutRequest(0));
        world.registry.fault("PUT", "uploads", Fault::CutRequest(0));
    }
    let error = store(&world).unwrap_err();
    assert!(error.retryable && error.message.starts_with("PUT"), "{error}");
}

#[test]
fn writing_is_redirected_with_all_that_is_written() {
    for status in [307, 308] {
        for (method, target) in [("POST", "uploads"), ("PUT", "uploads"), ("PATCH", "uploads"), ("PUT", "manifests")] {
            let world = World::new();
            let run = world.run();
            world.registry.fault(method, target, Fault::Redirect(status, String::new()));
            let layers = vec![(DraftLayer::New(large()), made_by("large"))];
            let draft = ImageDraft { base: run, previous: None, config: run_config(), layers };
            let result = written(&world.images, &draft, world.name("app"));
            assert_eq!(result, Ok(()), "{status} {method} {target}");
            assert!(world.images.open(&world.name("app")).unwrap() != Opened::Missing);
        }
    }
}

#[test]
fn a_redirect_gets_no_credentials_of_another_host_and_ends_somewhere() {
    let elsewhere = FakeRegistry::start();
    let basic = "Basic bWU6czNjcmV0".to_owned();
    let world = World::with(|config, registry| {
        registry.state().auth = Auth::Basic(basic.clone());
        config.keychain.push(&registry.address, Credential::basic("me", "s3cret"), "test");
    });
    world.registry.fault("POST", "uploads", Fault::Redirect(307, format!("http://{}", elsewhere.address)));
    store(&world).unwrap();
    assert_eq!(stored(&elsewhere), 1);
    let requests = elsewhere.requests();
    assert!(requests.len() >= 3 && requests.iter().all(|seen| !seen.headers.contains_key("authorization")));

    for _ in 0..6 {
        world.registry.fault("POST", "uploads", Fault::Redirect(308, String::new()));
    }
    let error = world.images.check_write(&world.name("other")).unwrap_err();
    assert!(error.message.ends_with("too many redirects"), "{error}");
    // What writes is not made one that reads.
    world.registry.fault("POST", "uploads", Fault::Redirect(302, String::new()));
    let error = world.images.check_write(&world.name("other")).unwrap_err();
    assert!(error.message.ends_with("302 Found"), "{error}");
}

#[test]
fn who_gets_on_may_be_cut_as_often_as_it_takes() {
    let world = World::new();
    world.registry.seen();
    for _ in 0..8 {
        world.registry.fault("PATCH", "uploads", Fault::CutRequest(1_100_000));
    }
    store(&world).unwrap();
    assert_eq!(stored(&world.registry), 1);
    let ranges = ranges(&world);
    assert_eq!(ranges.len(), 8, "{ranges:?}");
    assert!(ranges[7].starts_with("8800000-"), "{ranges:?}");
    // Each time it is tried as if it were the first.
    let slept = world.pause.slept.lock().unwrap();
    assert!(slept.iter().all(|slept| *slept == Duration::from_millis(150)), "{slept:?}");
}

#[test]
fn who_does_not_get_on_is_cut_so_often_and_no_oftener() {
    let world = World::new();
    world.registry.seen();
    for _ in 0..20 {
        world.registry.fault("PATCH", "uploads", Fault::CutRequest(1000));
    }
    assert!(store(&world).unwrap_err().retryable);
    assert_eq!(count(&world.registry.seen(), "PATCH"), 6);
}

#[test]
fn what_a_registry_says_it_lacks_is_sent_again_before_the_upload_ends() {
    let world = World::new();
    world.registry.seen();
    world.registry.fault("PATCH", "uploads", Fault::Keep(700_000));
    world.registry.fault("PATCH", "uploads", Fault::Keep(2_000_000));
    store(&world).unwrap();
    assert_eq!(stored(&world.registry), 1);
    let requests = world.registry.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|seen| seen.headers.get("content-range")).collect();
    assert!(ranges[0].starts_with("700000-") && ranges[1].starts_with("2700000-"), "{ranges:?}");
    let ends = requests.iter().filter(|seen| seen.method == "PUT").count();
    assert_eq!(ends, 1, "what is not whole is not ended");
}

#[test]
fn a_registry_that_counts_wrong_gets_the_blob_in_one_piece() {
    // It has more than was sent, or as much as it was told before; nobody goes on from there.
    for (said, again) in [("0-99999999", 1), ("0-7", 1)] {
        let world = World::new();
        world.registry.seen();
        world.registry.fault("PATCH", "uploads", Fault::Range(said));
        world.registry.fault("GET", "uploads", Fault::Range(said));
        world.registry.fault("GET", "uploads", Fault::Range(said));
        store(&world).unwrap();
        assert_eq!(stored(&world.registry), 1, "{said}");
        let requests = world.registry.requests();
        let whole = requests.iter().filter(|seen| seen.method == "PUT" && !seen.body.is_empty()).count();
        assert_eq!(whole, again, "{said}");
    }
    // What says nothing, or names the byte behind the last, says that all is well.
    let size = {
        let world = World::new();
        store(&world).unwrap();
        let state = world.registry.state();
        state.blobs.iter().find(|((repository, _), _)| repository == "app").unwrap().1.len()
    };
    let behind: &'static str = Box::leak(format!("bytes=0-{size}").into_boxed_str());
    for said in ["0-0", "nonsense", behind] {
        let world = World::new();
        world.registry.seen();
        world.registry.fault("PATCH", "uploads", Fault::Range(said));
        store(&world).unwrap();
        let seen = world.registry.seen();
        assert_eq!((count(&seen, "PATCH"), count(&seen, "PUT"), count(&seen, "GET")), (1, 1, 0), "{said}: {seen:#?}");
    }
}

#[test]
fn pieces_that_make_no_blob_are_sent_anew_as_one() {
    let world = World::new();
    world.registry.seen();
    world.registry.fault("PATCH", "uploads", Fault::CutRequest(2_000_000));
    world.registry.fault("PUT", "uploads", Fault::Answer(400, "", "digest invalid".to_owned()));
    store(&world).unwrap();
    let seen = world.registry.seen();
    assert_eq!((count(&seen, "PATCH"), count(&seen, "PUT"), stored(&world.registry)), (2, 2, 1), "{seen:#?}");
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew() {
    let world = World::new();
    world.registry.seen();
    let forgotten = || Fault::Answer(404, "", r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":""}]}"#.to_owned());
    world.registry.fault("PATCH", "uploads", Fault::CutRequest(2_000_000));
    world.registry.fault("PATCH", "uploads", forgotten());
    // Once the registry tells how far it is, then it does not know of it.
    world.registry.fault("GET", "uploads", Fault::LoseAnswer);
    world.registry.fault("GET", "uploads", forgotten());
    store(&world).unwrap();
    assert_eq!(stored(&world.registry), 1);
    // And as docker-registry has it, which cannot tell of what was cut.
    let world = World::new();
    world.registry.seen();
    world.registry.fault("PATCH", "uploads", Fault::CutRequest(2_000_000));
    world.registry.fault("GET", "uploads", forgotten());
    store(&world).unwrap();
    let seen = world.registry.seen();
    assert_eq!((count(&seen, "POST"), count(&seen, "PATCH"), count(&seen, "PUT")), (2, 1, 1), "{seen:#?}");
}

#[test]
fn an_offset_that_is_refused_is_asked_for_again() {
    let world = World::new();
    world.registry.seen();
    world.registry.fault("PATCH", "uploads", Fault::CutRequest(2_000_000));
    // Some was still on its way when the registry was asked.
    world.registry.fault("GET", "uploads", Fault::Range("0-1499999"));
    store(&world).unwrap();
    let ranges: Vec<_> = ranges(&world).iter().map(|range| range.split('-').next().unwrap().to_owned()).collect();
    assert_eq!(ranges, ["1500000", "2000000"]);
}

#[test]
fn an_upload_waits_as_long_as_the_registry_asks() {
    let world = World::new();
    world.registry.fault("PUT", "uploads", Fault::Answer(429, "Retry-After: 7", String::new()));
    store(&world).unwrap();
    assert_eq!(*world.pause.slept.lock().unwrap(), [Duration::from_secs(7)]);
    assert_eq!(stored(&world.registry), 1);
}

#[test]
fn a_token_that_runs_out_while_a_layer_is_sent_is_renewed() {
    let world = World::with(|config, registry| {
        registry.state().auth = Auth::Bearer(None);
        config.keychain = Keychain::anonymous();
    });
    for (method, refuses) in [
        ("PATCH", Fault::Answer(401, "WWW-Authenticate: Bearer realm=\"/token\"", String::new())),
        ("PUT", Fault::Answer(401, "WWW-Authenticate: Bearer realm=\"/token\"", String::new())),
        ("PATCH", Fault::Refuse(401, "")),
    ] {
        world.registry.state().blobs.retain(|(repository, _), _| repository != "app");
        let (images, _temporary) = world.another(|_| ());
        world.registry.fault(method, "uploads", refuses);
        images.store_layer(&world.name("app"), &large()).unwrap();
        let seen = world.registry.seen();
        assert_eq!((count(&seen, "GET /token"), stored(&world.registry)), (2, 1), "{method}: {seen:#?}");
        // The request is made again, and nothing else.
        assert_eq!((count(&seen, method), count(&seen, "POST")), (2, 1), "{method}: {seen:#?}");
    }
}

#[test]
fn a_layer_has_arrived_when_its_upload_is_ended_and_not_before() {
    let world = World::new();
    store(&world).unwrap();
    let heard = world.heard.0.lock().unwrap();
    let at = |wanted: &dyn Fn(&Event) -> bool| heard.iter().position(wanted).unwrap();
    let ends = at(&|event| matches!(event, Event::Begin { work: Work::Request { method: "PUT", .. }, .. }));
    let arrives = at(&|event| matches!(event, Event::Transfer(TransferEvent::Ended { .. })));
    assert!(ends < arrives);
    assert!(matches!(heard[arrives], Event::Transfer(TransferEvent::Ended { arrived: true, .. })));
}

#[test]
fn who_may_not_look_for_a_blob_may_still_write_it() {
    let world = World::new();
    world.registry.seen();
    world.registry.fault("PATCH", "uploads", Fault::CutRequest(2_000_000));
    let allowed_once = Fault::Range("x");
    world.registry.fault("HEAD", "/blobs/", allowed_once);
    world.registry.fault("HEAD", "/blobs/", Fault::Answer(405, "", String::new()));
    store(&world).unwrap();
    assert_eq!(stored(&world.registry), 1);
}

/// A HEAD says less than it seems: there are registries that know none, and who may write need not be allowed to read.
#[test]
fn a_refused_look_at_a_tag_counts_for_who_reads_more_than_for_who_writes() {
    for (status, readable, writable) in [(405, true, true), (403, false, true), (401, false, false)] {
        let world = World::new();
        let draft = draft(&world.run(), None, "x");
        for _ in 0..2 {
            world.registry.fault("HEAD", "/v2/app/manifests/", Fault::Answer(status, "", String::new()));
        }
        assert_eq!(world.images.check_read(&world.name("app")).is_ok(), readable, "{status}");
        assert_eq!(written(&world.images, &draft, world.name("app")).is_ok(), writable, "{status}");
    }
}
