//! Exports that end in the middle: killed, told to stop, without a disk, without a registry. The tag shows the old image
//! or the new one, whole; the cache is the old or the new one, whole; and the next export succeeds.
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

/// Two builds of one app, ready to be exported.
struct Builds {
    registry: Registry,
    platform: Platform,
}

impl Builds {
    /// Runs all phases up to the export, and gives the second build other contents in app and cached layer.
    fn new() -> Self {
        let registry = Registry::plain();
        let platform = Platform::new().run_image_in(&registry);
        crate::registry::with_cached_layer(&platform);
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
        Self { registry, platform }
    }

    /// The exporter, for the build `old` or `new`.
    fn export(&self, build: &str, image: &str, cache: &Path, temp: &Path) -> Command {
        let path = |name: &str| self.platform.path(build).join(name).display().to_string();
        let report = self.folder("reports").join(image.replace('/', "_"));
        let args = [
            "-layers".to_owned(),
            path("layers"),
            "-app".to_owned(),
            path("app"),
            "-cache-dir".to_owned(),
            cache.display().to_string(),
            "-report".to_owned(),
            report.display().to_string(),
            self.platform.launcher(),
            image.to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.platform.command("exporter", &args, true);
        command.env("TMPDIR", temp).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Exports a build to its end.
    #[track_caller]
    fn exports(&self, build: &str, image: &str, cache: &Path, temp: &Path) {
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

    /// What a whole export leaves: the image's digest and the files of the cache.
    fn learn(&self, build: &str) -> State {
        let (image, cache) = (self.registry.image(&format!("whole-{build}")), self.folder(&format!("whole-{build}")));
        self.exports(build, &image, &cache, &self.folder("temp"));
        let digest = Image::fetch(&self.registry, &image, &self.platform.path(&format!("{build}-fetched"))).digest;
        State { digest, cache: committed(&cache) }
    }

    /// Checks that tag and cache are each one of two states, whole, and returns which the tag is.
    #[track_caller]
    fn is_old_or_new(&self, repository: &str, cache: &Path, states: [&State; 2]) -> bool {
        let image = self.registry.image(repository);
        let digest = digest(&image);
        let is_new = digest == states[1].digest;
        assert!(is_new || digest == states[0].digest, "{digest} is neither image");
        if is_new {
            drop(Image::fetch(&self.registry, &image, &self.platform.path(&format!("fetched-{repository}"))));
        }
        let found = committed(cache);
        assert!(states.iter().any(|state| state.cache == found), "{found:?} is neither cache");
        for name in found.iter().filter_map(|name| name.strip_prefix("sha256:")) {
            let path = cache.join("committed").join(format!("sha256:{name}"));
            let sum = tool(Command::new("sha256sum").arg(&path));
            assert!(sum.starts_with(name.trim_end_matches(".tar").as_bytes()), "{} has other bytes", path.display());
        }
        is_new
    }
}

impl Builds {
    /// Checks that tag and cache are those of a whole export.
    #[track_caller]
    fn is_new(&self, repository: &str, cache: &Path, new: &State) {
        let digest = digest(&self.registry.image(repository));
        assert_eq!((&digest, &committed(cache)), (&new.digest, &new.cache));
    }
}

/// What a whole export leaves.
struct State {
    digest: String,
    cache: BTreeSet<String>,
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

/// The names of the files in a cache.
fn committed(cache: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(cache.join("committed")) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
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
    let builds = Builds::new();
    let states = [builds.learn("old"), builds.learn("new")];
    let temp = builds.folder("temp");
    let start = Instant::now();
    builds.exports("old", &builds.registry.image("measured"), &builds.folder("measured"), &temp);
    let whole = u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut chance = Chance(0x5eed);
    let mut ends = Ends::default();
    for moment in 0..moments(KILLS) {
        let repository = format!("killed-{moment}");
        let (image, cache) = (builds.registry.image(&repository), builds.folder(&repository));
        builds.exports("old", &image, &cache, &temp);
        let mut exporter = builds.export("new", &image, &cache, &temp).spawn().unwrap();
        sleep(Duration::from_micros(chance.next(whole + whole / 10)));
        let signal = ["-KILL", "-TERM"][moment % 2];
        let _ = Command::new("kill").args([signal, &exporter.id().to_string()]).stderr(Stdio::null()).status();
        exporter.wait().unwrap();
        let is_new = builds.is_old_or_new(&repository, &cache, [&states[0], &states[1]]);
        ends.count(is_new);
        builds.exports("new", &image, &cache, &temp);
        builds.is_new(&repository, &cache, &states[1]);
        assert_eq!(fs::read_dir(&temp).unwrap().count(), 0, "nothing stays in the temporary folder");
        fs::remove_dir_all(&cache).unwrap();
    }
    println!("killed or told to stop: {ends:?}");
    assert!(ends.old > 0, "no export was caught in time: {ends:?}");
}

#[test]
fn an_export_without_room_leaves_old_or_new() {
    let builds = Builds::new();
    let states = [builds.learn("old"), builds.learn("new")];
    let mut chance = Chance(0xd15c);
    let mut ends = Ends::default();
    for moment in 0..moments(6) {
        let repository = format!("full-{moment}");
        let (image, disk) = (builds.registry.image(&repository), Disk::at(&builds.platform.path(&repository)));
        let (cache, temp) = (disk.0.join("cache"), disk.0.join("tmp"));
        for folder in [&cache, &temp] {
            fs::create_dir(folder).unwrap();
            give(folder, builds.platform.user());
        }
        builds.exports("old", &image, &cache, &temp);
        // Room for some of the spooled layers, or for all and some of the new cache.
        disk.resize(256 + chance.next(8192));
        let _ = builds.export("new", &image, &cache, &temp).status().unwrap();
        ends.count(builds.is_old_or_new(&repository, &cache, [&states[0], &states[1]]));
        disk.resize(65536);
        builds.exports("new", &image, &cache, &temp);
        builds.is_new(&repository, &cache, &states[1]);
    }
    println!("without room: {ends:?}");
    assert!(ends.old > 0 && ends.new > 0, "there is room for an image, or not: {ends:?}");
}

#[test]
fn an_export_whose_registry_dies_leaves_old_or_new() {
    let builds = Builds::new();
    let states = [builds.learn("old"), builds.learn("new")];
    let temp = builds.folder("temp");
    // Behind so many requests.
    let mut chance = Chance(0xdead);
    let deaths: Vec<usize> = (0..moments(10)).map(|_| 1 + usize::try_from(chance.next(48)).unwrap()).collect();
    for number in 0..deaths.len() {
        let repository = format!("dies-{number}");
        builds.exports("old", &builds.registry.image(&repository), &builds.folder(&repository), &temp);
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
                let cache = builds.platform.path(&repository);
                let _ = builds.export("new", &front.image(&repository), &cache, temp).status().unwrap();
            });
        }
    });
    let mut ends = Ends::default();
    for (number, death) in deaths.iter().enumerate() {
        let repository = format!("dies-{number}");
        let (image, cache) = (builds.registry.image(&repository), builds.platform.path(&repository));
        let is_new = builds.is_old_or_new(&repository, &cache, [&states[0], &states[1]]);
        assert!(!is_new || *death > 20, "{death} requests are not enough for an image");
        ends.count(is_new);
        builds.exports("new", &image, &cache, &temp);
        builds.is_new(&repository, &cache, &states[1]);
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
