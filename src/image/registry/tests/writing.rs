//! What is sent to a registry, and how often.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::fake::{FakeRegistry, Fault};
use super::*;
use crate::effect::events::{Outcome, TransferEvent, Work};
use crate::effect::images::Registry as _;
use crate::image::conforms::{conforms, draft, layer, made_by, read};
use crate::image::sha256;

#[test]
fn does_what_every_store_does() {
    for family in [MediaFamily::Docker, MediaFamily::Oci] {
        let world = World::new();
        world.put_run("run", family);
        let names = [world.name("my/app"), world.name("my/app:two"), world.name("elsewhere")];
        conforms(&world.images, &world.name("run"), &names);
    }
}

#[test]
fn a_name_that_has_the_image_costs_one_request() {
    let world = World::new();
    let draft = draft(&world.run(), None, "x");
    assert_eq!(written(&world.images, &draft, world.name("app:1")), Ok(()));
    world.registry.seen();
    assert_eq!(written(&world.images, &draft, world.name("app:1")), Ok(()));
    assert_eq!(world.registry.seen(), ["HEAD /v2/app/manifests/1"]);
}

#[test]
fn a_second_name_in_a_repository_costs_one_more_manifest() {
    let world = World::new();
    let draft = draft(&world.run(), None, "x");
    let written = world.images.write(&draft, &[world.name("app:1"), world.name("app:2")]).unwrap();
    assert!(written.names.iter().all(|(_, result)| result.is_ok()));
    let seen = world.registry.seen();
    // Two base layers, three new ones, the configuration.
    assert_eq!(count(&seen, "HEAD /v2/app/blobs/"), 6, "{seen:#?}");
    assert_eq!(count(&seen, "POST /v2/app/blobs/uploads/?from=run&mount=sha256%3A"), 2, "{seen:#?}");
    // Each goes with the request that ends its upload.
    assert_eq!((count(&seen, "PUT /v2/app/blobs/uploads/"), count(&seen, "PATCH")), (4, 0), "{seen:#?}");
    assert_eq!(seen[seen.len() - 2..], ["HEAD /v2/app/manifests/2", "PUT /v2/app/manifests/2"]);
    assert_eq!(count(&seen, "PUT /v2/app/manifests/"), 2);
}

#[test]
fn copies_base_layers_that_cannot_be_mounted() {
    let world = World::new();
    world.registry.state().mounts = false;
    let run = world.run();
    assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name("app")), Ok(()));
    let app = found(&world.images, &world.name("app"));
    assert!(!read(&world.images, &app, &app.layers[0].diff_id).is_empty());

    let other = FakeRegistry::start();
    assert_eq!(written(&world.images, &draft(&run, None, "x"), other.name("app")), Ok(()));
    let app = found(&world.images, &other.name("app"));
    assert!(!read(&world.images, &app, &app.layers[0].diff_id).is_empty());
}

#[test]
fn a_layer_that_the_registry_lost_is_named() {
    let world = World::new();
    let run = world.run();
    assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name("app")), Ok(()));
    let app = found(&world.images, &world.name("app"));
    let lost = app.layers[3].descriptor.as_ref().unwrap().digest.to_string();
    world.registry.state().blobs.remove(&("app".to_owned(), lost.clone()));
    let error = written(&world.images, &draft(&run, Some(&app), "y"), world.name("app")).unwrap_err();
    assert_eq!(error, format!("{} has lost the blob {lost} of one of its layers", app.identifier));
    let error = world.images.layer(&app, &app.layers[3].diff_id).err().unwrap();
    assert!(error.message.contains("has lost the blob"), "{error}");
}

#[test]
fn a_blob_of_another_size_than_the_manifest_says_is_not_published() {
    let world = World::new();
    let run = world.run();
    assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name("app")), Ok(()));
    let mut app = found(&world.images, &world.name("app"));
    let descriptor = app.layers[3].descriptor.as_mut().unwrap();
    let whole = descriptor.size;
    descriptor.size = 5;
    let told = format!("blob {} has {whole} bytes instead of 5", descriptor.digest);
    assert_eq!(written(&world.images, &draft(&run, Some(&app), "y"), world.name("app")), Err(told.clone()));
    let error = world.images.layer(&app, &app.layers[3].diff_id).err().unwrap();
    assert_eq!((error.message, error.retryable), (told, false));
}

#[test]
fn one_name_that_fails_does_not_keep_others_from_being_written() {
    let world = World::new();
    let draft = draft(&world.run(), None, "x");
    let denied = || Fault::Answer(403, "", r#"{"errors":[{"code":"DENIED","message":"no"}]}"#.to_owned());
    world.registry.fault("PUT", "/v2/app/manifests/2", denied());
    let names = [world.name("app:1"), world.name("app:2"), world.name("app:3"), "not a name".to_owned()];
    let written = world.images.write(&draft, &names).unwrap();
    assert_eq!(written.names[0].1, Ok(()));
    let expected = format!("PUT http://{}/v2/app/manifests/2: DENIED: no", world.registry.address);
    assert_eq!(written.names[1].1, Err(expected));
    assert_eq!(written.names[2].1, Ok(()));
    assert_eq!(written.names[3].1, Err("could not parse reference: not a name".to_owned()));
}

#[test]
fn each_name_is_reached_by_its_own_setting() {
    let world = World::with(|config, _| config.insecure.push("insecure.invalid".to_owned()));
    let draft = draft(&world.run(), None, "x");
    let tags = ["insecure.invalid", "secure.invalid"].map(|registry| format!("{registry}/app"));
    for names in [tags.to_vec(), tags.iter().rev().cloned().collect()] {
        for (name, result) in world.images.write(&draft, &names).unwrap().names {
            let (error, by_http) = (result.unwrap_err(), name.starts_with("insecure"));
            assert!(error.contains(&format!("GET https://{}", name.replace("/app", "/v2/"))), "{error}");
            assert_eq!(error.contains("GET http://"), by_http, "{error}");
        }
    }
}

#[test]
fn checking_for_writing_leaves_nothing() {
    let world = World::new();
    world.run();
    world.images.check_write(&world.name("new")).unwrap();
    let seen = world.registry.seen();
    assert_eq!(seen[..2], ["HEAD /v2/new/manifests/latest", "POST /v2/new/blobs/uploads/"]);
    assert!(seen[2].starts_with("DELETE /v2/new/blobs/uploads/"), "{seen:?}");
}

#[test]
fn goes_on_uploading_where_it_was_cut() {
    let world = World::new();
    let run = world.run();
    for fault in [
        Fault::CutRequest(1000),
        Fault::CutRequest(0),
        Fault::LoseAnswer,
        Fault::Answer(503, "", String::new()),
        Fault::Hangup,
    ] {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("app{}", NEXT.fetch_add(1, Ordering::Relaxed));
        world.registry.fault("PUT", "uploads", fault.clone());
        assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name(&name)), Ok(()), "{fault:?}");
        // What goes on where it was cut is not spared either.
        world.registry.fault("PUT", "uploads", Fault::CutRequest(1000));
        world.registry.fault("PATCH", "uploads", fault.clone());
        let name = format!("{name}-again");
        assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name(&name)), Ok(()), "{fault:?}");
    }
    let requests = world.registry.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|seen| seen.headers.get("content-range")).collect();
    assert!(ranges.iter().any(|range| range.starts_with("1000-")), "{ranges:?}");
    let is_of_nothing = |range: &str| {
        let (first, last) = range.split_once('-').unwrap();
        first.parse::<u64>().unwrap() > last.parse::<u64>().unwrap()
    };
    assert!(!ranges.iter().any(|range| is_of_nothing(range)), "{ranges:?}");
}

#[test]
fn a_layer_that_one_image_has_is_mounted_for_another() {
    let world = World::new();
    let app = draft(&world.run(), None, "x");
    assert_eq!(written(&world.images, &app, world.name("app")), Ok(()));
    world.registry.seen();
    let layer = layer("app", 1, 200_000);
    world.images.store_layer(&world.name("cache"), &layer).unwrap();
    let seen = world.registry.seen();
    assert_eq!((count(&seen, "POST /v2/cache/blobs/uploads/?from=app&mount="), count(&seen, "PUT")), (1, 0));

    let cache = ImageDraft { layers: vec![(DraftLayer::New(layer.clone()), made_by("cache"))], ..app };
    assert_eq!(written(&world.images, &cache, world.name("cache")), Ok(()));
    let seen = world.registry.seen();
    // The configuration is all that is sent.
    let sent = count(&seen, "PUT /v2/cache/blobs/uploads/");
    assert_eq!((sent, count(&seen, "HEAD /v2/cache/blobs/")), (1, 1), "{seen:#?}");
    let cache = found(&world.images, &world.name("cache"));
    assert_eq!(read(&world.images, &cache, &layer.diff_id).len(), 200_000);
}

#[test]
fn a_layer_stored_ahead_of_its_image_is_seen_by_nobody_and_not_sent_again() {
    let world = World::new();
    let layer = layer("app", 1, 200_000);
    world.registry.seen();
    world.images.store_layer(&world.name("cache"), &layer).unwrap();
    assert_eq!(world.images.open(&world.name("cache")).unwrap(), Opened::Missing);
    assert_eq!(count(&world.registry.seen(), "PUT"), 1);
    world.images.store_layer(&world.name("cache"), &layer).unwrap();
    assert_eq!(world.registry.seen().len(), 1, "one look whether it is there");
}

#[test]
fn a_stored_layer_that_cannot_be_mounted_is_made_and_sent_again() {
    let world = World::new();
    let layer = layer("app", 1, 200_000);
    world.images.store_layer(&world.name("one"), &layer).unwrap();
    world.registry.state().mounts = false;
    let draft = draft(&world.run(), None, "x");
    assert_eq!(written(&world.images, &draft, world.name("two")), Ok(()));
    let other = FakeRegistry::start();
    world.images.store_layer(&other.name("three"), &layer).unwrap();
    let two = found(&world.images, &world.name("two"));
    assert_eq!(read(&world.images, &two, &layer.diff_id).len(), 200_000);
    assert_eq!(other.state().blobs.len(), 1);
}

#[test]
fn a_layer_whose_upload_fails_is_no_layer_that_is_there() {
    let world = World::new();
    let layer = layer("app", 1, 200_000);
    let denied = || Fault::Answer(403, "", r#"{"errors":[{"code":"DENIED","message":"no"}]}"#.to_owned());
    world.registry.fault("POST", "/v2/cache/blobs/uploads/", denied());
    let error = world.images.store_layer(&world.name("cache"), &layer).unwrap_err();
    assert!(error.denied && error.message.contains("DENIED"), "{error}");
    world.registry.fault("PUT", "/v2/cache/blobs/uploads/", Fault::CutRequest(5_000));
    world.images.store_layer(&world.name("cache"), &layer).unwrap();
    let stored = world.registry.state().blobs.keys().filter(|(repository, _)| repository == "cache").count();
    assert_eq!(stored, 1);
}

/// A layer that cannot be compressed, of which some is there only when `go_on` says so.
struct Slow<'a> {
    bytes: Vec<u8>,
    go_on: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Slow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slow")
    }
}

impl TarSource for Slow<'_> {
    fn write_tar(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let (first, rest) = self.bytes.split_at(self.bytes.len() - 2_000_000);
        out.write_all(first)?;
        let began = std::time::Instant::now();
        while !(self.go_on)() {
            assert!(began.elapsed().as_secs() < 60, "nothing is sent before all is made");
            std::thread::yield_now();
        }
        out.write_all(rest)
    }
}

/// Bytes that nothing can compress, the same each time.
pub(super) fn noise() -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..9_000_000).map(|_| next()).collect()
    });
    NOISE.clone()
}

#[test]
fn a_large_layer_is_sent_while_it_is_made() {
    let world = World::new();
    let before = world.registry.uploads();
    // Bytes are told although nobody knows yet how many there will be.
    let is_told = |event: &Event| matches!(event, Event::Transfer(TransferEvent::Sent { bytes: 1.., size: None, .. }));
    let began = || world.registry.uploads() > before && world.heard.0.lock().unwrap().iter().any(is_told);
    let tar = Slow { bytes: noise(), go_on: &began };
    let measured = world.images.keep(&world.name("app"), "a", &tar).unwrap().unwrap();
    let requests = world.registry.requests();
    let sent: Vec<_> = requests.iter().filter(|seen| seen.method == "PATCH").collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].headers.get("transfer-encoding").map(String::as_str), Some("chunked"));
    let digest = sha256::digest(&sent[0].body);
    assert!(world.registry.state().blobs.contains_key(&("app".to_owned(), digest.to_string())));
    let tar = crate::image::blob::uncompress(Box::new(std::io::Cursor::new(sent[0].body.clone())), &measured.diff_id);
    let mut whole = Vec::new();
    std::io::Read::read_to_end(&mut tar.unwrap(), &mut whole).unwrap();
    assert!(whole == noise());

    // Who has it is sent no more of it than had gone by then, and that is called off.
    let before = world.registry.uploads();
    let began = || world.registry.uploads() > before;
    let tar = Slow { bytes: noise(), go_on: &began };
    assert_eq!(world.images.keep(&world.name("app"), "a", &tar).unwrap(), Some(measured));
    let seen = world.registry.seen();
    assert_eq!((count(&seen, "DELETE /v2/app/blobs/uploads/"), count(&seen, "PUT")), (1, 0), "{seen:#?}");
    assert_eq!(ends(&world, "PATCH"), [Outcome::Success, Outcome::Skip]);
}

/// How the requests of a method that are about uploads ended.
fn ends(world: &World, wanted: &str) -> Vec<Outcome> {
    let heard = world.heard.0.lock().unwrap();
    let begun = |wanted_id| {
        heard.iter().any(|event| match event {
            Event::Begin { id, work: Work::Request { method, about: "upload" }, .. } => {
                (*id, *method) == (wanted_id, wanted)
            }
            _ => false,
        })
    };
    let ends = heard.iter().filter_map(|event| match event {
        Event::End { id, outcome, .. } if begun(*id) => Some(*outcome),
        _ => None,
    });
    ends.collect()
}

/// Keeps a large layer for the image `app`, whose upload begins before it is whole.
fn keep_large(world: &World) -> Measured {
    let before = world.registry.uploads();
    let began = || world.registry.uploads() > before;
    let tar = Slow { bytes: noise(), go_on: &began };
    world.images.keep(&world.name("app"), "a", &tar).unwrap().unwrap()
}

#[test]
fn an_upload_is_called_off_when_the_registry_cannot_be_asked_for_its_blob() {
    for (status, tries, expected) in [(403, 1, Err(())), (503, 6, Ok(()))] {
        let world = World::new();
        let mut draft = draft(&world.run(), None, "x");
        for _ in 0..tries {
            world.registry.fault("HEAD", "/v2/app/blobs/", Fault::Answer(status, "", String::new()));
        }
        let Measured { diff_id, size, .. } = keep_large(&world);
        assert_eq!(ends(&world, "PATCH"), [Outcome::Skip]);
        let seen = world.registry.seen();
        assert_eq!((count(&seen, "DELETE /v2/app/blobs/uploads/"), count(&seen, "PUT")), (1, 0), "{seen:#?}");

        // What failed for good is told by who writes the image; what may pass is tried again, from the file: whoever made
        // the layer once more would find other bytes.
        let layer = NewLayer { diff_id, size, ..crate::image::memory::new_layer("a", Vec::new()) };
        draft.layers.push((DraftLayer::New(layer), made_by("b")));
        let result = written(&world.images, &draft, world.name("app"));
        assert_eq!(result.clone().map_err(|error| assert!(error.contains("status code 403"), "{error}")), expected);
        let there = world.images.open(&world.name("app")).unwrap() != Opened::Missing;
        assert_eq!(there, result.is_ok());
    }
}

#[test]
fn who_wants_to_know_a_length_gets_one() {
    for fault in [
        Fault::Answer(411, "", String::new()),
        Fault::Answer(400, "", "chunks are not for us".to_owned()),
        Fault::Refuse(411, ""),
        Fault::Refuse(400, "chunks are not for us"),
    ] {
        let world = World::new();
        world.registry.fault("PATCH", "uploads", fault.clone());
        keep_large(&world);
        let requests = world.registry.requests();
        assert_eq!(requests.iter().filter(|seen| seen.method == "PATCH").count(), 1, "{fault:?}");
        let last = requests.iter().rfind(|seen| seen.method == "PUT").unwrap();
        assert_eq!(last.headers.get("content-length"), Some(&last.body.len().to_string()), "{fault:?}");
        assert_eq!(last.headers.get("transfer-encoding"), None);
        let digest = sha256::digest(&last.body).to_string();
        assert!(world.registry.state().blobs.contains_key(&("app".to_owned(), digest)), "{fault:?}");
    }
}

#[test]
fn a_registry_that_stored_something_else_is_found_out() {
    const OTHER: &str =
        "Docker-Content-Digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (method, target, tag_is_asked_for) in
        [("PUT", "/blobs/uploads/", false), ("POST", "mount=", false), ("PUT", "/manifests/", true)]
    {
        let world = World::new();
        let draft = draft(&world.run(), None, "x");
        world.registry.fault(method, target, Fault::Answer(201, OTHER, String::new()));
        world.registry.seen();
        let error = written(&world.images, &draft, world.name("app")).unwrap_err();
        assert!(error.contains("the registry stored sha256:e3b0c442"), "{error}");
        let seen = world.registry.seen();
        assert_eq!(count(&seen, "PUT /v2/app/manifests/") > 0, tag_is_asked_for, "{seen:#?}");
    }
}

/// The specification lets registries say it by another algorithm; some write what is no digest, or none.
#[test]
fn what_a_registry_says_that_is_no_such_digest_counts_for_nothing() {
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for said in [format!("sha512:{hex}{hex}"), hex.to_owned(), "sha256:abc".to_owned(), format!("\"sha256:{hex}\"")] {
        let world = World::new();
        let draft = draft(&world.run(), None, "x");
        let header = Box::leak(format!("Docker-Content-Digest: {said}").into_boxed_str());
        world.registry.fault("PUT", "/manifests/", Fault::Answer(201, header, String::new()));
        let written = written(&world.images, &draft, world.name("app"));
        assert!(written.is_ok(), "{said}: {written:?}");
    }
}

#[test]
fn what_is_cut_while_it_is_made_goes_on_where_it_was() {
    let world = World::new();
    world.registry.fault("PATCH", "uploads", Fault::CutRequest(700_000));
    let before = world.registry.uploads();
    let began = || world.registry.uploads() > before;
    let tar = Slow { bytes: noise(), go_on: &began };
    world.images.keep(&world.name("app"), "a", &tar).unwrap().unwrap();
    let requests = world.registry.requests();
    let range = requests.iter().find_map(|seen| seen.headers.get("content-range")).unwrap();
    assert!(range.starts_with("700000-"), "{range}");
    assert_eq!(world.registry.state().blobs.keys().filter(|(repository, _)| repository == "app").count(), 1);
}

#[test]
fn who_refuses_a_layer_that_is_sent_ahead_is_not_asked_again() {
    let world = World::new();
    let draft = draft(&world.run(), None, "x");
    for _ in 0..9 {
        let denied = Fault::Answer(403, "", r#"{"errors":[{"code":"DENIED","message":"no"}]}"#.to_owned());
        world.registry.fault("POST", "/v2/app/blobs/uploads/", denied);
    }
    world.registry.seen();
    let error = written(&world.images, &draft, world.name("app")).unwrap_err();
    assert!(error.contains("DENIED"), "{error}");
    let seen = world.registry.seen();
    assert!(count(&seen, "POST /v2/app") <= 3, "each of three layers once: {seen:#?}");
}

#[test]
fn knows_the_layers_that_are_gone() {
    let world = World::new();
    let run = world.run();
    assert_eq!(world.images.lost_layers(&run).unwrap(), []);
    let lost = run.layers[1].descriptor.as_ref().unwrap().digest.to_string();
    world.registry.state().blobs.remove(&("run".to_owned(), lost));
    assert_eq!(world.images.lost_layers(&run).unwrap(), [run.layers[1].diff_id.clone()]);
    world.registry.fault("HEAD", "/blobs/", Fault::Answer(403, "", String::new()));
    assert!(world.images.lost_layers(&run).unwrap_err().denied);
}

#[test]
fn deletes_an_image_by_its_digest() {
    let world = World::new();
    let run = world.run();
    world.registry.fault("DELETE", "/manifests/", Fault::Answer(405, "", String::new()));
    assert!(world.images.delete(&run).unwrap_err().message.contains("405"));
    world.images.delete(&run).unwrap();
    assert_eq!(world.images.open(&world.name("run")).unwrap(), Opened::Missing);
}
