//! Tests of registries, against one in this process.

use std::sync::atomic::{AtomicU32, Ordering};

use super::fake::{Auth, FakeRegistry, Fault};
use super::retry::tests::NoPause;
use super::*;
use crate::effect::events::{Event, Note, Outcome, Work};
use crate::effect::images::DraftLayer;
use crate::image::assemble::{config_media_type, manifest_media_type};
use crate::image::conforms::{conforms, draft, found, layer, made_by, read, run_config};
use crate::image::sha256;
use crate::model::image::{ImageConfig, MediaFamily};

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Events for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

struct World {
    registry: FakeRegistry,
    images: RegistryImages,
    heard: Arc<Heard>,
    pause: Arc<NoPause>,
    _temporary: tempfile::TempDir,
}

fn client(change: impl FnOnce(&mut RegistryConfig)) -> (RegistryImages, Arc<Heard>, Arc<NoPause>, tempfile::TempDir) {
    let temporary = tempfile::tempdir().unwrap();
    let mut config = RegistryConfig::new("amd64", temporary.path().to_owned());
    change(&mut config);
    let (heard, pause) = (Arc::new(Heard::default()), Arc::new(NoPause::new()));
    (RegistryImages::with_pause(config, heard.clone(), pause.clone()), heard, pause, temporary)
}

impl World {
    fn new() -> Self {
        Self::with(|_, _| ())
    }

    /// A registry with the image `run`, and a client.
    fn with(change: impl FnOnce(&mut RegistryConfig, &FakeRegistry)) -> Self {
        let registry = FakeRegistry::start();
        let (images, heard, pause, temporary) = client(|config| change(config, &registry));
        let world = Self { registry, images, heard, pause, _temporary: temporary };
        let auth = std::mem::take(&mut world.registry.state().auth);
        world.put_run("run", MediaFamily::Oci);
        world.registry.state().auth = auth;
        world.registry.seen();
        world
    }

    /// A client that knows nothing yet, of the same registry.
    fn another(&self, change: impl FnOnce(&mut RegistryConfig)) -> (RegistryImages, tempfile::TempDir) {
        let (images, _, _, temporary) = client(change);
        self.registry.seen();
        (images, temporary)
    }

    fn put_run(&self, name: &str, family: MediaFamily) {
        let (images, _, _, _temporary) = client(|_| ());
        let base = ImageRecord {
            name: String::new(),
            identifier: String::new(),
            family,
            manifest_media_type: manifest_media_type(family).to_owned(),
            config_media_type: config_media_type(family).to_owned(),
            annotations: std::collections::BTreeMap::new(),
            config: ImageConfig::default(),
            layers: Vec::new(),
        };
        let draft = ImageDraft {
            base,
            previous: None,
            config: run_config(),
            layers: vec![
                (DraftLayer::New(layer("run1", 10, 5000)), made_by("base")),
                (DraftLayer::New(layer("run2", 11, 6000)), made_by("base")),
            ],
        };
        let written = images.write(&draft, &[self.registry.name(name)]).unwrap();
        assert_eq!(written.names[0].1, Ok(()));
    }

    fn name(&self, repository: &str) -> String {
        self.registry.name(repository)
    }

    fn run(&self) -> ImageRecord {
        let run = found(&self.images, &self.name("run"));
        self.registry.seen();
        run
    }

    fn error(&self, name: &str) -> ImageError {
        self.images.open(&self.name(name)).unwrap_err()
    }
}

fn written(images: &RegistryImages, draft: &ImageDraft, name: String) -> Result<(), String> {
    images.write(draft, &[name]).unwrap().names.remove(0).1
}

fn count(seen: &[String], start: &str) -> usize {
    seen.iter().filter(|line| line.starts_with(start)).count()
}

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
    assert_eq!(count(&seen, "PATCH"), 4);
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
fn missing_is_missing_and_denied_is_denied() {
    let world = World::new();
    assert_eq!(world.images.open(&world.name("none")).unwrap(), Opened::Missing);
    assert_eq!(world.images.open(&world.name("run:none")).unwrap(), Opened::Missing);
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
    let body = r#"{"errors":[{"code":"DENIED","message":"denied"}]}"#.to_owned();
    world.registry.fault("POST", "/v2/run/blobs/uploads/", Fault::Answer(403, "", body));
    let error = world.images.check_write(&world.name("run")).unwrap_err();
    assert_eq!(error.message, format!("POST http://{}/v2/run/blobs/uploads/: DENIED: denied", world.registry.address));
    assert!(error.denied);
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

fn with_auth(auth: Auth, credential: Option<Credential>) -> World {
    World::with(|config, registry| {
        registry.state().auth = auth;
        if let Some(credential) = credential {
            config.keychain.push(&registry.address, credential, "test");
        }
    })
}

#[test]
fn gives_user_and_password_to_who_asks_for_them() {
    let basic = Auth::Basic("Basic dTpw".to_owned());
    let world = with_auth(basic.clone(), Some(Credential::basic("u", "p")));
    let draft = draft(&world.run(), None, "x");
    assert_eq!(written(&world.images, &draft, world.name("app")), Ok(()));
    let error = with_auth(basic.clone(), None).error("run");
    assert!(error.denied && error.message.contains("UNAUTHORIZED: unauthorized"), "{error}");
    assert!(with_auth(basic, Some(Credential::basic("u", "other"))).error("run").denied);
    let unknown = with_auth(Auth::Basic(String::new()), Some(Credential::Unknown)).error("run");
    assert_eq!(unknown.message, "parsing auth header: unknown auth type from header");
}

#[test]
fn nothing_is_told_to_who_does_not_ask() {
    let world = with_auth(Auth::None, Some(Credential::basic("u", "p")));
    found(&world.images, &world.name("run"));
    assert!(world.registry.requests().iter().all(|seen| !seen.headers.contains_key("authorization")));
}

#[test]
fn gets_tokens_once_for_each_scope() {
    let world = with_auth(Auth::Bearer(Some("Basic dTpw".to_owned())), Some(Credential::basic("u", "p")));
    let draft = draft(&found(&world.images, &world.name("run")), None, "x");
    assert_eq!(written(&world.images, &draft, world.name("app")), Ok(()));
    let seen = world.registry.seen();
    let tokens: Vec<_> = seen.iter().filter(|line| line.contains("/token")).collect();
    assert_eq!(tokens.len(), 3, "{tokens:#?}");
    assert_eq!(tokens[0], "GET /token?service=fake&scope=repository%3Arun%3Apull");
    assert_eq!(tokens[1], "GET /token?service=fake&scope=repository%3Aapp%3Apush%2Cpull");
    assert_eq!(tokens[2], "GET /token?service=fake&scope=repository%3Aapp%3Apush%2Cpull&scope=repository%3Arun%3Apull");
    assert!(with_auth(Auth::Bearer(Some("Basic dTpw".to_owned())), None).error("run").denied);
}

#[test]
fn gets_a_new_token_when_the_old_one_has_run_out() {
    let world = with_auth(Auth::Bearer(None), None);
    let run = world.run();
    // Refused early.
    world.registry.state().expired = 1;
    found(&world.images, &run.identifier);
    assert_eq!(count(&world.registry.seen(), "GET /token"), 1);
    // Run out by the clock: not even tried.
    world.pause.sleep(std::time::Duration::from_secs(296));
    found(&world.images, &run.identifier);
    let seen = world.registry.seen();
    assert!(seen[0].starts_with("GET /token"), "{seen:?}");
    // In the middle of an upload.
    let draft = draft(&run, None, "x");
    world.images.check_write(&world.name("app")).unwrap();
    world.registry.state().expired = 2;
    let expire = world.registry.state().tokens;
    world.registry.state().expired = expire;
    assert_eq!(written(&world.images, &draft, world.name("app")), Ok(()));
}

#[test]
fn exchanges_identity_tokens() {
    let world = with_auth(
        Auth::Bearer(Some("refresh_token=id".to_owned())),
        Some(Credential::IdentityToken(Secret::new("id"))),
    );
    found(&world.images, &world.name("run"));
    let requests = world.registry.requests();
    let asked = requests.iter().find(|seen| seen.target == "/token").unwrap();
    assert_eq!(asked.method, "POST");
    let form = String::from_utf8_lossy(&asked.body);
    assert!(form.starts_with("grant_type=refresh_token&client_id=cnb-lifecycle&service=fake&scope="), "{form}");
    // A token server without OAuth.
    let pair = "Basic PHRva2VuPjppZA==".to_owned();
    let world = with_auth(Auth::Bearer(Some(pair)), Some(Credential::IdentityToken(Secret::new("id"))));
    found(&world.images, &world.name("run"));
}

#[test]
fn sends_registry_tokens_as_they_are() {
    let world = with_auth(Auth::Bearer(None), Some(Credential::RegistryToken(Secret::new("token-1"))));
    world.registry.state().tokens = 1;
    found(&world.images, &world.name("run"));
    assert_eq!(count(&world.registry.seen(), "GET /token"), 0);
    world.registry.state().expired = 1;
    assert!(world.error("run").denied);
}

#[test]
fn no_text_has_credentials_or_signatures() {
    let world = with_auth(Auth::Basic("Basic bWU6czNjcmV0".to_owned()), Some(Credential::basic("me", "s3cret")));
    let run = world.run();
    for (method, target) in [("PATCH", "uploads"), ("PUT", "uploads"), ("POST", "uploads"), ("GET", "manifests")] {
        world.registry.fault(method, target, Fault::Answer(400, "", "no".to_owned()));
        let text = match method {
            "GET" => world.error("run").message,
            _ => written(&world.images, &draft(&run, None, method), world.name("app")).unwrap_err(),
        };
        assert!(text.contains(method) && !text.contains("s3cret") && !text.contains("bWU6"), "{text}");
    }
    let heard = format!("{:?}", world.heard.0.lock().unwrap());
    assert!(!heard.contains("s3cret") && !heard.contains("127.0.0.1"), "{heard}");
}

#[test]
fn follows_redirects_of_blobs_without_credentials() {
    let world = with_auth(Auth::Basic("Basic dTpw".to_owned()), Some(Credential::basic("u", "p")));
    let storage = FakeRegistry::start();
    let run = world.run();
    storage.state().blobs = world.registry.state().blobs.clone();
    world.registry.state().redirect = Some(storage.address.clone());
    let tar = read(&world.images, &run, &run.layers[0].diff_id);
    assert_eq!(tar.len(), 5000);
    let requests = storage.requests();
    assert_eq!(requests.len(), 1);
    assert!(!requests[0].headers.contains_key("authorization"));
    // Without end.
    world.registry.state().redirect = Some(world.registry.address.clone());
    let error = world.images.layer(&run, &run.layers[0].diff_id).err().unwrap();
    assert!(error.message.ends_with(": too many redirects"), "{error}");
    assert!(!error.message.contains("s3cret"));
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
        world.registry.fault("PATCH", "uploads", fault.clone());
        assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name(&name)), Ok(()), "{fault:?}");
        world.registry.fault("PUT", "uploads", fault.clone());
        let name = format!("{name}-put");
        if !matches!(fault, Fault::CutRequest(1000)) {
            assert_eq!(written(&world.images, &draft(&run, None, "x"), world.name(&name)), Ok(()), "{fault:?}");
        }
    }
    let requests = world.registry.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|seen| seen.headers.get("content-range")).collect();
    assert!(ranges.iter().any(|range| range.starts_with("1000-")), "{ranges:?}");
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
fn an_insecure_registry_that_does_not_exist_is_tried_by_http_too() {
    let (images, _, _, _temporary) = client(|config| config.insecure.push("registry.invalid".to_owned()));
    let error = images.check_read("registry.invalid/bar").unwrap_err();
    assert!(error.message.contains("GET https://registry.invalid/v2/: "), "{error}");
    assert!(error.message.contains("GET http://registry.invalid/v2/: "), "{error}");
    let error = images.check_read("other.invalid/bar").unwrap_err();
    assert!(!error.message.contains("http://"), "{error}");
}

#[test]
fn a_host_that_is_no_registry_is_an_error_and_no_missing_image() {
    let world = World::new();
    world.registry.fault("GET", "/v2/", Fault::Answer(404, "", "nothing here".to_owned()));
    let error = world.error("run");
    assert!(error.message.ends_with("/v2/: unexpected status code 404 Not Found: nothing here"), "{error}");
}
