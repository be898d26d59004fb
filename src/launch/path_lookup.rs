//! Finding the program of a direct process, and the path arithmetic of the reference.
//!
//! Clause: platform.md#launcher. The rules are those of Go's `exec.LookPath`, `filepath.Join` and `%q`, because their
//! results reach the process (in `PATH`) and the reader (in messages).

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::AccessFlags;

use crate::os::error_text;

/// The command is no program that can be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exec: {}: {reason}", quoted(name))]
pub struct LookPathError {
    /// The command.
    pub name: OsString,
    /// What is wrong with it.
    pub reason: String,
}

/// Finds a program: a name with a `/` is taken as it is, any other is searched in `path`.
///
/// # Errors
/// There is no such file, it cannot be executed, or it was found below a relative folder of `path`.
pub fn look_path(name: &OsStr, path: &OsStr) -> Result<PathBuf, LookPathError> {
    let failed = |reason: String| LookPathError { name: name.to_owned(), reason };
    let not_found = || failed("executable file not found in $PATH".into());
    if ["", ".", ".."].iter().any(|nothing| name == *nothing) {
        return Err(not_found());
    }
    if name.as_bytes().contains(&b'/') {
        let program = Path::new(name);
        return check_executable(program).map(|()| program.to_owned()).map_err(failed);
    }
    if path.is_empty() {
        return Err(not_found());
    }
    let folders = path.as_bytes().split(|b| *b == b':').map(|folder| Path::new(OsStr::from_bytes(folder)));
    let found = folders.map(|folder| join(folder, name)).find(|program| check_executable(program).is_ok());
    match found {
        Some(program) if program.is_absolute() => Ok(program),
        Some(_) => Err(failed("cannot run executable found relative to current directory".into())),
        None => Err(not_found()),
    }
}

/// Says why a file cannot be executed by this user.
fn check_executable(program: &Path) -> Result<(), String> {
    let metadata =
        std::fs::metadata(program).map_err(|error| format!("stat {}: {}", program.display(), error_text(&error)))?;
    if metadata.is_dir() {
        return Err(error_text(&Errno::EISDIR.into()));
    }
    match nix::unistd::eaccess(program, AccessFlags::X_OK) {
        Ok(()) => Ok(()),
        // Sandboxes refuse the question itself; then the permission bits have to do.
        Err(Errno::ENOSYS | Errno::EPERM) if metadata.permissions().mode() & 0o111 != 0 => Ok(()),
        Err(Errno::ENOSYS | Errno::EPERM) => Err(error_text(&Errno::EACCES.into())),
        Err(error) => Err(error_text(&error.into())),
    }
}

/// Joins two paths as text and makes the result the shortest of its meaning, without asking the file system: no `.`,
/// no `//`, no `<name>/..`, no `/` at the end.
pub fn join(dir: impl AsRef<Path>, name: impl AsRef<OsStr>) -> PathBuf {
    let (dir, name) = (dir.as_ref().as_os_str().as_bytes(), name.as_ref().as_bytes());
    let rooted = dir.first().or(name.first()) == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in dir.split(|b| *b == b'/').chain(name.split(|b| *b == b'/')) {
        match (part, parts.last()) {
            (b"" | b".", _) => {}
            (b"..", Some(last)) if *last != b".." => drop(parts.pop()),
            (b"..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    let mut text = if rooted { b"/".to_vec() } else { Vec::new() };
    text.extend(parts.join(&b'/'));
    if text.is_empty() {
        text.push(b'.');
    }
    PathBuf::from(OsString::from_vec(text))
}

/// Quotes a text as Go's `%q` does: `"` and `\`, control characters and bytes that are no UTF-8 are escaped.
pub fn quoted(text: &OsStr) -> String {
    let mut quoted = String::from("\"");
    for chunk in text.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            push_quoted(&mut quoted, character);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push_quoted(quoted: &mut String, character: char) {
    let short = match character {
        '"' | '\\' => character,
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\0'..='\x1f' | '\x7f' => {
            let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            return;
        }
        '\u{80}'..='\u{9f}' => {
            let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            return;
        }
        _ => return quoted.push(character),
    };
    quoted.extend(['\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn looked(name: &str, path: &str) -> Result<PathBuf, String> {
        look_path(OsStr::new(name), OsStr::new(path)).map_err(|error| error.to_string())
    }

    /// A folder with the executable `tool`, the file `text` and the folder `dir`.
    fn folder() -> (tempfile::TempDir, String) {
        let root = tempfile::tempdir().unwrap();
        for (name, mode) in [("tool", 0o755), ("text", 0o644)] {
            std::fs::write(root.path().join(name), "").unwrap();
            std::fs::set_permissions(root.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(root.path().join("dir")).unwrap();
        let path = root.path().to_str().unwrap().to_owned();
        (root, path)
    }

    #[test]
    fn a_name_is_searched_and_a_path_is_taken_as_it_is() {
        let (_root, path) = folder();
        let tool = PathBuf::from(format!("{path}/tool"));
        assert_eq!(looked("tool", &format!("/nowhere:{path}/dir/..//")), Ok(tool.clone()));
        assert_eq!(looked(&format!("{path}/tool"), ""), Ok(tool));
        let odd = format!("{path}/./tool");
        assert_eq!(looked(&odd, "").unwrap().as_os_str(), OsStr::new(&odd));
    }

    #[test]
    fn what_is_not_found_or_not_executable_says_so() {
        let (_root, path) = folder();
        for name in ["", ".", "..", "text", "dir", "missing"] {
            let wanted = format!("exec: \"{name}\": executable file not found in $PATH");
            assert_eq!(looked(name, &path), Err(wanted));
        }
        let at = |name: &str| looked(&format!("{path}/{name}"), "").unwrap_err();
        assert_eq!(at("dir"), format!("exec: \"{path}/dir\": is a directory"));
        assert_eq!(at("text"), format!("exec: \"{path}/text\": permission denied"));
        assert_eq!(at("no"), format!("exec: \"{path}/no\": stat {path}/no: no such file or directory"));
    }

    #[test]
    fn an_empty_path_has_no_folders_and_relative_folders_are_refused() {
        assert_eq!(looked("sh", ""), Err("exec: \"sh\": executable file not found in $PATH".into()));
        let up = "../".repeat(40);
        let wanted = "exec: \"sh\": cannot run executable found relative to current directory";
        assert_eq!(looked("sh", &format!("{up}bin:/bin")), Err(wanted.into()));
    }

    #[test]
    fn joins_to_the_shortest_text() {
        for (dir, name, wanted) in [
            ("/layers", "a", "/layers/a"),
            ("/layers/../x//", "./a/", "/x/a"),
            ("a", "../..", ".."),
            ("..", "..", "../.."),
            ("/", "..", "/"),
            ("", "a", "a"),
            ("", "/a", "/a"),
            ("", "", "."),
            ("a", "/b", "a/b"),
        ] {
            assert_eq!(join(dir, name).as_os_str(), OsStr::new(wanted), "{dir} {name}");
        }
    }

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quoted(OsStr::from_bytes(b"a\"\\\x01\xff\n\xc3\xa9\x7f")), "\"a\\\"\\\\\\x01\\xff\\n\u{e9}\\x7f\"");
        assert_eq!(quoted(OsStr::new("\u{85}")), "\"\\u0085\"");
    }
}
