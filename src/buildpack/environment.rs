//! The environment of a buildpack's or extension's program.
//!
//! Clauses: buildpack.md#environment, platform.md#user-provided-variables, platform.md#operator-defined-variables.

use std::ffi::OsStr;
use std::path::Path;

use crate::model::env::{Environment, NoSuffix};
use crate::model::target::RunTarget;
use crate::os::env_dir::{self, EnvDirError};

/// Variables of the lifecycle's own environment that reach buildpacks; all others are kept from them.
const PASSED_ON: &[&str] = &[
    "CNB_STACK_ID",
    "HOSTNAME",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "PATH",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "CPATH",
    "PKG_CONFIG_PATH",
];

/// Lists of paths: the platform's value goes in front of what is there.
const LISTS: &[&str] = &["PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH"];

/// Folders of a build layer, and the lists that they are put in front of.
const LAYER_FOLDERS: &[(&str, &[&str])] = &[
    ("bin", &["PATH"]),
    ("lib", &["LD_LIBRARY_PATH", "LIBRARY_PATH"]),
    ("include", &["CPATH"]),
    ("pkgconfig", &["PKG_CONFIG_PATH"]),
];

/// Keeps what buildpacks may see of the lifecycle's own environment.
pub fn base(own: &Environment) -> Environment {
    own.iter().filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed)).collect()
}

/// Lays the user's variables (`<platform>/env`) over an environment: the file's whole name is the variable.
///
/// # Errors
/// A file cannot be read.
pub fn add_platform(env: &mut Environment, platform_dir: &Path) -> Result<(), EnvDirError> {
    for file in env_dir::read(&platform_dir.join("env"))? {
        match LISTS.iter().find(|list| file.name == **list) {
            Some(list) => env.prepend_path(list, &file.value),
            None => env.set(file.name, file.value),
        }
    }
    Ok(())
}

/// Lays the operator's variables (`<build-config>/env`) over an environment, by the suffix rules.
///
/// # Errors
/// A file cannot be read.
pub fn add_build_config(env: &mut Environment, build_config_dir: &Path) -> Result<(), EnvDirError> {
    let dir = build_config_dir.join("env");
    let files = env_dir::read(&dir)
        .map_err(|error| EnvDirError(format!("apply env files from dir '{}': {error}", dir.display())))?;
    env.apply(&files, NoSuffix::Default);
    Ok(())
}

/// Puts the folders of a build layer in front of the lists of paths.
pub fn add_layer_folders(env: &mut Environment, layer: &Path) {
    for (folder, lists) in LAYER_FOLDERS {
        let path = layer.join(folder);
        if path.exists() {
            lists.iter().for_each(|list| env.prepend_path(list, path.as_os_str()));
        }
    }
}

/// Applies `env/` and then `env.build/` of a build layer.
///
/// # Errors
/// A file cannot be read.
pub fn add_layer_files(env: &mut Environment, layer: &Path) -> Result<(), EnvDirError> {
    for folder in ["env", "env.build"] {
        let dir = layer.join(folder);
        let files = env_dir::read(&dir)
            .map_err(|error| EnvDirError(format!("apply env files from dir '{}': {error}", dir.display())))?;
        env.apply(&files, NoSuffix::Override);
    }
    Ok(())
}

/// Sets `CNB_TARGET_*`; those without a value are left out, but for operating system and architecture.
///
/// Clause: buildpack.md#targets-2.
pub fn set_target(env: &mut Environment, target: &RunTarget) {
    env.set("CNB_TARGET_OS", &target.os);
    env.set("CNB_TARGET_ARCH", &target.arch);
    let distro = target.distro.clone().unwrap_or_default();
    for (name, value) in [
        ("CNB_TARGET_ARCH_VARIANT", &target.variant),
        ("CNB_TARGET_DISTRO_NAME", &distro.name),
        ("CNB_TARGET_DISTRO_VERSION", &distro.version),
    ] {
        if !value.is_empty() {
            env.set(name, OsStr::new(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_variables_pass() {
        let own: Environment = [("HOME", "/h"), ("SECRET", "x"), ("CNB_PLATFORM_API", "0.12")].into_iter().collect();
        assert_eq!(base(&own), [("HOME", "/h")].into_iter().collect());
    }

    #[test]
    fn the_users_path_goes_in_front_and_dots_belong_to_names() {
        let platform = tempfile::tempdir().unwrap();
        std::fs::create_dir(platform.path().join("env")).unwrap();
        std::fs::write(platform.path().join("env/PATH"), "/user").unwrap();
        std::fs::write(platform.path().join("env/A.append"), "x\n").unwrap();
        let mut env: Environment = [("PATH", "/bin")].into_iter().collect();
        add_platform(&mut env, platform.path()).unwrap();
        assert_eq!(env, [("PATH", "/user:/bin"), ("A.append", "x\n")].into_iter().collect());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("env")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("env/X")).unwrap();
        let error = add_platform(&mut Environment::default(), dir.path()).unwrap_err();
        assert!(error.0.starts_with("stat ") && error.0.ends_with("X: no such file or directory"), "{error}");
    }
}
