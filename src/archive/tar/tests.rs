//! What becomes of files that cannot be archived as they are, or that change meanwhile.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::archive::fixture::{Fixture, listing, without_privileges};
use crate::archive::{directory, measure, slices};

const LAYER: &str = "/layers/bp/layer";
const BUILD: Owner = Owner { uid: 1000, gid: 1000 };

/// A layer with one file, that many bytes long.
fn one_file(length: usize) -> (Fixture, PathBuf, Tar) {
    let fixture = Fixture::new();
    let file = fixture.file(format!("{LAYER}/file"), vec![b'x'; length], 0o644);
    let tar = fixture.directory(LAYER, BUILD).unwrap();
    (fixture, file, tar)
}

fn assert_changed(tar: &Tar, file: &Path) {
    let error = measure(tar).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} changed while it was archived; make sure that nothing writes to it any more when the build ends",
            file.display()
        )
    );
}

fn age(file: &Path) -> SystemTime {
    fs::metadata(file).unwrap().modified().unwrap()
}

#[test]
fn a_file_that_changed_is_an_error_that_names_it() {
    let (_fixture, file, tar) = one_file(10);
    fs::write(&file, "longer than before").unwrap();
    assert_changed(&tar, &file);
    fs::write(&file, "less").unwrap();
    assert_changed(&tar, &file);

    // Other bytes, as many as before.
    let (_fixture, file, tar) = one_file(10);
    let later = age(&file) + Duration::from_secs(1);
    fs::write(&file, "0123456789").unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
    assert_changed(&tar, &file);
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_an_error_that_names_it() {
    // A file that looks as it did when the layer was planned, but has more or fewer bytes to read.
    for (planned, found) in [(10, 11), (10, 9), (0, 1), (1, 0), (300_000, 300_001), (300_000, 299_999)] {
        let fixture = Fixture::new();
        let file = fixture.file("/file", vec![b'x'; found], 0o644);
        let mut out = Vec::new();
        let error = Stream::new(&mut out).copy(&File::open(&file).unwrap(), &file, planned).unwrap_err();
        assert!(matches!(error, Error::Changed { path } if path == file), "{planned} {found}");
    }
}

/// Writes into a file as soon as the first of it arrives.
struct Overwrites<'a>(&'a Path);

impl Write for Overwrites<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = fs::OpenOptions::new().write(true).open(self.0)?;
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_is_overwritten_while_it_is_read_is_an_error_that_names_it() {
    let (_fixture, file, tar) = one_file(1_000_000);
    let error = tar.write_tar(&mut Overwrites(&file)).unwrap_err();
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn contents_of_any_length_are_padded_to_blocks() {
    for length in [0, 1, 511, 512, 513, 256 * 1024 - 1024, 256 * 1024 - 1023, 256 * 1024, 1_000_000] {
        let (_fixture, _file, tar) = one_file(length);
        let mut bytes = Vec::new();
        tar.write_tar(&mut bytes).unwrap();
        let start = 4 * 512;
        assert_eq!(bytes.len(), start + length.next_multiple_of(512) + 1024);
        assert!(bytes[start..start + length].iter().all(|&byte| byte == b'x'));
        assert!(bytes[start + length..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn something_else_in_the_place_of_a_file_is_an_error_that_names_it() {
    for replace in [
        |file: &Path| symlink("/etc/passwd", file).unwrap(),
        |file: &Path| nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        |file: &Path| fs::create_dir(file).unwrap(),
    ] {
        let (_fixture, file, tar) = one_file(10);
        fs::remove_file(&file).unwrap();
        replace(&file);
        assert_changed(&tar, &file);
    }
    let (_fixture, file, tar) = one_file(10);
    fs::remove_file(&file).unwrap();
    let error = measure(&tar).unwrap_err();
    assert_eq!(error.to_string(), format!("open {}: no such file or directory", file.display()));
}

#[test]
fn what_cannot_be_read_is_named() {
    let fixture = Fixture::new();
    let file = fixture.file(format!("{LAYER}/file"), "", 0o000);
    fs::set_permissions(fixture.at("/"), Permissions::from_mode(0o755)).unwrap();
    let tar = fixture.directory(LAYER, BUILD).unwrap();
    let error = without_privileges(|| measure(&tar)).unwrap_err();
    assert_eq!(error.to_string(), format!("open {}: permission denied", file.display()));
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);

    let tars = slices(&fixture.at(LAYER), &[], BUILD).unwrap();
    let error = without_privileges(|| measure(&tars[0])).unwrap_err();
    let at = file.display();
    assert_eq!(error.to_string(), format!("failed to add file {at} to archive: open {at}: permission denied"));

    let folder = fixture.folder(format!("{LAYER}/folder"));
    fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
    let error = without_privileges(|| directory(&fixture.at(LAYER), BUILD)).unwrap_err();
    assert_eq!(error.to_string(), format!("open {}: permission denied", folder.display()));
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn whoever_takes_the_archive_gets_its_own_error_back() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (fixture, _file, tar) = one_file(10);
    assert_eq!(tar.write_tar(&mut Full).unwrap_err().raw_os_error(), Some(28));
    let tars = slices(&fixture.at(LAYER), &[], BUILD).unwrap();
    assert_eq!(tars[0].write_tar(&mut Full).unwrap_err().raw_os_error(), Some(28));
}

#[test]
fn sockets_are_left_out_and_pipes_are_kept() {
    let fixture = Fixture::new();
    let folder = fixture.folder(LAYER);
    let _socket = UnixListener::bind(folder.join("a-socket")).unwrap();
    nix::unistd::mkfifo(&folder.join("b-pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tar = fixture.directory(LAYER, BUILD).unwrap();
    assert_eq!(listing(&tar).last().unwrap(), "/layers/bp/layer/b-pipe");
    assert_eq!(listing(&tar).len(), 4);
    assert_eq!(measure(&tar).unwrap().files, 2);
    assert_eq!(
        tar.notices(),
        [Notice::SocketSkipped(folder.join("a-socket")), Notice::SpecialFile(folder.join("b-pipe"))]
    );
}

#[test]
fn files_with_several_names_are_in_the_layer_once_for_each() {
    let fixture = Fixture::new();
    let file = fixture.file(format!("{LAYER}/a"), "1", 0o644);
    fs::hard_link(&file, fixture.at(format!("{LAYER}/b"))).unwrap();
    let tar = fixture.directory(LAYER, BUILD).unwrap();
    assert_eq!(measure(&tar).unwrap().size, 5 * 512 + 2 * 512 + 1024);
    assert_eq!(tar.notices(), [Notice::HardLinks(2)]);
}

#[test]
fn notices_of_slices_are_about_their_own_files() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        let file = fixture.file(format!("{LAYER}/{name}/x"), "1", 0o644);
        fs::hard_link(&file, file.with_file_name("y")).unwrap();
    }
    let _socket = UnixListener::bind(fixture.at(format!("{LAYER}/a/socket"))).unwrap();
    let slice = crate::model::launch::Slice { paths: vec!["a".to_owned()] };
    let tars = slices(&fixture.at(LAYER), &[slice], BUILD).unwrap();
    let socket = Notice::SocketSkipped(fixture.at(format!("{LAYER}/a/socket")));
    assert_eq!(tars[0].notices(), [Notice::HardLinks(2), socket]);
    assert_eq!(tars[1].notices(), [Notice::HardLinks(2)]);
}

/// Only a privileged user can give a program capabilities; for others the system's refusal is what there is to see.
#[test]
fn a_program_that_loses_its_capabilities_is_named() {
    let fixture = Fixture::new();
    let program = fixture.file(format!("{LAYER}/program"), "", 0o755);
    // Version 2, effective, CAP_NET_BIND_SERVICE permitted.
    let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = rustix::fs::setxattr(&program, "security.capability", &value, rustix::fs::XattrFlags::empty());
    let notices = fixture.directory(LAYER, BUILD).unwrap().notices();
    match set {
        Ok(()) => assert_eq!(notices, [Notice::CapabilityLost(program)]),
        Err(_) => assert_eq!(notices, []),
    }
}

#[test]
fn a_link_in_the_place_of_the_folder_is_the_whole_layer() {
    let fixture = Fixture::new();
    fixture.file("/elsewhere/file", "1", 0o644);
    fixture.link(LAYER, "/elsewhere");
    assert_eq!(listing(&fixture.directory(LAYER, BUILD).unwrap()), ["/layers", "/layers/bp", LAYER]);
}

#[test]
fn a_deep_tree_with_long_names_is_archived() {
    let fixture = Fixture::new();
    let name = std::iter::repeat_n("d".repeat(255), 14).collect::<Vec<_>>().join("/");
    fixture.file(format!("{LAYER}/{name}/file"), "1", 0o644);
    assert_eq!(measure(&fixture.directory(LAYER, BUILD).unwrap()).unwrap().files, 16);
}
