//! The daemon's images against a daemon in this process: each store, and each way to fail.

mod tls;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::fake::{FakeDaemon, Fault, Store, is_empty};
use super::pool::Patience;
use super::*;
use crate::cache::VolumeCache;
use crate::effect::events::{Event, TransferEvent};
use crate::effect::images::{DraftLayer, NewLayer, TarSource};
use crate::image::conforms::{Heard, Once, conforms, draft, found, layer, made_by, read, run_config};
use crate::image::memory::{diff_id, new_layer};
use crate::model::image::ImageConfig;

/// A daemon with a run image, and a folder for what must not stay.
struct World {
    daemon: FakeDaemon,
    temp: TempDir,
}

const RUN: &str = "a.io/run";
const APP: &str = "a.io/app:1";

impl World {
    fn new(store: Store) -> Self {
        let daemon = FakeDaemon::start(store);
        daemon.insert(RUN, run_config(), vec![b"one".to_vec(), b"two".to_vec(), vec![3; 100_000]]);
        Self { daemon, temp: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> DaemonConfig {
        DaemonConfig { host: format!("unix://{}", self.daemon.socket().display()), ..DaemonConfig::default() }
    }

    fn images_with(&self, config: &DaemonConfig) -> DaemonImages {
        let daemon = Daemon::connect(config).unwrap();
        DaemonImages::new(daemon, "amd64", self.temp.path().to_owned(), Arc::new(Heard::default()).listener())
    }

    fn images(&self) -> DaemonImages {
        self.images_with(&self.config())
    }

    /// Sizes of the layers that were loaded since the last call.
    fn sent(&self) -> Vec<usize> {
        let members = std::mem::take(&mut self.daemon.state().members);
        let is_layer = |name: &str| std::path::Path::new(name).extension().is_none_or(|end| end != "json");
        members.into_iter().filter(|(name, _)| is_layer(name)).map(|(_, size)| size).collect()
    }
}

fn names() -> Vec<String> {
    vec![APP.to_owned(), "library/two".to_owned(), "b.io:5000/my/app:3".to_owned()]
}

fn message<T: std::fmt::Debug>(result: Result<T, ImageError>) -> String {
    result.unwrap_err().message
}

#[test]
fn does_what_every_store_does() {
    for store in [Store::Classic, Store::Containerd, Store::Podman] {
        let world = World::new(store);
        conforms(&world.images(), RUN, &names());
        assert!(is_empty(world.temp.path()), "{store:?}");
    }
}

#[test]
fn a_record_is_one_of_a_daemon() {
    let world = World::new(Store::Classic);
    let image = found(&world.images(), RUN);
    assert_eq!(image.identifier.len(), 64);
    assert!(image.layers.iter().all(|layer| layer.descriptor.is_none()));
    assert_eq!((image.config.os.as_str(), image.config.architecture.as_str()), ("linux", "amd64"));
    assert_eq!(image.name, RUN);
}

#[test]
fn a_written_image_has_its_id() {
    let world = World::new(Store::Classic);
    let images = world.images();
    let written = images.write(&draft(&found(&images, RUN), None, "x"), &names()).unwrap();
    let image = found(&images, APP);
    assert_eq!(written.image_id.as_deref(), Some(image.identifier.as_str()));
    assert_eq!(written.id, image.identifier[..12]);
    assert_eq!(written.digest, None);
    assert_eq!(written.names[2], ("b.io:5000/my/app:3".to_owned(), Ok(())));
}

#[test]
fn graph_drivers_get_only_what_they_do_not_have() {
    let world = World::new(Store::Classic);
    let images = world.images();
    let base = found(&images, RUN);
    let mut first = draft(&base, None, "x");
    images.write(&first, &names()).unwrap();
    assert_eq!(world.sent(), [0, 0, 0, 200_000, 1024, 20_000], "layers that are equal go out once");
    // The same layers once more, but for the last but one: what is above it counts as new.
    first.previous = Some(found(&images, APP));
    first.layers[5].0 = DraftLayer::New(layer("launcher", 9, 20_000));
    images.write(&first, &names()).unwrap();
    assert_eq!(world.sent(), [0, 0, 0, 0, 0, 20_000, 1024]);
    assert!(!world.daemon.seen().iter().any(|seen| seen.contains("/images/get")));
}

#[test]
fn a_containerd_store_gets_every_layer_in_one_load() {
    let world = World::new(Store::Containerd);
    let images = world.images();
    let base = found(&images, RUN);
    world.daemon.seen();
    images.write(&draft(&base, None, "x"), &names()).unwrap();
    let seen = world.daemon.seen();
    let count = |path: &str| seen.iter().filter(|seen| seen.contains(path)).count();
    assert_eq!((count("/images/get"), count("/images/load")), (1, 1), "{seen:#?}");
    assert_eq!(world.sent(), [3, 3, 100_000, 200_000, 1024, 20_000]);
}

#[test]
fn layers_that_only_the_daemon_has_are_sent_from_there() {
    for store in [Store::Classic, Store::Containerd, Store::Podman] {
        let world = World::new(store);
        let images = world.images();
        let base = found(&images, RUN);
        images.write(&draft(&base, None, "x"), &names()).unwrap();
        world.sent();
        let previous = found(&images, APP);
        let mut next = draft(&base, Some(&previous), "y");
        next.layers[3].0 = DraftLayer::New(layer("app", 8, 70_000));
        images.write(&next, &names()).unwrap();
        let image = found(&images, APP);
        assert_eq!(read(&images, &image, &image.layers[5].diff_id).len(), 20_000);
        let mine = if store == Store::Classic { vec![0, 0, 0] } else { vec![3, 3, 100_000] };
        assert!(world.sent().ends_with(&[mine, vec![70_000, 1024, 20_000]].concat()), "{store:?}");
        assert!(is_empty(world.temp.path()));
    }
}

#[test]
fn a_load_that_fails_is_named() {
    let world = World::new(Store::Containerd);
    let images = world.images();
    let draft = draft(&found(&images, RUN), None, "x");
    let load = "POST /v1.41/images/load";
    // Later messages count, too.
    let said = "{\"status\":\"x\"}\n{\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"x\"}\n";
    world.daemon.fault(load, Fault::Say(said));
    assert_eq!(message(images.write(&draft, &names())), "loading image \"a.io/app:1\": no space left on device");
    // So do the words of a daemon that does not wait for the end of what it is sent.
    world.daemon.fault(load, Fault::Answer(507, "{\"message\":\"disk full\"}"));
    assert_eq!(message(images.write(&draft, &names())), "Error response from daemon: disk full");
    // A daemon that says nothing has not loaded anything.
    world.daemon.fault(load, Fault::Say(""));
    assert_eq!(
        message(images.write(&draft, &names())),
        "loading image \"a.io/app:1\": the daemon does not have the image"
    );
    world.daemon.fault(load, Fault::Hangup);
    assert!(message(images.write(&draft, &names())).starts_with("POST /v1.41/images/load: "));
    assert_eq!(images.open(APP).unwrap(), Opened::Missing);
    images.write(&draft, &names()).unwrap();
}

#[test]
fn an_image_that_was_there_before_is_not_taken_for_the_new_one() {
    let world = World::new(Store::Classic);
    let images = world.images();
    let base = found(&images, RUN);
    images.write(&draft(&base, None, "old"), &names()).unwrap();
    world.daemon.fault("images/load", Fault::Say("{\"stream\":\"fine\"}"));
    let error = message(images.write(&draft(&base, None, "new"), &names()));
    assert_eq!(error, "loading image \"a.io/app:1\": the daemon does not have the image");
}

#[test]
fn no_name_moves_to_an_image_that_is_not_right() {
    for store in [Store::Classic, Store::Containerd, Store::Podman] {
        let world = World::new(store);
        let images = world.images();
        let base = found(&images, RUN);
        images.write(&draft(&base, None, "old"), &names()).unwrap();
        let old = found(&images, APP);
        world.daemon.fault("images/load", Fault::Strip);
        let error = message(images.write(&draft(&base, None, "new"), &names()));
        assert_eq!(error, "loading image \"a.io/app:1\": the daemon does not have the image", "{store:?}");
        assert_eq!(found(&images, APP), old, "{store:?}");
    }
}

#[test]
fn a_load_is_told_layer_by_layer_and_then_until_the_daemon_answers() {
    let world = World::new(Store::Classic);
    let heard = Arc::new(Heard::default());
    let daemon = Daemon::connect(&world.config()).unwrap();
    let images = DaemonImages::new(daemon, "amd64", world.temp.path().to_owned(), heard.listener());
    images.write(&draft(&found(&images, RUN), None, "x"), &names()).unwrap();
    let heard = heard.0.lock().unwrap();
    let mut sizes = BTreeMap::new();
    let mut ends = Vec::new();
    for event in heard.iter() {
        match event {
            Event::Transfer(TransferEvent::Sent { id, what, bytes, size }) => {
                assert!(Some(*bytes) <= *size);
                sizes.insert(*id, (what.as_str(), *bytes));
            }
            Event::Transfer(TransferEvent::Awaited { id, what }) => drop(sizes.insert(*id, (what, 0))),
            Event::Transfer(TransferEvent::Ended { id, arrived: true }) => ends.push(sizes[id]),
            _ => {}
        }
    }
    let awaited = ("the daemon to take 'a.io/app:1'", 0);
    assert_eq!(ends, [("layer 'app'", 200_000), ("layer 'empty'", 1024), ("layer 'launcher'", 20_000), awaited]);
}

/// A daemon that may be silent for two seconds, and while it works for a minute.
fn impatient(world: &World, work: Duration) -> DaemonImages {
    let patience = Patience { answer: Duration::from_secs(2), work };
    let daemon = Daemon::connect_with(&world.config(), patience).unwrap();
    DaemonImages::new(daemon, "amd64", world.temp.path().to_owned(), Arc::new(Heard::default()).listener())
}

#[test]
fn a_daemon_that_is_silent_for_too_long_is_an_error_that_names_daemon_and_call() {
    let world = World::new(Store::Classic);
    let images = impatient(&world, Duration::from_secs(3));
    let base = found(&images, RUN);
    let socket = format!("unix {}", world.daemon.socket().display());
    let calls: [(&str, &str, &dyn Fn() -> ImageError); 3] = [
        ("GET /v1.41/images/a.io/app:1/json", "2s", &|| images.open(APP).unwrap_err()),
        ("POST /v1.41/images/load", "3s", &|| images.write(&draft(&base, None, "x"), &names()).unwrap_err()),
        ("GET /v1.41/images/get", "3s", &|| images.layer(&base, &base.layers[0].diff_id).map(drop).unwrap_err()),
    ];
    for (call, limit, ask) in calls {
        world.daemon.seen();
        world.daemon.fault(call, Fault::Silence);
        let error = ask().message;
        assert!(error.ends_with(&format!("{call}: nothing came from the daemon at {socket} for {limit}")), "{error}");
        assert_eq!(
            world.daemon.seen().iter().filter(|seen| seen.starts_with(call)).count(),
            1,
            "it is not asked again"
        );
    }
}

#[test]
fn a_daemon_that_unpacks_an_image_may_be_silent_for_longer() {
    let world = World::new(Store::Classic);
    let images = impatient(&world, Duration::from_secs(60));
    world.daemon.fault("images/load", Fault::Late(Duration::from_millis(2500)));
    images.write(&draft(&found(&images, RUN), None, "x"), &names()).unwrap();
}

#[derive(Debug)]
struct Changed;

impl TarSource for Changed {
    fn write_tar(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&vec![0; 400_000])?;
        Err(io::Error::other("/layers/a/b changed"))
    }
}

#[test]
fn a_layer_that_breaks_is_named_and_others_can_be_written_after_it() {
    let world = World::new(Store::Classic);
    let images = world.images();
    // Nothing can be opened any more, as after a drop of privileges.
    std::fs::remove_file(world.daemon.socket()).unwrap();
    let mut draft = draft(&found(&images, RUN), None, "x");
    let whole = draft.clone();
    let broken = NewLayer { tar: Arc::new(Changed), size: 500_000, ..new_layer("a", b"a".to_vec()) };
    draft.layers.push((DraftLayer::New(broken), made_by("a")));
    assert_eq!(message(images.write(&draft, &names())), "/layers/a/b changed");
    images.write(&whole, &names()).unwrap();
}

#[test]
fn one_name_that_is_none_keeps_no_other_from_being_written() {
    let world = World::new(Store::Classic);
    let images = world.images();
    let draft = draft(&found(&images, RUN), None, "x");
    let digest = format!("a.io/app@{}", diff_id(b"x"));
    let written = images.write(&draft, &["UPPER".to_owned(), digest.clone(), APP.to_owned()]).unwrap();
    let results: Vec<String> =
        written.names.into_iter().map(|(_, result)| result.err().unwrap_or_else(|| "fine".to_owned())).collect();
    let digest = format!("refusing to create a tag with a digest reference: {digest}");
    assert_eq!(results, ["could not parse reference: UPPER".to_owned(), digest, "fine".to_owned()]);
    assert!(images.write(&draft, &["UPPER".to_owned()]).is_err());
    assert_eq!(message(images.write(&draft, &[])), "the image has no name");
    world.daemon.fault("repo=b.io", Fault::Answer(500, "{\"message\":\"no\"}"));
    let written = images.write(&draft, &names()).unwrap();
    assert_eq!(written.names[2].1, Err("Error response from daemon: no".to_owned()));
    assert_eq!(written.names[1].1, Ok(()));
}

#[test]
fn connections_outlive_the_right_to_open_them() {
    let world = World::new(Store::Classic);
    let images = world.images();
    assert_eq!(world.daemon.state().connections, 3);
    std::fs::remove_file(world.daemon.socket()).unwrap();
    conforms(&images, RUN, &names());
    // More at once than there are connections; and layers that are read while others are.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let image = found(&images, APP);
                let mut layer = images.layer(&image, &image.layers[3].diff_id).unwrap();
                found(&images, RUN);
                layer.read_to_end(&mut Vec::new()).unwrap();
            });
        }
    });
    assert_eq!(world.daemon.state().connections, 3);
    // When the last is gone that is said.
    (0..4).for_each(|_| world.daemon.fault("GET", Fault::Hangup));
    let error = message(images.open(RUN));
    assert!(error.contains("failed to connect to docker socket: dial unix "), "{error}");
    assert!(error.ends_with("connect: no such file or directory"), "{error}");
}

#[test]
fn connections_that_the_daemon_closed_are_passed_over() {
    let world = World::new(Store::Classic);
    let images = world.images();
    let base = found(&images, RUN);
    world.daemon.fault("GET", Fault::Close);
    found(&images, RUN);
    thread::sleep(Duration::from_millis(20));
    found(&images, RUN);
    // Nothing that cannot be repeated goes over one of them.
    world.daemon.fault("info", Fault::Close);
    images.write(&draft(&base, None, "x"), &names()).unwrap();
    world.daemon.fault("GET", Fault::Hangup);
    found(&images, RUN);
}

#[test]
fn layers_come_from_the_launch_cache_when_it_has_them() {
    let world = World::new(Store::Classic);
    let dir = tempfile::tempdir().unwrap();
    let images = || world.images().with_launch_cache(Arc::new(VolumeCache::open(dir.path()).unwrap()));
    let base = found(&images(), RUN);
    world.daemon.fault("images/load", Fault::Say("{\"error\":\"no\"}"));
    world.daemon.fault("images/load", Fault::Say("{\"error\":\"no\"}"));
    assert!(images().write(&draft(&base, None, "x"), &names()).is_err());
    let committed = dir.path().join("committed");
    assert!(!committed.exists(), "a load that failed leaves the cache as it was");
    world.daemon.seen();
    images().write(&draft(&base, None, "x"), &names()).unwrap();
    let previous = found(&images(), APP);
    let saves = || world.daemon.seen().iter().filter(|seen| seen.contains("/images/get")).count();
    let tars =
        || std::fs::read_dir(&committed).unwrap().filter(|entry| is_tar(&entry.as_ref().unwrap().path())).count();
    assert_eq!((saves(), tars()), (0, 3));

    // A layer in the middle changes: those above it come from the cache, and the old one goes.
    let launcher = previous.layers[5].diff_id.clone();
    assert_eq!(read(&images(), &previous, &launcher).len(), 20_000);
    let mut next = draft(&base, Some(&previous), "y");
    next.layers[3].0 = DraftLayer::New(layer("app", 8, 70_000));
    images().write(&next, &names()).unwrap();
    assert_eq!((saves(), tars()), (0, 3));

    // What is not sound is not believed.
    std::fs::write(committed.join(format!("{launcher}.tar")), b"other").unwrap();
    let previous = found(&images(), APP);
    assert_eq!(read(&images(), &previous, &launcher).len(), 20_000);
    next.previous = Some(previous);
    next.layers[3].0 = DraftLayer::New(layer("app", 7, 70_000));
    images().write(&next, &names()).unwrap();
    assert_eq!((saves(), tars()), (2, 3));
    assert_eq!(std::fs::read(committed.join(format!("{launcher}.tar"))).unwrap().len(), 20_000);

    // An image that did not change leaves the cache alone.
    let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&committed).unwrap());
    let before = inode();
    images().write(&next, &names()).unwrap();
    assert_eq!(inode(), before);

    // What is damaged and not at hand, as the daemon has it, goes; everything else is kept.
    let previous = found(&images(), APP);
    let damaged = committed.join(format!("{}.tar", previous.layers[3].diff_id));
    std::fs::write(&damaged, b"other").unwrap();
    let mut next = draft(&base, Some(&previous), "y");
    next.layers[3].0 = DraftLayer::Reuse(previous.layers[3].diff_id.clone());
    next.layers[5].0 = DraftLayer::New(layer("launcher", 9, 30_000));
    images().write(&next, &names()).unwrap();
    assert_eq!((damaged.exists(), tars()), (false, 2));
}

#[test]
fn a_new_layer_is_read_once_for_daemon_and_launch_cache() {
    let world = World::new(Store::Classic);
    let dir = tempfile::tempdir().unwrap();
    let images = world.images().with_launch_cache(Arc::new(VolumeCache::open(dir.path()).unwrap()));
    let bytes = vec![7; 300_000];
    let new = NewLayer { tar: Arc::new(Once(bytes.clone(), false.into())), ..new_layer("a", bytes.clone()) };
    let cached = dir.path().join("committed").join(format!("{}.tar", new.diff_id));
    let base = found(&images, RUN);
    let draft = ImageDraft { layers: vec![(DraftLayer::New(new), made_by("a"))], ..draft(&base, None, "x") };
    images.write(&draft, &names()).unwrap();
    assert!(std::fs::read(cached).unwrap() == bytes);
}

fn is_tar(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}

#[test]
fn a_daemon_is_asked_again_and_again_until_nobody_cares() {
    let world = World::new(Store::Podman);
    let daemon = Daemon::connect(&world.config()).unwrap();
    let pings = || world.daemon.state().pings();
    let before = pings();
    let (failed, heard) = std::sync::mpsc::channel();
    let awake = daemon.keep_awake(Duration::from_millis(5), move |error| failed.send(error).unwrap());
    while pings() < before + 10 {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(world.daemon.state().connections, 3);
    drop(awake);
    // The thread ends, and with it what it would tell a failure with.
    assert!(heard.recv().is_err());

    std::fs::remove_file(world.daemon.socket()).unwrap();
    (0..3).for_each(|_| world.daemon.fault("/_ping", Fault::Hangup));
    let (failed, heard) = std::sync::mpsc::channel();
    let _awake = daemon.keep_awake(Duration::from_millis(5), move |error| failed.send(error).unwrap());
    assert!(heard.recv().unwrap().to_string().starts_with("failed to connect to docker socket"));
}

#[test]
fn speaks_the_newest_version_that_both_know() {
    let world = World::new(Store::Classic);
    let ask = |api: Option<&'static str>, given: &str| {
        world.daemon.state().api = api;
        let images = world.images_with(&DaemonConfig { api_version: given.to_owned(), ..world.config() });
        found(&images, RUN);
        world.daemon.seen().remove(0)
    };
    assert_eq!(ask(Some("1.41"), ""), "GET /v1.41/images/a.io/run/json");
    assert_eq!(ask(Some("1.99"), ""), "GET /v1.51/images/a.io/run/json");
    assert_eq!(ask(Some("1.44"), "v1.40"), "GET /v1.40/images/a.io/run/json");
    assert_eq!(ask(None, ""), "GET /v1.24/images/a.io/run/json");
    let error = Daemon::connect(&DaemonConfig { api_version: "new".to_owned(), ..world.config() }).err().unwrap();
    assert_eq!(error.to_string(), "invalid API version 'new'");
}

#[test]
fn a_daemon_that_knows_platforms_is_asked_for_ours() {
    let world = World::new(Store::Containerd);
    world.daemon.state().api = Some("1.49");
    let images = world.images();
    let image = found(&images, RUN);
    let platform = "?platform=%7B%22architecture%22%3A%22amd64%22%2C%22os%22%3A%22linux%22%7D";
    assert!(world.daemon.seen().contains(&format!("GET /v1.49/images/a.io/run/json{platform}")));
    read(&images, &image, &image.layers[0].diff_id);
    assert!(world.daemon.seen()[0].ends_with(&platform[1..]));
    // Where it has no image for it, the one that it has is taken.
    world.daemon.fault("run/json?platform", Fault::Answer(404, "{}"));
    assert_eq!(found(&images, RUN), image);
}

#[test]
fn tells_what_a_daemon_says() {
    let world = World::new(Store::Classic);
    let images = world.images();
    for (status, body, expected) in [
        (500, "{\"message\":\"it broke\"}", "it broke"),
        (
            400,
            "{\"cause\":\"c\",\"message\":\"invalid reference format\",\"response\":400}",
            "invalid reference format",
        ),
        (502, "Bad\r\n gateway", "Bad gateway"),
        (403, "", "status 403"),
    ] {
        world.daemon.fault("GET", Fault::Answer(status, body));
        let error = images.open(APP).unwrap_err();
        assert_eq!(error.message, format!("inspecting image \"{APP}\": Error response from daemon: {expected}"));
        assert_eq!((error.denied, error.retryable), (status == 403, status >= 500));
    }
    world.daemon.fault("GET", Fault::Say("{\"Id\":7}"));
    let error = message(images.open(APP));
    assert!(
        error.ends_with("GET /images/a.io/app:1/json: json: cannot unmarshal number into field Id of type string"),
        "{error}"
    );
    // No name leads anywhere else.
    assert_eq!(images.open("a b?c#d/../\r\nX: y").unwrap(), Opened::Missing);
    assert!(world.daemon.seen().last().unwrap().contains("/images/a%20b%3Fc%23d/../%0D%0AX:%20y/json"));
}

#[test]
fn a_layer_that_a_daemon_does_not_give_is_an_error() {
    let world = World::new(Store::Classic);
    let images = world.images();
    let image = found(&images, RUN);
    let unknown = diff_id(b"?");
    let expected = format!("the daemon did not give layer {unknown} of image {}", image.identifier);
    assert_eq!(message(images.layer(&image, &unknown).map(drop)), expected);
    let mut lying = image.clone();
    lying.layers[0].diff_id = unknown.clone();
    assert_eq!(message(images.layer(&lying, &unknown).map(drop)), expected);
    world.daemon.fault("/images/get", Fault::Say("not an archive"));
    let error = message(images.layer(&image, &image.layers[0].diff_id).map(drop));
    assert!(error.starts_with("saving image with ID") && error.ends_with("it is cut off"), "{error}");
}

#[test]
fn nobody_there_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let connect = |host: String| Daemon::connect(&DaemonConfig { host, ..DaemonConfig::default() }).err().unwrap();
    let socket = dir.path().join("x.sock");
    assert_eq!(
        connect(format!("unix://{}", socket.display())).to_string(),
        format!(
            "failed to connect to docker socket: dial unix {}: connect: no such file or directory",
            socket.display()
        )
    );
    // A socket on which nobody listens any more.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(
        connect(format!("unix://{}", socket.display())).to_string().ends_with("x.sock: connect: connection refused")
    );
    assert!(
        connect("tcp://127.0.0.1:1".to_owned())
            .to_string()
            .ends_with("dial tcp 127.0.0.1:1: connect: connection refused")
    );
    let world = World::new(Store::Classic);
    world.daemon.state().api = None;
    (0..2).for_each(|_| world.daemon.fault("/_ping", Fault::Answer(503, "starting")));
    let error = Daemon::connect(&world.config()).err().unwrap();
    assert!(matches!(&error, Error::Transport { .. } | Error::Refused { .. }), "{error}");
}

#[test]
fn works_over_tcp_behind_a_path() {
    let world = World::new(Store::Classic);
    let address = world.daemon.listen(|stream| stream);
    let config = DaemonConfig { host: format!("tcp://{address}/engine/"), ..DaemonConfig::default() };
    conforms(&world.images_with(&config), RUN, &names());
    assert!(world.daemon.seen()[0].starts_with("GET /engine/v1.41/images/"));
}

#[test]
fn an_image_without_layers_can_be_opened() {
    let world = World::new(Store::Classic);
    world.daemon.insert("a.io/empty", ImageConfig::default(), Vec::new());
    assert_eq!(found(&world.images(), "a.io/empty").layers, []);
}
