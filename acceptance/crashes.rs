//! Exports that end in the middle: killed, told to stop, without a disk, without a registry. The tag shows the old image
//! or the new one, whole; the cache is the old or the new one, whole; and the next export succeeds. Kills come to exports
//! to a registry with a folder or an image as cache, to a layout, and to a daemon with a launch cache.
//!
//! Policy P26, P28, P38. The moments are drawn at random, the same each time. With `CRASHES=200` the kills
//! alone take 4 to 7 minutes on two cores, all parts up to half an hour; `--nocapture` shows what became of each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::machine::copy_folder;
use crate::support::daemon::Daemon;
use crate::support::front::Front;
use crate::support::image::Image;
use crate::support::platform::Platform;
use crate::support::registry::Registry;
use crate::support::{give, tool};

/// How often an export is killed here; `CRASHES` asks for another number, and for as many times more of what else may
/// happen.
const KILLS: usize = 24;

/// Numbers without a pattern, the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Where images and caches are.
enum Medium {
    /// A registry, and a folder.
    Registry,
    /// Both in a registry.
    CacheImage,
    /// OCI layouts, and a folder.
    Layout,
    /// A daemon, and a folder for the launch cache.
    Daemon(Daemon),
}

/// Two builds of one app, ready to be exported.
struct Builds {
    registry: Registry,
    platform: Platform,
    medium: Medium,
}

impl Builds {
    /// Runs all phases up to the export, and gives the second build other contents in app and cached layer.
    fn new(medium: Medium) -> Self {
        let registry = Registry::plain();
        let mut platform = Platform::new().run_image_in(&registry);
        crate::registry::with_cached_layer(&platform);
        match &medium {
            Medium::Registry | Medium::CacheImage => {}
            Medium::Layout => {
                copy_folder(&platform.path("run-image"), &layout(&platform, &registry.image("run"))).unwrap();
                give(&platform.path("layouts"), platform.user());
                platform.env("CNB_USE_LAYOUT", "true");
                platform.env("CNB_LAYOUT_DIR", platform.path("layouts").to_str().unwrap());
                platform.env("CNB_EXPERIMENTAL_MODE", "quiet");
            }
            Medium::Daemon(daemon) => {
                daemon.pull(&registry.image("run"));
                platform.env("CNB_USE_DAEMON", "true");
                platform.env("DOCKER_HOST", &daemon.host());
            }
        }
        platform.fresh_layers();
        platform.run("analyzer", &[&registry.image("app")]).exits(0).done();
        platform.run("detector", &[]).exits(0).done();
        platform.run("builder", &[]).exits(0).done();
        for (build, seed) in [("old", 1), ("new", 2)] {
            let mut chance = Chance(seed);
            let mut noise = || (0..3 << 17).flat_map(|_| chance.next(u64::MAX).to_le_bytes()).collect::<Vec<u8>>();
            copy_folder(&platform.path("layers"), &platform.path(build).join("layers")).unwrap();
            copy_folder(&platform.path("workspace"), &platform.path(build).join("app")).unwrap();
            fs::write(platform.path(build).join("app/large"), noise()).unwrap();
            fs::write(platform.path(build).join("layers/cached/kept/large"), noise()).unwrap();
            give(&platform.path(build), platform.user());
        }
        Self { registry, platform, medium }
    }

    /// The exporter, for the build `old` or `new`; `cache` is the flag for the cache and its value.
    fn export(&self, build: &str, image: &str, cache: &[String; 2], temp: &Path) -> Command {
        let path = |name: &str| self.platform.path(build).join(name).display().to_string();
        let report = self.folder("reports").join(image.replace('/', "_"));
        let args = [
            "-layers".to_owned(),
            path("layers"),
            "-app".to_owned(),
            path("app"),
            cache[0].clone(),
            cache[1].clone(),
            "-report".to_owned(),
            report.display().to_string(),
            self.platform.launcher(),
            image.to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.platform.command("exporter", &args, true);
        command.env_remove("CNB_CACHE_DIR").env("TMPDIR", temp).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Exports a build to its end.
    #[track_caller]
    fn exports(&self, build: &str, image: &str, cache: &[String; 2], temp: &Path) {
        let output = self.export(build, image, cache, temp).stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// A folder for a cache, the user's.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.platform.path(name);
        fs::create_dir_all(&path).unwrap();
        give(&path, self.platform.user());
        path
    }

    /// The flag for the cache of this name, and its value.
    fn cache(&self, name: &str) -> [String; 2] {
        match self.medium {
            Medium::CacheImage => ["-cache-image".to_owned(), self.cache_image(name)],
            Medium::Daemon(_) => ["-launch-cache".to_owned(), self.folder(name).display().to_string()],
            Medium::Registry | Medium::Layout => in_folder(&self.folder(name)),
        }
    }

    fn cache_image(&self, name: &str) -> String {
        self.registry.image(&format!("{name}-cache"))
    }

    /// What whole exports of both builds leave.
    fn learn(&self) -> [State; 2] {
        ["old", "new"].map(|build| {
            let name = format!("whole-{build}");
            self.exports(build, &self.registry.image(&name), &self.cache(&name), &self.folder("temp"));
            self.state(&name)
        })
    }

    /// Image and cache of a name, found to be whole.
    #[track_caller]
    fn state(&self, name: &str) -> State {
        let cache = match self.medium {
            Medium::CacheImage => BTreeSet::from([self.fetched(&self.cache_image(name))]),
            _ => committed(&self.folder(name)),
        };
        State { digest: self.image(&self.registry.image(name)), cache }
    }

    /// The digest of an image that is whole.
    #[track_caller]
    fn image(&self, image: &str) -> String {
        match &self.medium {
            Medium::Registry | Medium::CacheImage => self.fetched(image),
            Medium::Layout => Image::read_whole(&layout(&self.platform, image)).digest,
            // The daemon looked at every layer when it took the image.
            Medium::Daemon(daemon) => daemon.id(image),
        }
    }

    #[track_caller]
    fn fetched(&self, image: &str) -> String {
        let digest = digest(image);
        let folder = self.platform.path("fetched");
        assert_eq!(Image::fetch(&self.registry, image, &folder).digest, digest);
        fs::remove_dir_all(&folder).unwrap();
        digest
    }

    /// Ends many exports of the new build over the old one at any moment, and looks what they left.
    fn killed_at(&self, moments: usize) -> Ends {
        let (states, temp) = (self.learn(), self.folder("temp"));
        let exports =
            |build: &str, name: &str| self.exports(build, &self.registry.image(name), &self.cache(name), &temp);
        let start = Instant::now();
        exports("old", "measured");
        let whole = u64::try_from(start.elapsed().as_micros()).unwrap();
        let mut chance = Chance(0x5eed);
        let mut ends = Ends::default();
        for moment in 0..moments {
            let name = format!("killed-{moment}");
            exports("old", &name);
            let mut exporter =
                self.export("new", &self.registry.image(&name), &self.cache(&name), &temp).spawn().unwrap();
            sleep(Duration::from_micros(chance.next(whole + whole / 10)));
            let signal = ["-KILL", "-TERM"][moment % 2];
            let _ = Command::new("kill").args([signal, &exporter.id().to_string()]).stderr(Stdio::null()).status();
            exporter.wait().unwrap();
            ends.count(self.state(&name).is_new(&states));
            exports("new", &name);
            assert_eq!(self.state(&name), states[1]);
            assert_eq!(fs::read_dir(&temp).unwrap().count(), 0, "nothing stays in the temporary folder");
            self.has_nothing_unfinished(&name);
            fs::remove_dir_all(self.folder(&name)).unwrap();
        }
        assert!(ends.old > 0, "no export was caught in time: {ends:?}");
        ends
    }

    /// Checks that a layout has nothing but an image.
    fn has_nothing_unfinished(&self, name: &str) {
        if matches!(self.medium, Medium::Layout) {
            let entries = fs::read_dir(layout(&self.platform, &self.registry.image(name))).unwrap();
            let names: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            assert_eq!(names, ["blobs", "index.json", "oci-layout"].map(str::to_owned).into());
        }
    }
}

/// The folder of an image in a layout.
fn layout(platform: &Platform, image: &str) -> PathBuf {
    platform.path("layouts").join(image).join("latest")
}

/// The flag for a cache in a folder.
fn in_folder(cache: &Path) -> [String; 2] {
    ["-cache-dir".to_owned(), cache.display().to_string()]
}

/// What an export leaves: the image, and the files of the cache or its digest.
#[derive(Debug, PartialEq, Eq)]
struct State {
    digest: String,
    cache: BTreeSet<String>,
}

impl State {
    /// Checks that image and cache are each one of two, and says whether the image is the second.
    #[track_caller]
    fn is_new(&self, [old, new]: &[State; 2]) -> bool {
        assert!([old, new].iter().any(|state| state.digest == self.digest), "{} is neither image", self.digest);
        assert!([old, new].iter().any(|state| state.cache == self.cache), "{:?} is neither cache", self.cache);
        self.digest == new.digest
    }
}

/// The digest of an image's manifest.
fn digest(image: &str) -> String {
    let mut curl = Command::new("curl");
    let (host, repository) = image.split_once('/').unwrap();
    // The registry may be in the middle of writing the tag for a client that is gone, and answers 500 then.
    curl.args(["--silent", "--fail", "--head", "--retry", "5"]);
    curl.args(["--header", "Accept: application/vnd.oci.image.manifest.v1+json"]);
    let head = tool(curl.arg(format!("http://{host}/v2/{repository}/manifests/latest")));
    let head = String::from_utf8_lossy(&head).into_owned();
    let digest = head.lines().rev().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
    digest.unwrap_or_else(|| panic!("{head}")).trim().to_owned()
}

/// The names of the files in a cache, each of which is whole.
#[track_caller]
fn committed(cache: &Path) -> BTreeSet<String> {
    let committed = cache.join("committed");
    let Ok(entries) = fs::read_dir(&committed) else { return BTreeSet::new() };
    let names: BTreeSet<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in &names {
        if let Some(hex) = name.strip_prefix("sha256:") {
            let sum = tool(Command::new("sha256sum").arg(committed.join(name)));
            assert!(sum.starts_with(hex.trim_end_matches(".tar").as_bytes()), "{name} has other bytes");
        }
    }
    names
}

/// How many moments there are of a kind of which there are `usual` when nobody asks for more.
fn moments(usual: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test target has no other way to be told")]
    let asked = std::env::var("CRASHES");
    asked.ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS) * usual / KILLS
}

/// How many exports left the old image, and how many the new one.
#[derive(Debug, Default)]
struct Ends {
    old: usize,
    new: usize,
}

impl Ends {
    fn count(&mut self, is_new: bool) {
        *if is_new { &mut self.new } else { &mut self.old } += 1;
    }
}

#[test]
fn an_export_that_is_killed_or_told_to_stop_leaves_old_or_new() {
    let ends = Builds::new(Medium::Registry).killed_at(moments(KILLS));
    println!("killed or told to stop, a registry: {ends:?}");
}

#[test]
fn an_export_to_a_layout_that_is_killed_leaves_old_or_new() {
    let ends = Builds::new(Medium::Layout).killed_at(moments(8));
    println!("killed or told to stop, a layout: {ends:?}");
}

#[test]
fn an_export_to_a_daemon_that_is_killed_leaves_old_or_new() {
    let ends = Builds::new(Medium::Daemon(Daemon::start())).killed_at(moments(8));
    println!("killed or told to stop, a daemon: {ends:?}");
}

#[test]
fn an_export_with_a_cache_image_that_is_killed_leaves_old_or_new() {
    let ends = Builds::new(Medium::CacheImage).killed_at(moments(8));
    println!("killed or told to stop, a cache image: {ends:?}");
}

#[test]
fn an_export_without_room_leaves_old_or_new() {
    let builds = Builds::new(Medium::Registry);
    let states = builds.learn();
    let mut chance = Chance(0xd15c);
    let mut ends = Ends::default();
    for moment in 0..moments(6) {
        let repository = format!("full-{moment}");
        let (image, disk) = (builds.registry.image(&repository), Disk::at(&builds.platform.path(&repository)));
        let (folder, temp) = (disk.0.join("cache"), disk.0.join("tmp"));
        for folder in [&folder, &temp] {
            fs::create_dir(folder).unwrap();
            give(folder, builds.platform.user());
        }
        let cache = in_folder(&folder);
        let state = || State { digest: builds.image(&image), cache: committed(&folder) };
        builds.exports("old", &image, &cache, &temp);
        // Room for some of the spooled layers, or for all and some of the new cache.
        disk.resize(256 + chance.next(8192));
        let _ = builds.export("new", &image, &cache, &temp).status().unwrap();
        ends.count(state().is_new(&states));
        disk.resize(65536);
        builds.exports("new", &image, &cache, &temp);
        assert_eq!(state(), states[1]);
    }
    println!("without room: {ends:?}");
    assert!(ends.old > 0 && ends.new > 0, "there is room for an image, or not: {ends:?}");
}

#[test]
fn an_export_whose_registry_dies_leaves_old_or_new() {
    let builds = Builds::new(Medium::Registry);
    let states = builds.learn();
    let temp = builds.folder("temp");
    // Behind so many requests.
    let mut chance = Chance(0xdead);
    let deaths: Vec<usize> = (0..moments(10)).map(|_| 1 + usize::try_from(chance.next(48)).unwrap()).collect();
    for number in 0..deaths.len() {
        let repository = format!("dies-{number}");
        builds.exports("old", &builds.registry.image(&repository), &builds.cache(&repository), &temp);
    }
    // Each waits for its registry for a while, all at the same time.
    thread::scope(|scope| {
        for (number, death) in deaths.iter().enumerate() {
            let (builds, temp, death) = (&builds, &temp, *death);
            scope.spawn(move || {
                let repository = format!("dies-{number}");
                let asked = Arc::new(AtomicUsize::new(0));
                let front = Front::of(&builds.registry, move |_, _| {
                    (asked.fetch_add(1, Ordering::SeqCst) >= death).then_some((0, ""))
                });
                let cache = builds.cache(&repository);
                let _ = builds.export("new", &front.image(&repository), &cache, temp).status().unwrap();
            });
        }
    });
    let mut ends = Ends::default();
    for (number, death) in deaths.iter().enumerate() {
        let repository = format!("dies-{number}");
        let is_new = builds.state(&repository).is_new(&states);
        assert!(!is_new || *death > 20, "{death} requests are not enough for an image");
        ends.count(is_new);
        builds.exports("new", &builds.registry.image(&repository), &builds.cache(&repository), &temp);
        assert_eq!(builds.state(&repository), states[1]);
    }
    println!("the registry died: {ends:?}");
}

/// A file system of its own, gone when it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn at(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        tool(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m,mode=1777", "disk"]).arg(path));
        Self(path.to_owned())
    }

    /// Gives it another size, in KiB, at least what is in it.
    fn resize(&self, more: u64) {
        let used = tool(Command::new("du").args(["-sk"]).arg(&self.0));
        let used = String::from_utf8_lossy(&used).split_whitespace().next().unwrap().parse::<u64>().unwrap();
        let size = format!("remount,size={}k", used + more);
        tool(Command::new("mount").args(["-o", &size]).arg(&self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
