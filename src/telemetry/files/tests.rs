//! Folders and files under attack, cut short, and written by many.

use std::fs::{self as std_fs, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn folder() -> (tempfile::TempDir, Folder) {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::given(parent.path(), None).unwrap();
    (parent, folder)
}

fn refused(folder: &Folder, name: &str) -> String {
    let reasons = [folder.append(name).map(drop), folder.provide(name).map(drop)];
    let [first, second] = reasons.map(|result| result.unwrap_err().reason.to_string());
    assert_eq!(first, second);
    first
}

#[test]
fn r9_folders_and_files_are_for_the_group_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let owner = (4711, 4712);
    let folder = Folder::given(parent.path(), Some(owner)).unwrap().inside("tracing").unwrap();
    folder.append("own").unwrap();
    folder.provide("program").unwrap();
    folder.put("text", "temporary", "x", true).unwrap();
    let nobody_special = std_fs::metadata(parent.path()).unwrap();
    let expected =
        if rustix::process::geteuid().is_root() { owner } else { (nobody_special.uid(), nobody_special.gid()) };
    for (path, modes) in [("", [0o2775, 0o775]), ("own", [0o664; 2]), ("program", [0o664; 2]), ("text", [0o664; 2])] {
        let metadata = std_fs::metadata(folder.path().join(path)).unwrap();
        assert!(modes.contains(&(metadata.mode() & 0o7777)), "{path}: {:o}", metadata.mode());
        assert_eq!((metadata.uid(), metadata.gid()), expected, "{path}");
    }
}

#[test]
fn a_folder_that_the_platform_made_is_left_as_it_is() {
    let (parent, folder) = folder();
    let path = parent.path().join("tracing");
    std_fs::create_dir(&path).unwrap();
    std_fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    folder.inside("tracing").unwrap();
    assert_eq!(std_fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn r2_a_second_run_appends() {
    let (parent, folder) = folder();
    folder.append("a").unwrap().append(b"{}\n").unwrap();
    folder.append("a").unwrap().append(b"{\"b\":1}\n").unwrap();
    assert_eq!(std_fs::read(parent.path().join("a")).unwrap(), b"{}\n{\"b\":1}\n");
}

#[test]
fn r5_a_descriptor_appends_and_closes_at_exec() {
    let (_parent, folder) = folder();
    let file = folder.append("a").unwrap();
    assert!(fs::fcntl_getfl(&file.fd).unwrap().contains(OFlags::APPEND));
    for fd in [&file.fd, &file.patch] {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
}

#[test]
fn r11_nothing_but_a_regular_file_with_one_name_is_written_to() {
    let (parent, folder) = folder();
    let at = |name: &str| parent.path().join(name);
    std_fs::write(at("victim"), "untouched").unwrap();
    std_fs::create_dir(at("folder")).unwrap();
    symlink(at("victim"), at("symlink")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    std_fs::hard_link(at("victim"), at("hard-link")).unwrap();
    fs::mkfifoat(fs::CWD, at("pipe"), Mode::from_raw_mode(0o666)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for name in ["folder", "symlink", "dangling", "pipe", "socket"] {
        assert_eq!(refused(&folder, name), "it is not a regular file", "{name}");
    }
    assert_eq!(refused(&folder, "hard-link"), "it has more than one hard link");
    assert_eq!(std_fs::read_to_string(at("victim")).unwrap(), "untouched");
    assert!(!at("nowhere").exists());
}

#[test]
fn r11_a_symlink_in_place_of_a_folder_is_not_followed() {
    let (parent, folder) = folder();
    std_fs::create_dir(parent.path().join("elsewhere")).unwrap();
    symlink(parent.path().join("elsewhere"), parent.path().join("tracing")).unwrap();
    assert!(folder.inside("tracing").is_err());
    std_fs::write(parent.path().join("file"), "").unwrap();
    let error = folder.inside("file").unwrap_err().to_string();
    assert!(error.ends_with("/file' cannot be used: not a directory"), "{error}");
}

#[test]
fn a_name_that_is_too_long_is_an_error_and_no_more() {
    let (_parent, folder) = folder();
    assert_eq!(refused(&folder, &"x".repeat(256)), "file name too long");
    assert_eq!(refused(&folder, "a\0b"), "invalid argument");
}

#[test]
fn r14_a_torn_last_line_is_made_whole_without_shrinking() {
    let (parent, folder) = folder();
    let path = parent.path().join("a");
    let whole = "{\"resourceSpans\":[{\"whole\":true}]}\n";
    let torn = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[";
    for (before, tail) in [("", torn), (whole, torn), (whole, "{"), ("", "{"), (whole, &torn.repeat(400))] {
        std_fs::write(&path, format!("{before}{tail}")).unwrap();
        folder.append("a").unwrap().append(whole.as_bytes()).unwrap();
        let text = std_fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(before));
        assert!(text.ends_with(whole));
        assert!(text.len() >= before.len() + tail.len() + whole.len());
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(text.lines().count(), before.lines().count() + 2);
    }
}

#[test]
fn r14_garbage_without_lines_gets_an_end_only() {
    let (parent, folder) = folder();
    let path = parent.path().join("a");
    let garbage = vec![b'x'; 3 << 20];
    std_fs::write(&path, &garbage).unwrap();
    folder.append("a").unwrap().append(b"{}\n").unwrap();
    let bytes = std_fs::read(&path).unwrap();
    assert!(bytes.starts_with(&garbage));
    assert!(bytes.ends_with(b"\n{}\n"));
}

#[test]
fn the_unfinished_line_of_a_living_writer_is_left_alone() {
    let (parent, folder) = folder();
    let _living = folder.append("a").unwrap();
    std_fs::write(parent.path().join("a"), "{\"on its way").unwrap();
    folder.append("a").unwrap();
    assert_eq!(std_fs::read_to_string(parent.path().join("a")).unwrap(), "{\"on its way");
}

#[test]
fn lines_of_several_writers_do_not_mix() {
    let (parent, folder) = folder();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let file = folder.append("a").unwrap();
            scope.spawn(move || {
                let mut line = vec![b'a' + writer; 3000];
                line.push(b'\n');
                for _ in 0..100 {
                    file.append(&line).unwrap();
                }
            });
        }
    });
    let text = std_fs::read_to_string(parent.path().join("a")).unwrap();
    assert_eq!(text.lines().count(), 400);
    assert!(text.lines().all(|line| line.len() == 3000 && line.bytes().all(|byte| byte == line.as_bytes()[0])));
}

#[test]
fn t7_a_file_that_was_cut_or_replaced_is_noticed() {
    let (parent, folder) = folder();
    let path = parent.path().join("a");
    std_fs::write(&path, "{}\n").unwrap();
    let seen = folder.provide("a").unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{}\n").unwrap();
    assert!(folder.kept(&seen));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(1).unwrap();
    assert!(!folder.kept(&seen));
    let seen = folder.provide("a").unwrap();
    std_fs::write(parent.path().join("b"), "{}\n{}\n").unwrap();
    std_fs::rename(parent.path().join("b"), &path).unwrap();
    assert!(!folder.kept(&seen));
    std_fs::remove_file(&path).unwrap();
    assert!(!folder.kept(&seen));
}
