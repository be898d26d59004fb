//! What is extracted, and what is refused: every attack looks whether anything outside of the folder has changed.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::archive::fixture::{Archive, Fixture, without_privileges};
use crate::archive::measure::Sum;
use crate::archive::{Owner, measure};
use crate::effect::images::TarSource;

const LAYER: &str = "/layers/bp/layer";

/// A root with the layers folder and something outside of it that must stay as it is.
struct World {
    root: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir_all(world.at("/layers/bp")).unwrap();
        fs::create_dir(world.at("/outside")).unwrap();
        fs::write(world.at("/outside/secret"), "secret").unwrap();
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name.trim_start_matches('/'))
    }

    fn extract(&self, archive: &Archive) -> Result<Extracted, Error> {
        extract(&archive.bytes()[..], self.root.path(), Path::new(LAYER))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.at(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Everything below a folder.
    fn names(&self, below: &str) -> Vec<String> {
        let entries = walkdir::WalkDir::new(self.at(below)).min_depth(1).sort_by_file_name().into_iter();
        let name =
            |entry: walkdir::DirEntry| entry.path().strip_prefix(self.at(below)).unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| name(entry.unwrap())).collect()
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(self.names("/outside"), ["secret"]);
        assert_eq!(self.read("/outside/secret"), "secret");
        let mut top = self.names("/");
        top.retain(|name| !name.contains('/'));
        assert_eq!(top, ["layers", "outside"]);
    }

    /// Extracts an archive that must be refused, and leave nothing.
    fn refuse(&self, archive: &Archive) -> Error {
        let before = self.names("/layers");
        let error = self.extract(archive).unwrap_err();
        self.assert_outside_untouched();
        assert_eq!(self.names("/layers"), before, "{error}");
        error
    }
}

/// An archive that begins as that of a layer does.
fn layer() -> Archive {
    Archive::new().directory("/layers", 0o755).directory("/layers/bp", 0o755).directory(LAYER, 0o755)
}

/// Extracts twice, hashing on this thread and on another one, which must make no difference.
fn verified(world: &World, bytes: &[u8], expected: &DiffId) -> Result<Extracted, Error> {
    let with = |hashing| {
        extract_verified(bytes, expected, world.root.path(), Path::new(LAYER), hashing)
            .map(|extracted| Extracted { ended: None, ..extracted })
    };
    let (here, ahead) = (with(Hashing::Here), with(Hashing::Ahead));
    assert_eq!(format!("{here:?}"), format!("{ahead:?}"));
    ahead
}

fn digest(bytes: &[u8]) -> DiffId {
    let mut sum = Sum::new();
    sum.write_all(bytes).unwrap();
    sum.diff_id()
}

#[test]
fn restores_what_was_archived() {
    let fixture = Fixture::new();
    let long = "n".repeat(150);
    fixture.file(format!("{LAYER}/{long}/{long}"), "deep", 0o640);
    fixture.file(format!("{LAYER}/bin/run"), "#!", 0o4755);
    fixture.file(format!("{LAYER}/big"), vec![b'x'; 700_000], 0o666);
    fixture.file(std::ffi::OsStr::from_bytes(b"/layers/bp/layer/\xff"), "raw", 0o600);
    fixture.link(&format!("{LAYER}/link"), "/nowhere");
    fixture.file(format!("{LAYER}/sealed/inner/file"), "", 0o444);
    fs::set_permissions(fixture.at(format!("{LAYER}/sealed/inner")), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(fixture.at(format!("{LAYER}/sealed")), fs::Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(fixture.at(format!("{LAYER}/bin")), fs::Permissions::from_mode(0o2777)).unwrap();
    let tar = fixture.directory(LAYER, Owner { uid: 1, gid: 1 }).unwrap();
    let mut bytes = Vec::new();
    tar.write_tar(&mut bytes).unwrap();
    let diff_id = measure(&tar).unwrap().diff_id;

    let world = World::new();
    let extracted = verified(&world, &bytes, &diff_id).unwrap();
    assert_eq!((extracted.files, extracted.bytes), (11, 700_009));
    assert_eq!(world.read(&format!("{LAYER}/{long}/{long}")), "deep");
    assert_eq!(fs::read_link(world.at("/layers/bp/layer/link")).unwrap(), Path::new("/nowhere"));
    for (name, mode) in
        [("bin/run", 0o4755), ("bin", 0o2777), ("big", 0o666), ("sealed", 0o500), ("sealed/inner", 0o555)]
    {
        assert_eq!(world.mode(&format!("{LAYER}/{name}")), mode, "{name}");
    }
    // What comes out goes in again with the same digest.
    let ancestors = fixture.origin().ancestors;
    let origin = crate::archive::directory::Origin { prefix: world.root.path(), ancestors };
    let again = crate::archive::directory::plan(&origin, Path::new(LAYER), Owner { uid: 1, gid: 1 }).unwrap();
    assert_eq!(measure(&again).unwrap().diff_id, diff_id);
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in [
        "/layers/bp/layer/../../../outside/new",
        "../../outside/new",
        "/outside/new",
        "outside/new",
        "/layers/bp/layer2/new",
        "/layers/bp/new",
        "/layers",
        LAYER,
        "/",
        "..",
    ] {
        let error = World::new().refuse(&layer().file("/layers/bp/layer/first", "1").file(name, "evil"));
        assert!(matches!(error, Error::Outside { .. }), "{name}: {error}");
        assert!(error.blames_archive());
    }
    let error = World::new().refuse(&layer().symlink("/layers/bp", "/outside"));
    assert_eq!(error.to_string(), "the archive has '/layers/bp', which is no place in '/layers/bp/layer'");
}

#[test]
fn names_are_joined_below_the_root() {
    let world = World::new();
    let archive = layer()
        .file("layers/bp/layer/relative", "1")
        .file("../../layers/bp/layer/./a//b", "2")
        .file("/layers/other/../bp/layer/c", "3");
    world.extract(&archive).unwrap();
    assert_eq!(world.names(LAYER), ["a", "a/b", "c", "relative"]);
}

#[test]
fn a_link_that_the_archive_made_is_not_followed() {
    for target in ["/outside", "../../../outside", ".", "/layers/bp/layer/real"] {
        let archive = layer().directory("/layers/bp/layer/real", 0o755).symlink("/layers/bp/layer/link", target);
        let error = World::new().refuse(&archive.file("/layers/bp/layer/link/new", "evil"));
        assert!(matches!(error, Error::InTheWay { .. }), "{target}: {error}");
    }
}

#[test]
fn a_link_that_was_there_is_not_followed() {
    let world = World::new();
    fs::create_dir(world.at(LAYER)).unwrap();
    symlink(world.at("/outside"), world.at("/layers/bp/layer/link")).unwrap();
    for name in ["link/new", "link/a/b/new"] {
        let error = world.refuse(&layer().file(&format!("{LAYER}/{name}"), "evil"));
        assert!(matches!(error, Error::InTheWay { .. }), "{error}");
    }
    let error = world.refuse(&layer().hard_link("/layers/bp/layer/x", "/layers/bp/layer/link/secret"));
    assert!(matches!(error, Error::InTheWay { .. }), "{error}");
}

#[test]
fn a_link_that_was_there_is_replaced() {
    let world = World::new();
    fs::create_dir(world.at(LAYER)).unwrap();
    for name in ["file", "folder", "link"] {
        symlink(world.at("/outside/secret"), world.at(&format!("{LAYER}/{name}"))).unwrap();
    }
    symlink(world.at("/outside"), world.at("/layers/bp/layer/tree")).unwrap();
    let archive = layer()
        .file("/layers/bp/layer/file", "new")
        .directory("/layers/bp/layer/folder", 0o755)
        .symlink("/layers/bp/layer/link", "elsewhere")
        .directory("/layers/bp/layer/tree", 0o755)
        .file("/layers/bp/layer/tree/secret", "mine");
    world.extract(&archive).unwrap();
    world.assert_outside_untouched();
    assert_eq!(world.read("/layers/bp/layer/file"), "new");
    assert!(world.at("/layers/bp/layer/folder").is_dir());
    assert_eq!(fs::read_link(world.at("/layers/bp/layer/link")).unwrap(), Path::new("elsewhere"));
    assert_eq!(world.read("/layers/bp/layer/tree/secret"), "mine");
}

#[test]
fn a_link_in_the_place_of_the_folder_is_replaced() {
    let world = World::new();
    symlink(world.at("/outside"), world.at(LAYER)).unwrap();
    world.extract(&layer().file("/layers/bp/layer/secret", "mine")).unwrap();
    world.assert_outside_untouched();
    assert_eq!(world.read("/layers/bp/layer/secret"), "mine");
}

#[test]
fn links_above_the_folder_are_the_platforms_own() {
    let world = World::new();
    fs::rename(world.at("/layers"), world.at("/real")).unwrap();
    symlink("real", world.at("/layers")).unwrap();
    world.extract(&layer().file("/layers/bp/layer/file", "1")).unwrap();
    assert_eq!(world.read("/real/bp/layer/file"), "1");
}

#[test]
fn a_file_with_another_name_outside_is_not_written_through() {
    let world = World::new();
    fs::create_dir(world.at(LAYER)).unwrap();
    fs::hard_link(world.at("/outside/secret"), world.at("/layers/bp/layer/file")).unwrap();
    world.extract(&layer().file("/layers/bp/layer/file", "new")).unwrap();
    world.assert_outside_untouched();
    assert_eq!(world.read("/layers/bp/layer/file"), "new");
}

#[test]
fn hard_links_to_files_of_the_archive_are_made() {
    let world = World::new();
    let archive = layer()
        .file("/layers/bp/layer/a", "1")
        .hard_link("/layers/bp/layer/sub/b", "layers/bp/layer/a")
        .hard_link("/layers/bp/layer/a", "/layers/bp/layer/a");
    world.extract(&archive).unwrap();
    assert_eq!(world.read("/layers/bp/layer/sub/b"), "1");
    assert_eq!(fs::metadata(world.at("/layers/bp/layer/a")).unwrap().nlink(), 2);
}

#[test]
fn hard_links_to_other_files_are_refused() {
    for target in ["/outside/secret", "../../../outside/secret", "/layers/bp/layer/../../../outside/secret", LAYER] {
        let error = World::new().refuse(&layer().hard_link("/layers/bp/layer/x", target));
        assert!(matches!(error, Error::Outside { .. }), "{target}: {error}");
    }
    let archive = layer().symlink("/layers/bp/layer/link", "/outside");
    let error = World::new().refuse(&archive.hard_link("/layers/bp/layer/x", "/layers/bp/layer/link/secret"));
    assert!(matches!(error, Error::InTheWay { .. }), "{error}");
    // A hard link to a link is the link once more; writing to it replaces it.
    let world = World::new();
    let archive = layer()
        .symlink("/layers/bp/layer/link", "/outside/secret")
        .hard_link("/layers/bp/layer/x", "/layers/bp/layer/link")
        .file("/layers/bp/layer/x", "mine");
    world.extract(&archive).unwrap();
    world.assert_outside_untouched();
    assert_eq!(world.read("/layers/bp/layer/x"), "mine");
}

#[test]
fn pipes_and_devices_are_left_out_and_named() {
    let world = World::new();
    let archive = layer()
        .entry("/layers/bp/layer/pipe", b'6', 0o644, "", b"")
        .entry("/layers/bp/layer/null", b'3', 0o666, "", b"")
        .entry("/layers/bp/layer/disk", b'4', 0o666, "", b"")
        .file("/layers/bp/layer/file", "1");
    let extracted = world.extract(&archive).unwrap();
    assert_eq!(world.names(LAYER), ["file"]);
    let named = ["pipe", "null", "disk"].map(|name| Path::new(LAYER).join(name));
    assert_eq!((extracted.skipped, extracted.skipped_count), (named.to_vec(), 3));
}

#[test]
fn folders_keep_their_permissions_if_they_were_there() {
    let world = World::new();
    fs::create_dir(world.at(LAYER)).unwrap();
    fs::set_permissions(world.at(LAYER), fs::Permissions::from_mode(0o711)).unwrap();
    let archive = Archive::new()
        .directory("/layers", 0o700)
        .directory(LAYER, 0o700)
        .directory("/layers/bp/layer/new", 0o1770)
        .file("/layers/bp/layer/implied/file", "");
    let before = world.mode("/layers");
    world.extract(&archive).unwrap();
    assert_eq!((world.mode("/layers"), world.mode(LAYER)), (before, 0o711));
    assert_eq!(world.mode("/layers/bp/layer/new"), 0o1770);
    let umask = 0o777
        & !{
            fs::create_dir(world.at("/probe")).unwrap();
            world.mode("/probe")
        };
    assert_eq!(world.mode("/layers/bp/layer/implied"), 0o777 & !umask);
}

#[test]
fn folders_above_are_made_with_the_permissions_of_their_entries() {
    let world = World::new();
    fs::remove_dir_all(world.at("/layers")).unwrap();
    let archive = Archive::new().directory("/layers", 0o750).directory("/layers/bp", 0o555).directory(LAYER, 0o701);
    world.extract(&archive.file("/layers/bp/layer/a", "")).unwrap();
    assert_eq!([world.mode("/layers"), world.mode("/layers/bp"), world.mode(LAYER)], [0o750, 0o555, 0o701]);
}

#[test]
fn pax_and_gnu_extensions_are_read() {
    let world = World::new();
    let long = format!("{LAYER}/{}", "p".repeat(200));
    let archive = layer()
        .entry("x", b'g', 0o644, "", b"19 path=/outside/x\n")
        .pax(&[("path", &long), ("mtime", "1.5"), ("SCHILY.xattr.user.x", "a=b\n"), ("size", "3")])
        .entry("short", b'0', 0o644, "", b"pax")
        .pax(&[("linkpath", &"t".repeat(300))])
        .symlink("/layers/bp/layer/link", "short")
        .entry("././@LongLink", b'L', 0, "", format!("{LAYER}/{}\0", "g".repeat(200)).as_bytes())
        .file("short", "gnu")
        .entry("././@LongLink", b'K', 0, "", format!("{}\0", "k".repeat(200)).as_bytes())
        .symlink("/layers/bp/layer/link2", "short")
        .entry("/layers/bp/layer/old/", 0, 0o755, "", b"");
    world.extract(&archive).unwrap();
    assert_eq!(world.read(&long), "pax");
    assert_eq!(world.read(&format!("{LAYER}/{}", "g".repeat(200))), "gnu");
    let target = |name: &str| fs::read_link(world.at(&format!("{LAYER}/{name}"))).unwrap();
    assert_eq!((target("link").as_os_str().len(), target("link2").as_os_str().len()), (300, 200));
    assert!(world.at("/layers/bp/layer/old").is_dir());
}

#[test]
fn numbers_in_base_256_are_read() {
    let world = World::new();
    let archive = layer().file("/layers/bp/layer/a", "12345").patch(|header| {
        header[124..136].fill(0);
        header[124] = 0x80;
        header[135] = 5;
    });
    world.extract(&archive).unwrap();
    assert_eq!(world.read("/layers/bp/layer/a"), "12345");
}

#[test]
fn what_no_layer_has_is_refused() {
    let sparse = layer().entry("/layers/bp/layer/s", b'S', 0o644, "", b"");
    assert!(matches!(World::new().refuse(&sparse), Error::Malformed(Malformed::Sparse)));
    let sparse = layer().pax(&[("GNU.sparse.major", "1")]).file("/layers/bp/layer/s", "");
    assert!(matches!(World::new().refuse(&sparse), Error::Malformed(Malformed::Sparse)));
    let volume = layer().entry("/layers/bp/layer/v", b'V', 0o644, "", b"");
    let error = World::new().refuse(&volume);
    assert_eq!(error.to_string(), "error extracting from archive: unknown file type in tar 86");
}

#[test]
fn names_that_are_none_are_refused() {
    let names = ["", &format!("{LAYER}/{}", "x/".repeat(2050)), &format!("{LAYER}/{}", "x/".repeat(500))];
    for name in names {
        let error = World::new().refuse(&layer().pax(&[("path", name)]).file("", ""));
        assert!(matches!(error, Error::Malformed(Malformed::Name)), "{error}");
    }
    let error = World::new().refuse(&layer().pax(&[("path", "/layers/bp/layer/a\0b")]).file("x", ""));
    assert!(matches!(error, Error::Malformed(Malformed::Name)), "{error}");
    let error = World::new().refuse(&layer().symlink("/layers/bp/layer/a", ""));
    assert!(matches!(error, Error::Malformed(Malformed::Name)), "{error}");
    // Longer than the file system takes.
    let error = World::new().refuse(
        &layer().file("/layers/bp/layer/a", "").pax(&[("path", &format!("{LAYER}/{}", "y".repeat(256)))]).file("x", ""),
    );
    assert!(!error.blames_archive());
}

#[test]
fn an_archive_that_is_cut_off_leaves_nothing() {
    let whole = layer()
        .file("/layers/bp/layer/a", &"x".repeat(1500))
        .pax(&[("path", "/layers/bp/layer/b")])
        .file("x", "1")
        .bytes();
    for length in (0..whole.len() - 1023).step_by(100).chain((512..whole.len() - 1024).step_by(512)) {
        let world = World::new();
        let before = world.names("/layers");
        let error = extract(&whole[..length], world.root.path(), Path::new(LAYER)).unwrap_err();
        assert!(matches!(error, Error::Malformed(Malformed::CutOff)), "{length}: {error}");
        assert_eq!(world.names("/layers"), before, "{length}");
    }
}

#[test]
fn sizes_are_not_believed() {
    let claim =
        |size: &'static str| move |header: &mut [u8]| header[124..124 + size.len()].copy_from_slice(size.as_bytes());
    // 10 GiB of which nothing follows.
    let huge = layer().file("/layers/bp/layer/a", "x").patch(claim("120000000000"));
    assert!(matches!(World::new().refuse(&huge), Error::Malformed(Malformed::CutOff)));
    for letter in [b'x', b'g', b'L', b'K'] {
        let huge = layer().entry("x", letter, 0, "", b"x").patch(claim("77777777777\0"));
        assert!(matches!(World::new().refuse(&huge), Error::Malformed(Malformed::Pax)));
    }
    let huge = layer().pax(&[("size", "18446744073709551615")]).file("/layers/bp/layer/a", "x");
    assert!(matches!(World::new().refuse(&huge), Error::Malformed(Malformed::Pax)));
    let negative = layer().file("/layers/bp/layer/a", "x").patch(|header| header[124..136].fill(0xff));
    assert!(matches!(World::new().refuse(&negative), Error::Malformed(Malformed::Header)));
}

#[test]
fn damaged_headers_are_refused() {
    let mut bytes = layer().file("/layers/bp/layer/a", "x").bytes();
    bytes[512 * 3] ^= 1;
    let world = World::new();
    let error = extract(&bytes[..], world.root.path(), Path::new(LAYER)).unwrap_err();
    assert!(matches!(error, Error::Malformed(Malformed::Header)));
    for records in ["", "5 a=b\n", "6 a=b\nrest", "99 a=b\n", "x a=b\n", "6 ab \n", "-6 a=b\n", "3 a", "0 a=b\n", "1"] {
        let archive = layer().entry("x", b'x', 0, "", records.as_bytes()).file("/layers/bp/layer/a", "");
        let read = World::new().extract(&archive);
        assert_eq!(read.is_ok(), records.is_empty(), "{records}");
    }
}

#[test]
fn an_archive_that_is_another_one_leaves_nothing() {
    let bytes = layer().file("/layers/bp/layer/a", "x").bytes();
    let other = digest(b"other");
    let world = World::new();
    let error = verified(&world, &bytes, &other).unwrap_err();
    assert_eq!(error.to_string(), format!("expected layer contents to have SHA '{other}'; found '{}'", digest(&bytes)));
    assert_eq!(world.names("/layers"), ["bp"]);

    // Also if it is no archive at all, or ends too early: the reference compares first.
    for bytes in [&b"garbage".repeat(1000)[..], &bytes[..700], b""] {
        let error = verified(&world, bytes, &other).unwrap_err();
        assert!(matches!(error, Error::Mismatch { found, .. } if found == digest(bytes)));
        assert_eq!(world.names("/layers"), ["bp"]);
        let error = verified(&world, bytes, &digest(bytes)).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{error}");
    }
}

#[test]
fn the_digest_is_that_of_the_whole_input() {
    let mut bytes = layer().file("/layers/bp/layer/a", "x").bytes();
    bytes.resize(bytes.len() + 600_000, 0);
    let world = World::new();
    verified(&world, &bytes, &digest(&bytes)).unwrap();
    assert_eq!(world.read("/layers/bp/layer/a"), "x");
}

#[test]
fn an_input_that_fails_is_told_and_leaves_nothing() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the line is dead"));
            }
            let count = buffer.len().min(self.0);
            self.0 -= count;
            buffer[..count].fill(0);
            Ok(count)
        }
    }
    let world = World::new();
    for zeros in [0, 1024, 1_000_000] {
        let bytes = layer().file("/layers/bp/layer/a", "x").bytes();
        let error = extract((&bytes[..bytes.len() - 1024]).chain(Failing(zeros)), world.root.path(), Path::new(LAYER))
            .unwrap_err();
        assert_eq!(error.to_string(), "the line is dead");
        for hashing in [Hashing::Here, Hashing::Ahead] {
            let input = (&bytes[..bytes.len() - 1024]).chain(Failing(zeros));
            let extracted = extract_verified(input, &digest(b""), world.root.path(), Path::new(LAYER), hashing);
            let error = extracted.unwrap_err();
            assert_eq!(error.to_string(), "the line is dead");
            assert!(error.blames_archive());
            assert_eq!(world.names("/layers"), ["bp"]);
        }
    }
}

#[test]
fn what_was_in_the_folder_before_stays() {
    let world = World::new();
    fs::create_dir_all(world.at("/layers/bp/layer/old")).unwrap();
    fs::write(world.at("/layers/bp/layer/old/kept"), "kept").unwrap();
    let archive = layer()
        .file("/layers/bp/layer/old/new", "1")
        .file("/layers/bp/layer/made/by/implication", "2")
        .directory("/layers/bp/layer/folder", 0o555)
        .symlink("/layers/bp/layer/folder/link", "x")
        .hard_link("/layers/bp/layer/hard", "/layers/bp/layer/old/new");
    let error = world.refuse(&archive.file("/outside/new", "evil"));
    assert!(matches!(error, Error::Outside { .. }));
    assert_eq!(world.read("/layers/bp/layer/old/kept"), "kept");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_an_error_of_the_place() {
    let world = World::new();
    fs::create_dir_all(world.at("/layers/bp/layer/a/b")).unwrap();
    let error = world.refuse(&layer().file("/layers/bp/layer/a", "x"));
    assert_eq!(error.to_string(), format!("open {}: is a directory", world.at("/layers/bp/layer/a").display()));
    assert!(!error.blames_archive());
}

#[test]
fn folders_that_may_not_be_written_are_filled_and_removed_without_privileges() {
    let world = World::new();
    fs::set_permissions(world.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(world.at("/layers/bp"), Some(65534), Some(65534)).unwrap();
    }
    let archive = layer()
        .directory("/layers/bp/layer/sealed", 0o555)
        .directory("/layers/bp/layer/sealed/inner", 0o500)
        .file("/layers/bp/layer/sealed/inner/file", "1")
        .file("/layers/bp/layer/sealed/file", "2");
    let error =
        without_privileges(|| extract(&archive.bytes()[..2048], world.root.path(), Path::new(LAYER)).unwrap_err());
    assert!(matches!(error, Error::Malformed(Malformed::CutOff)), "{error}");
    assert_eq!(world.names("/layers"), ["bp"]);
    without_privileges(|| world.extract(&archive)).unwrap();
    assert_eq!(world.mode("/layers/bp/layer/sealed"), 0o555);
    assert_eq!(world.mode("/layers/bp/layer/sealed/inner"), 0o500);
    assert_eq!(world.read("/layers/bp/layer/sealed/inner/file"), "1");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let world = World::new();
    fs::set_permissions(world.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.at("/layers/bp"), fs::Permissions::from_mode(0o555)).unwrap();
    let error = without_privileges(|| world.extract(&layer().file("/layers/bp/layer/a", ""))).unwrap_err();
    assert_eq!(error.to_string(), format!("mkdir {}: permission denied", world.at(LAYER).display()));
    assert!(!error.blames_archive());
}

mod fuzz {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::archive::for_each_file;
    use crate::archive::read::Reader;
    use crate::fuzz::{parser, property};

    fn hostile() -> Vec<u8> {
        layer()
            .symlink("/layers/bp/layer/link", "/outside")
            .hard_link("/layers/bp/layer/hard", "/layers/bp/layer/link")
            .pax(&[("path", "/layers/bp/layer/link/../x"), ("size", "9")])
            .file("/layers/bp/layer/link/secret", "evil")
            .bytes()
    }

    /// Makes the checksums right again, so that what is in the headers is believed.
    fn seal(bytes: &mut [u8]) {
        for block in bytes.chunks_exact_mut(512).take(9) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }

    /// Bytes changed anywhere.
    #[test]
    fn no_archive_writes_elsewhere_or_panics() {
        let changes = vec((0_usize..9 * 512, any::<u8>()), 0..12);
        property(200, &(changes, 0_usize..10 * 512, any::<bool>()), |(changes, length, is_sealed)| {
            let mut bytes = hostile();
            for (at, value) in changes {
                bytes[at] = value;
            }
            if is_sealed {
                seal(&mut bytes);
            }
            bytes.truncate(length.max(9 * 512));
            let world = World::new();
            let _ = extract(&bytes[..], world.root.path(), Path::new(LAYER));
            world.assert_outside_untouched();
            Ok(())
        });
    }

    #[test]
    fn no_archive_makes_a_reader_panic() {
        parser("tar", 400, &[hostile(), layer().file("/layers/bp/layer/a", "1").bytes()], |bytes| {
            for is_sealed in [false, true] {
                let mut bytes = bytes.to_vec();
                if is_sealed {
                    seal(&mut bytes);
                }
                let mut reader = Reader::new(&bytes[..]);
                while let Ok(Some(_)) = reader.next() {}
                let _ = for_each_file(&bytes[..], |_, contents| {
                    io::copy(&mut io::Read::take(contents, 4096), &mut io::sink())?;
                    Ok(std::ops::ControlFlow::Continue(()))
                });
            }
        });
    }
}
