//! Who asks, and who is told.

use super::super::fake::{Auth, FakeRegistry, Fault};
use super::super::retry::Pause;
use super::*;
use crate::image::conforms::{draft, read};

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
        if method == "PATCH" {
            // Only what was cut goes on so.
            world.registry.fault("PUT", target, Fault::CutRequest(1000));
        }
        world.registry.fault(method, target, Fault::Answer(403, "", "no".to_owned()));
        let text = match method {
            "GET" => world.error("run").message,
            _ => written(&world.images, &draft(&run, None, method), world.name("app")).unwrap_err(),
        };
        assert!(text.contains(method) && !text.contains("s3cret") && !text.contains("bWU6"), "{text}");
    }
    let heard = world.heard.0.lock().unwrap();
    let all = format!("{heard:?}");
    assert!(!all.contains("s3cret"), "{all}");
    // What becomes a span does not name hosts either; sentences for people may.
    let spans: Vec<_> = heard.iter().filter(|event| !matches!(event, Event::Session(_))).collect();
    assert!(!format!("{spans:?}").contains("127.0.0.1"), "{all}");
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
