//! Processes that start in bash: which profiles it sources, and the script it runs.
//!
//! Clause: platform.md#launcher. The scripts are a contract: processes and profiles depend on what bash makes of them.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::layers::{BuildpackLayers, ListError, each_file};
use super::path_lookup::join;
use crate::os::error_text;

/// The only shell: an image without it starts direct processes only.
pub const BASH: &str = "/bin/bash";

/// The profile of the app.
const APP_PROFILE: &str = ".profile";

/// The profiles cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A folder of profiles cannot be listed.
    #[error("{0}")]
    List(#[from] ListError),
    /// The app directory cannot be looked into.
    #[error("failed to determine if app profile script exists at path '{path}': stat {path}: {cause}", path = .path.display())]
    App {
        /// The app's profile.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
}

/// Finds the profiles: for each layer `profile.d` and `profile.d/<process type>`, and the app's own at last.
///
/// # Errors
/// A folder cannot be read.
pub fn profiles(layers: &[BuildpackLayers], process_type: &str, app_dir: &Path) -> Result<Vec<PathBuf>, ProfileError> {
    let mut profiles = Vec::new();
    each_file(layers, "profile.d", process_type, &mut |file| {
        profiles.push(file);
        Ok::<_, ProfileError>(())
    })?;
    let path = join(app_dir, APP_PROFILE);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => {}
        // By its bare name: bash sources it from its working directory, which is the app directory.
        Ok(_) => profiles.push(PathBuf::from(APP_PROFILE)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(ProfileError::App { path, cause: error_text(&error) }),
    }
    Ok(profiles)
}

/// Writes the script of the outer bash: it sources the profiles, changes directory and becomes the process.
///
/// The outer bash gets the command and its `args` arguments as `$1`, `$2` and so on. Without arguments the command is
/// itself a script; with arguments each of them, and the command, is evaluated once more as text between double quotes.
pub fn script(profiles: &[PathBuf], working_dir: &OsStr, args: usize) -> OsString {
    let mut script = OsString::new();
    let mut line = |before: &str, path: &OsStr| {
        script.push(before);
        script.push(" \"");
        script.push(path);
        script.push("\"\n");
    };
    for profile in profiles {
        line("source", profile.as_os_str());
    }
    line("cd", working_dir);
    if args == 0 {
        script.push("exec bash -c \"$@\"");
        return script;
    }
    script.push("exec bash -c '\"$(eval echo \\\"$0\\\")\"");
    for index in 1..=args {
        script.push(format!(" \"$(eval echo \\\"${{{index}}}\\\")\""));
    }
    script.push("' \"${@:1}\"");
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_command_without_arguments_is_a_script() {
        let script = script(&["/p/1".into(), ".profile".into()], OsStr::new("/app"), 0);
        assert_eq!(script, "source \"/p/1\"\nsource \".profile\"\ncd \"/app\"\nexec bash -c \"$@\"");
    }

    #[test]
    fn a_command_with_arguments_is_evaluated_word_by_word() {
        let wanted = r#"cd "/app"
exec bash -c '"$(eval echo \"$0\")" "$(eval echo \"${1}\")" "$(eval echo \"${2}\")"' "${@:1}""#;
        assert_eq!(script(&[], OsStr::new("/app"), 2), wanted);
    }

    #[test]
    fn bash_makes_of_it_what_the_contract_says() {
        let app = tempfile::tempdir().unwrap();
        std::fs::write(app.path().join(".profile"), "export FROM_PROFILE=\"$0 profile\"; false").unwrap();
        let bash = |command: &str, args: &[&str]| {
            let script = script(&[".profile".into()], app.path().as_os_str(), args.len());
            let mut bash = Command::new(BASH);
            bash.arg("-c").arg(script).args(["caller", command]).args(args).current_dir(app.path());
            String::from_utf8(bash.output().unwrap().stdout).unwrap()
        };
        assert_eq!(bash("echo $0: $FROM_PROFILE; exit 1", &[]), "bash: caller profile\n");
        // Spaces of the word itself melt together, those of a variable's value stay; `echo` takes its own options.
        std::fs::write(app.path().join(".profile"), "export SPACED='a  b'").unwrap();
        assert_eq!(bash("printf", &["<%s>", "$SPACED", "a  *", "", "-n"]), "<a  b><a *><><>");
    }

    #[test]
    fn profiles_of_a_layer_come_before_those_of_its_type_and_the_apps_comes_last() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a/profile.d/z", "a/profile.d/web/p", "b/profile.d/y", "b/profile.d/other/n", "app/.profile"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let at = |name: &str| root.path().join(name);
        let layers = [BuildpackLayers { dir: root.path().to_owned(), names: vec!["a".into(), "b".into()] }];
        let found = profiles(&layers, "web", &at("app")).unwrap();
        assert_eq!(found, [at("a/profile.d/z"), at("a/profile.d/web/p"), at("b/profile.d/y"), ".profile".into()]);
        let found = profiles(&layers, "", &at("nowhere")).unwrap();
        assert_eq!(found, [at("a/profile.d/z"), at("b/profile.d/y")]);
    }
}
