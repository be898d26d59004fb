//! Where images and caches are: registries, a daemon, layouts, folders.
//!
//! Clauses: platform.md, inputs `-daemon`, `-layout`, `-cache-dir`, `-cache-image`, `-launch-cache`; policy P28.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::inputs::Key;
use super::session::{Privileged, Session, Unprivileged, temp_dir};
use crate::cache::{ImageCache, VolumeCache};
use crate::effect::cache::Cache;
use crate::effect::events::{CacheEvent, Events, Listener, SessionEvent};
use crate::effect::images::{ImageDraft, ImageError, Images, Opened, StoreKind, WrittenImage};
use crate::image::daemon::{self, Awake, Daemon, DaemonConfig, DaemonImages};
use crate::image::layout::{LayoutImages, layout_path};
use crate::image::registry::{Keychain, RegistryConfig, RegistryImages};
use crate::model::digest::DiffId;
use crate::model::image::ImageRecord;
use crate::net::proxy::Proxies;
use crate::os::os_release;

/// How often a daemon is asked whether it is there: podman's goes to sleep after 5 s.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Opens the cache folder, if one is given. A cache image wins over it.
pub(super) fn volume_cache(session: &Session<Unprivileged>) -> Result<Option<Box<dyn Cache>>, Failure> {
    if session.values.some_text(Key::CacheImage).is_some() {
        return Ok(None);
    }
    let Some(dir) = session.values.some_path(Key::CacheDir) else { return Ok(None) };
    let cache = VolumeCache::open(&dir).map_err(|error| Failure::Setup {
        action: "create volume cache".to_owned(),
        cause: error.to_string(),
        hint: Some(format!("Make the folder {} and let the user of this phase write it.", dir.display())),
    })?;
    Ok(Some(Box::new(cache)))
}

/// The name by which a store finds an image: for layouts the path of its folder, else what the platform wrote.
pub(super) fn stored_name<S>(session: &Session<S>, name: &str) -> Result<String, Failure> {
    if !session.uses_layout() {
        return Ok(name.to_owned());
    }
    let path = layout_path(&session.values.path(Key::LayoutDir), name);
    path.map(|path| path.display().to_string()).map_err(|error| Failure::reference(&error))
}

/// Connects to the daemon, if images are in one. Its socket may be one that only root may open.
pub(super) fn connect_daemon(session: &mut Session<Privileged>) -> Result<(), Failure> {
    if !session.uses_daemon() {
        return Ok(());
    }
    let value =
        |name: &str| session.env.get(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
    let config = DaemonConfig {
        host: value("DOCKER_HOST"),
        tls_verify: value("DOCKER_TLS_VERIFY"),
        cert_path: value("DOCKER_CERT_PATH"),
        api_version: value("DOCKER_API_VERSION"),
    };
    let daemon = Daemon::connect(&config).map_err(|error| {
        Failure::Setup {
        action: "initialize docker client".to_owned(),
        cause: error.to_string(),
        hint: Some(
            "Give this phase the daemon's socket (/var/run/docker.sock, or another one in DOCKER_HOST) and start it as \
             a user who may open it."
                .to_owned(),
        ),
    }
    })?;
    session.daemon = Some(daemon);
    Ok(())
}

/// Keeps the daemon awake, if there is one, until the result is dropped.
pub(super) fn keep_daemon_awake(session: &Session<Unprivileged>) -> Option<Awake> {
    let events = Arc::clone(&session.events);
    let failed = move |error: daemon::Error| events.emit(SessionEvent::DaemonAsleep(error.to_string()).into());
    session.daemon.as_ref().map(|daemon| daemon.keep_awake(PING_INTERVAL, failed))
}

/// Opens the place where the images of a build are.
pub(super) fn images<S>(session: &Session<S>, keychain: &Keychain, listener: Listener) -> Box<dyn Images> {
    daemon_or_layout(session, &listener).unwrap_or_else(|| Box::new(registry(session, keychain, listener)))
}

/// Opens the place where images are, unless that is a registry.
fn daemon_or_layout<S>(session: &Session<S>, listener: &Listener) -> Option<Box<dyn Images>> {
    let (architecture, listener) = (os_release::architecture(), listener.clone());
    if session.uses_layout() {
        return Some(Box::new(LayoutImages::new(session.values.path(Key::LayoutDir), architecture, listener)));
    }
    if !session.uses_daemon() {
        return None;
    }
    let Some(daemon) = session.daemon.clone() else { return Some(Box::new(NoImages(StoreKind::Daemon))) };
    let launch_cache = launch_cache(session, &*listener.events);
    let images = DaemonImages::new(daemon, architecture, temp_dir(&session.env), listener);
    Some(match launch_cache {
        Some(cache) => Box::new(images.with_launch_cache(cache)),
        None => Box::new(images),
    })
}

/// A client for registries, which has not spoken to any yet, also where the images of a build are elsewhere.
pub(super) fn registry<S>(session: &Session<S>, keychain: &Keychain, listener: Listener) -> RegistryImages {
    let config = RegistryConfig {
        insecure: session.values.list(Key::InsecureRegistries),
        keychain: keychain.clone(),
        proxies: Proxies::of(&session.env),
        ..RegistryConfig::new(os_release::architecture(), temp_dir(&session.env))
    };
    RegistryImages::new(config, listener)
}

/// Where the images of a build are, and where its cache image is, which may be the same.
pub(super) struct Stores {
    registry: RegistryImages,
    /// The daemon or the layouts, if images go there.
    other: Option<Box<dyn Images>>,
}

impl Stores {
    /// Opens both.
    pub(super) fn open<S>(session: &Session<S>, keychain: &Keychain, listener: Listener) -> Self {
        Self { other: daemon_or_layout(session, &listener), registry: registry(session, keychain, listener) }
    }

    /// Where the images of the build are.
    pub(super) fn images(&self) -> &dyn Images {
        self.other.as_deref().unwrap_or(&self.registry)
    }

    /// Names a cache image.
    pub(super) fn image_cache<'a>(&'a self, name: &str, events: &'a dyn Events, keeps_old: bool) -> ImageCache<'a> {
        ImageCache::new(&self.registry, name, events, keeps_old)
    }

    /// Where a cache image is.
    pub(super) fn registry(&self) -> &dyn Images {
        &self.registry
    }
}

/// Opens the launch cache, if one is given. Without it a build takes longer, and no more (policy P28).
fn launch_cache<S>(session: &Session<S>, events: &dyn Events) -> Option<Arc<dyn Cache>> {
    match VolumeCache::open(&session.values.some_path(Key::LaunchCache)?) {
        Ok(cache) => Some(Arc::new(cache)),
        Err(error) => {
            events.emit(CacheEvent::LaunchCacheFailed(format!("creating launch cache: {error}")).into());
            None
        }
    }
}

/// The place for images of a phase that has none to do with, or is not connected to it yet.
pub(super) struct NoImages(pub(super) StoreKind);

impl NoImages {
    fn error<T>() -> Result<T, ImageError> {
        Err(ImageError::permanent("this phase reads and writes no images yet"))
    }
}

impl Images for NoImages {
    fn kind(&self) -> StoreKind {
        self.0
    }

    fn open(&self, _: &str) -> Result<Opened, ImageError> {
        Self::error()
    }

    fn check_read(&self, _: &str) -> Result<(), ImageError> {
        Self::error()
    }

    fn check_write(&self, _: &str) -> Result<(), ImageError> {
        Self::error()
    }

    fn layer(&self, _: &ImageRecord, _: &DiffId) -> Result<Box<dyn io::Read + Send>, ImageError> {
        Self::error()
    }

    fn write(&self, _: &ImageDraft, _: &[String]) -> Result<WrittenImage, ImageError> {
        Self::error()
    }
}
