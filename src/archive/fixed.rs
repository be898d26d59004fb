//! Layers that are the same in every app: the launcher, and a link to it for each process type.
//!
//! Everything in them belongs to root, whoever builds.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::error::Error;
use super::tar::{Fixed, FixedKind, Owner, Recipe, Tar};
use super::tree::Stamp;

/// Where the launcher is in every app image.
const LAUNCHER: &str = "/cnb/lifecycle/launcher";
/// Where process types are links to it.
const PROCESSES: &str = "/cnb/process";
/// What no process type may contain: it is the name of a file.
const FORBIDDEN: &str = r"/><:|&\";

const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// Plans the layer of the launcher: the file at `path`, links followed, becomes `/cnb/lifecycle/launcher`.
///
/// # Errors
/// There is no such file.
pub fn launcher(path: &Path) -> Result<Tar, Error> {
    let found = statat(CWD, path, AtFlags::empty()).map_err(|cause| Error::Launcher {
        path: path.to_owned(),
        cause: Box::new(Error::system("stat", path, cause)),
    })?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Error::LauncherKind { path: path.to_owned() });
    }
    let file = FixedKind::File(path.to_owned(), Stamp::new(&found, true));
    Ok(fixed(vec![folder("/cnb"), folder("/cnb/lifecycle"), entry(LAUNCHER, file)]))
}

/// Plans the layer of links to the launcher: `/cnb/process/<type>` for each process type, in the order given.
///
/// # Errors
/// A type is empty or cannot be the name of a file.
pub fn process_types(types: &[String]) -> Result<Tar, Error> {
    let mut entries = vec![folder("/cnb"), folder(PROCESSES)];
    for name in types {
        if name.is_empty() {
            return Err(Error::ProcessTypeMissing);
        }
        if name.contains(|character| FORBIDDEN.contains(character)) || name.contains('\0') {
            return Err(Error::ProcessType { name: name.clone() });
        }
        // The reference would put a link in the place of /cnb/process or /cnb.
        if name == "." || name == ".." {
            return Err(Error::ProcessTypeFolder { name: name.clone() });
        }
        entries.push(entry(&format!("{PROCESSES}/{name}"), FixedKind::Symlink(LAUNCHER.into())));
    }
    Ok(fixed(entries))
}

fn fixed(first: Vec<Fixed>) -> Tar {
    Tar { recipe: Arc::new(Recipe { prefix: 0, first: first.into(), files: None }) }
}

fn folder(name: &str) -> Fixed {
    entry(name, FixedKind::Directory)
}

fn entry(name: &str, what: FixedKind) -> Fixed {
    Fixed { name: name.into(), mode: 0o755, owner: ROOT, what }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::archive::fixture::{Fixture, expect, listing};

    fn types(names: &[&str]) -> Result<Tar, Error> {
        process_types(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn golden_g8_the_launcher() {
        let fixture = Fixture::new();
        let path = fixture.file("/launcher", "launcherbin\n", 0o600);
        expect(&launcher(&path).unwrap(), "f9b27ee5315a88613590ed7d36dd3a57a117d92363e02bb765b6f066435927a3", None);
    }

    #[test]
    fn golden_g9_process_types() {
        let tar = types(&["web", "worker"]).unwrap();
        expect(&tar, "c32b6c6d08c5d84a980a518d1dd9093c22b9e003f2b6b468f12fe1e7cd918b3f", None);
    }

    #[test]
    fn a_launcher_behind_a_link_is_the_file() {
        let fixture = Fixture::new();
        let path = fixture.file("/launcher", "launcherbin\n", 0o755);
        let link = fixture.at("/link");
        symlink(path, &link).unwrap();
        expect(&launcher(&link).unwrap(), "f9b27ee5315a88613590ed7d36dd3a57a117d92363e02bb765b6f066435927a3", None);
    }

    #[test]
    fn a_missing_launcher_is_told_as_the_reference_does() {
        let error = launcher(Path::new("/no/launcher")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to stat launcher at path '/no/launcher': stat /no/launcher: no such file or directory"
        );
        assert!(launcher(Path::new("/")).is_err());
    }

    #[test]
    fn process_types_keep_their_order_and_repetitions() {
        let names = listing(&types(&["b", "a", "b"]).unwrap());
        assert_eq!(names, ["/cnb", "/cnb/process", "/cnb/process/b", "/cnb/process/a", "/cnb/process/b"]);
    }

    #[test]
    fn process_types_that_are_no_file_names_are_refused() {
        assert_eq!(types(&[""]).unwrap_err().to_string(), "type is required for all processes");
        for character in FORBIDDEN.chars() {
            let name = format!("a{character}b");
            assert_eq!(
                types(&[&name]).unwrap_err().to_string(),
                format!(r"invalid process type '{name}': type may not contain characters '/><:|&\'")
            );
        }
        for name in [".", ".."] {
            assert_eq!(
                types(&[name]).unwrap_err().to_string(),
                format!("invalid process type '{name}': type is the name of a folder")
            );
        }
    }
}
