//! The environment of a process: that of the container, without what is the launcher's own, changed by layers.
//!
//! Clauses: platform.md#launcher, buildpack.md#environment-variable-modification-rules.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::layers::{BuildpackLayers, ListError, buildpack_dirs, layers, open};
use super::path_lookup::join;
use crate::model::env::{Environment, NoSuffix};
use crate::os::dir::Folder;
use crate::os::{env_dir, error_text};

/// Variables that are meant for the launcher alone.
const OWN_VARIABLES: [&str; 5] =
    ["CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API", "CNB_DEPRECATION_MODE"];

/// Folders of launchers, which a process does not find in its `PATH`.
const OWN_FOLDERS: [&[u8]; 2] = [b"/cnb/process", b"/cnb/lifecycle"];

/// Folders of a layer, and the list variables to which they belong.
const ROOT_FOLDERS: [(&str, &str); 2] = [("bin", "PATH"), ("lib", "LD_LIBRARY_PATH")];

/// A layer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The folders of a buildpack cannot be found or listed.
    #[error("{0}")]
    Find(#[from] ListError),
    /// A layer's `bin` or `lib` cannot be looked at.
    #[error("add layer root: {0}")]
    Root(String),
    /// A layer's environment files cannot be read.
    #[error("add layer env: apply env files from dir '{}': {cause}", dir.display())]
    Files {
        /// The folder of the files.
        dir: PathBuf,
        /// The file and the reason.
        cause: env_dir::EnvDirError,
    },
}

/// Makes an environment of what the system gave, in its order. Of a variable that is there twice the first one counts.
pub fn snapshot(variables: Vec<(OsString, OsString)>) -> Environment {
    variables.into_iter().rev().collect()
}

/// Leaves out what is the launcher's own.
pub fn without_own(variables: &Environment) -> Environment {
    let mut env: Environment =
        variables.iter().filter(|(name, _)| !OWN_VARIABLES.iter().any(|own| name == own)).collect();
    if let Some(path) = variables.get("PATH") {
        let kept = path.as_bytes().split(|b| *b == b':').filter(|folder| !OWN_FOLDERS.contains(folder));
        let kept = kept.collect::<Vec<_>>().join(&b':');
        env.set("PATH", OsStr::from_bytes(&kept));
    }
    env
}

/// Lets every layer change the environment, and lists the layers: buildpack by buildpack, in the order of `ids`.
///
/// Within one buildpack first every layer's `bin` and `lib`, then every layer's files: `env`, `env.launch` and
/// `env.launch/<process type>`.
///
/// # Errors
/// A folder or file cannot be read.
pub fn add_layers<'a>(
    env: &mut Environment,
    layers_dir: &Path,
    ids: impl Iterator<Item = &'a str>,
    process_type: &str,
) -> Result<Vec<BuildpackLayers>, EnvironmentError> {
    let mut all = Vec::new();
    for dir in buildpack_dirs(layers_dir, ids)? {
        let unlisted = |ListError(text)| EnvironmentError::Root(text);
        let Some(buildpack) = open(&dir).map_err(unlisted)? else { continue };
        let names = layers(&buildpack).map_err(unlisted)?;
        add_roots(env, &buildpack, &names)?;
        for layer in &names {
            let path = Path::new(layer).join("env");
            // Most layers have no such folder, and to ask for it costs half of trying to open it.
            if !matches!(buildpack.has(&path), Ok(false)) {
                add_files(env, &buildpack, &path, "")?;
            }
            add_files(env, &buildpack, &Path::new(layer).join("env.launch"), process_type)?;
        }
        all.push(BuildpackLayers { dir, names });
    }
    Ok(all)
}

/// Puts every layer's `bin` and `lib` in front, if they exist, the last layer's first.
fn add_roots(env: &mut Environment, buildpack: &Folder, layers: &[OsString]) -> Result<(), EnvironmentError> {
    let failed = |text: String| EnvironmentError::Root(text);
    let mut found = ROOT_FOLDERS.map(|_| Vec::new());
    for layer in layers {
        for ((folder, _), found) in ROOT_FOLDERS.iter().zip(&mut found) {
            let path = Path::new(layer).join(folder);
            let full_path = || buildpack.path().join(&path);
            match buildpack.has(&path) {
                Ok(true) => {
                    let path = absolute(full_path());
                    let path = path.map_err(|error| failed(format!("getwd: {}", error_text(&error))))?;
                    found.push(path.into_os_string());
                }
                Ok(false) => {}
                Err(error) => return Err(failed(format!("stat {}: {}", full_path().display(), error_text(&error)))),
            }
        }
    }
    for ((_, variable), mut found) in ROOT_FOLDERS.iter().zip(found) {
        if !found.is_empty() {
            found.reverse();
            env.prepend_path(variable, &found.join(OsStr::new(":")));
        }
    }
    Ok(())
}

/// The path from the root, which a process understands wherever it works.
fn absolute(path: PathBuf) -> std::io::Result<PathBuf> {
    Ok(if path.is_absolute() { path } else { join(std::env::current_dir()?, path) })
}

/// Applies the files of a folder and then those of its folder `below`, if the listing shows one.
fn add_files(env: &mut Environment, parent: &Folder, path: &Path, below: &str) -> Result<(), EnvironmentError> {
    let dir = || parent.path().join(path);
    let failed = |cause| EnvironmentError::Files { dir: dir(), cause };
    let unlisted = |error| failed(env_dir::failed("open", &dir(), &error));
    let Some(folder) = parent.open_below(path).map_err(unlisted)? else { return Ok(()) };
    let entries = folder.entries().map_err(unlisted)?;
    let files = env_dir::read_entries(&folder, &entries).map_err(failed)?;
    env.apply(&files, NoSuffix::Override);
    let goes_on = entries.iter().any(|entry| entry.name == below);
    if goes_on { add_files(env, &folder, Path::new(below), "") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Layers(tempfile::TempDir);

    impl Layers {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (name, contents) in files {
                let path = root.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, contents).unwrap();
            }
            Self(root)
        }

        fn add(&self, before: &[(&str, &str)], ids: &[&str], process_type: &str) -> Environment {
            let mut env = before.iter().copied().collect();
            add_layers(&mut env, self.0.path(), ids.iter().copied(), process_type).unwrap();
            env
        }
    }

    fn text<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
        env.get(name).and_then(OsStr::to_str)
    }

    #[test]
    fn of_two_equal_names_the_first_counts() {
        let env = snapshot(vec![("A".into(), "first".into()), ("A".into(), "second".into())]);
        assert_eq!(text(&env, "A"), Some("first"));
    }

    #[test]
    fn own_variables_and_folders_are_left_out() {
        let given: Environment = OWN_VARIABLES.iter().map(|name| (*name, "x")).collect();
        assert_eq!(without_own(&given), Environment::default());
        let given = [("PATH", "/cnb/process:/a::/cnb/lifecycle:/cnb/process/x:/cnb/lifecycle"), ("CNB_EXEC_ENV", "x")];
        let env = without_own(&given.into_iter().collect());
        assert_eq!(text(&env, "PATH"), Some("/a::/cnb/process/x"));
        assert_eq!(text(&env, "CNB_EXEC_ENV"), Some("x"));
    }

    #[test]
    fn later_layers_and_buildpacks_stand_in_front() {
        let layers =
            Layers::new(&[("one/a/bin/x", ""), ("one/b/bin/x", ""), ("one/b/lib/x", ""), ("two_2/c/bin/x", "")]);
        let env = layers.add(&[("PATH", "/usr/bin")], &["one", "two/2"], "");
        let root = layers.0.path().display();
        let path = format!("{root}/two_2/c/bin:{root}/one/b/bin:{root}/one/a/bin:/usr/bin");
        assert_eq!(text(&env, "PATH"), Some(path.as_str()));
        assert_eq!(text(&env, "LD_LIBRARY_PATH"), Some(format!("{root}/one/b/lib").as_str()));
    }

    #[test]
    fn files_apply_after_all_folders_of_the_buildpack_and_the_type_comes_last() {
        let layers = Layers::new(&[
            ("bp/a/env/PATH.override", "gone"),
            ("bp/b/bin/x", ""),
            ("bp/a/env.launch/A", "launch"),
            ("bp/a/env.launch/web/A.append", "+web"),
            ("bp/a/env.launch/other/A", "other"),
            ("bp/a/env.build/A", "build"),
            ("bp/b/env/V.append", "value\n"),
            ("bp/b/env/V.delim", "**"),
        ]);
        let env = layers.add(&[("V", "user")], &["bp"], "web");
        assert_eq!(text(&env, "PATH"), Some("gone"));
        assert_eq!(text(&env, "A"), Some("launch+web"));
        assert_eq!(text(&env, "V"), Some("user**value\n"));
        assert_eq!(text(&layers.add(&[], &["bp"], ""), "A"), Some("launch"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_an_error_with_its_path() {
        let layers = Layers::new(&[("bp/a/env/A", "")]);
        let dir = layers.0.path().join("bp/a/env");
        std::os::unix::fs::symlink("/nowhere", dir.join("B")).unwrap();
        let mut env = Environment::default();
        let error = add_layers(&mut env, layers.0.path(), ["bp"].into_iter(), "").unwrap_err();
        let dir = dir.display();
        let wanted =
            format!("add layer env: apply env files from dir '{dir}': stat {dir}/B: no such file or directory");
        assert_eq!(error.to_string(), wanted);
    }
}
