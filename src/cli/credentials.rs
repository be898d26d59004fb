//! Where credentials for registries come from.
//!
//! Policy P27; catalogue 1, section 1.9, "Keychain". `CNB_REGISTRY_AUTH`, then docker's configuration and its helpers, or
//! podman's file where docker has none. Files are read and helpers asked before privileges are dropped, and only for
//! registries that flags, variables and documents name.

use std::path::PathBuf;

use super::failure::Failure;
use super::inputs::Key;
use super::session::Session;
use crate::image::registry::{DockerConfig, HELPER_BUDGET, Keychain};
use crate::model::env::Environment;
use crate::model::reference::Reference;

/// Gathers credentials for the registries of the images that a session knows, and of `more`.
pub(super) fn gather<S>(session: &Session<S>, more: &[&str]) -> Result<Keychain, Failure> {
    let variable = session.env.get("CNB_REGISTRY_AUTH").map(|value| value.to_string_lossy().into_owned());
    let mut keychain = Keychain::from_registry_auth(&variable.unwrap_or_default()).map_err(|error| Failure::Setup {
        action: "resolve keychain".to_owned(),
        cause: error.to_string(),
        hint: Some(
            "Set CNB_REGISTRY_AUTH to a JSON object such as {\"registry.example.com\":\"Basic <base64>\"}.".into(),
        ),
    })?;
    let registries = registries(session, more);
    if !registries.is_empty()
        && let Some(config) = config_file(&session.env).and_then(|path| std::fs::read_to_string(path).ok())
    {
        keychain.extend(DockerConfig::parse(&config).resolve(&registries, HELPER_BUDGET));
    }
    if let Some(capture) = &session.capture {
        capture.redactor.add(keychain.secrets());
    }
    Ok(keychain)
}

/// The registries of the images that flags, variables and arguments name, each once.
fn registries<S>(session: &Session<S>, more: &[&str]) -> Vec<String> {
    let values = &session.values;
    // Only these two are in a registry when the others are in a daemon or in layouts.
    let mut named = vec![values.text(Key::BuildImage), values.text(Key::CacheImage)];
    if !session.uses_daemon() && !session.uses_layout() {
        named.extend([values.text(Key::PreviousImage), values.text(Key::RunImage)]);
        named.extend(values.list(Key::Tag).into_iter().chain(values.positional.clone()));
    }
    let names = named.into_iter().chain(more.iter().map(|name| (*name).to_owned()));
    let mut registries: Vec<String> =
        names.filter_map(|name| Reference::parse(&name).ok()).map(|name| name.registry().to_owned()).collect();
    registries.sort();
    registries.dedup();
    registries
}

/// The file with credentials: docker's, if there is one under `HOME` or `DOCKER_CONFIG`, else podman's.
pub(super) fn config_file(env: &Environment) -> Option<PathBuf> {
    let dir = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let docker = dir("DOCKER_CONFIG").map(|dir| dir.join("config.json"));
    let home = dir("HOME").map(|dir| dir.join(".docker/config.json"));
    if docker.iter().chain(&home).any(|path| path.is_file()) {
        return docker.or(home);
    }
    let podman = [
        dir("REGISTRY_AUTH_FILE"),
        dir("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        dir("XDG_CONFIG_HOME").map(|dir| dir.join("containers/auth.json")),
        dir("HOME").map(|dir| dir.join(".config/containers/auth.json")),
    ];
    podman.into_iter().flatten().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_own_folder_wins_over_home_and_docker_over_podman() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in [".docker/config.json", "other/config.json", ".config/containers/auth.json"] {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), "{}").unwrap();
        }
        let home: Environment = [("HOME", dir.path())].into_iter().collect();
        assert_eq!(config_file(&home), Some(path(".docker/config.json")));
        let both: Environment = [("HOME", dir.path().into()), ("DOCKER_CONFIG", path("other"))].into_iter().collect();
        assert_eq!(config_file(&both), Some(path("other/config.json")));
        std::fs::remove_file(path(".docker/config.json")).unwrap();
        assert_eq!(config_file(&home), Some(path(".config/containers/auth.json")));
        assert_eq!(config_file(&Environment::default()), None);
    }
}
