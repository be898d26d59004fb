//! What a phase runs with: its API, its inputs, who hears of it, and how privileged it is.
//!
//! Clause: platform.md#security-considerations. Credentials are read, folders given away and a daemon connected to only
//! before privileges are dropped, programs of buildpacks run only after: the two states are two types.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::capture::Capture;
use super::delivery;
use super::failure::Failure;
use super::inputs::Key;
use super::resolve::Values;
use crate::api::{DeprecationMode, PlatformApi};
use crate::effect::clock::Clock;
use crate::effect::events::{Event, Events, Phase, SessionEvent};
use crate::image::daemon::Daemon;
use crate::model::env::Environment;
use crate::model::layers_dir::LayersDir;
use crate::os::user;
use crate::report::console::Console;

/// Still the user that the platform started.
pub(super) enum Privileged {}

/// The user that the build is for.
pub(super) enum Unprivileged {}

/// One run of a phase.
pub(super) struct Session<State> {
    /// The phase.
    pub phase: Phase,
    /// The Platform API.
    pub api: PlatformApi,
    /// Every input.
    pub values: Values,
    /// The environment of this process.
    pub env: Environment,
    /// The working directory.
    pub cwd: PathBuf,
    /// The stream that users read.
    pub console: Arc<Console>,
    /// Who hears what happens.
    pub events: Arc<dyn Events>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The daemon that images are in, once it is connected to.
    pub daemon: Option<Daemon>,
    /// Who hears what the build says, where that was asked for.
    pub capture: Option<Capture>,
    state: PhantomData<State>,
}

/// What `CNB_EXPERIMENTAL_MODE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExperimentalMode {
    Quiet,
    Warn,
    Error,
}

impl Session<Privileged> {
    /// Starts a session with the user that the platform started.
    pub(super) fn new(
        phase: Phase,
        api: PlatformApi,
        values: Values,
        env: Environment,
        cwd: PathBuf,
        console: Arc<Console>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let events: Arc<dyn Events> = Arc::clone(&console) as Arc<dyn Events>;
        Self { phase, api, values, env, cwd, console, events, clock, daemon: None, capture: None, state: PhantomData }
    }

    /// Gives folders to the user of the build.
    pub(super) fn own(&self, dirs: &[Option<PathBuf>]) -> Result<(), Failure> {
        let (uid, gid) = self.ids();
        dirs.iter().flatten().try_for_each(|dir| {
            user::ensure_owner(dir, uid, gid).map_err(|error| Failure::Setup {
                action: "chown volumes".into(),
                cause: error.to_string(),
                hint: Some(format!(
                    "Run this phase as root, or let user {uid} or group {gid} write {}.",
                    dir.display()
                )),
            })
        })
    }

    /// Becomes the user of the build.
    pub(super) fn drop_privileges(self) -> Result<Session<Unprivileged>, Failure> {
        let (uid, gid) = self.ids();
        user::become_user(uid, gid).map_err(|error| Failure::Setup {
            action: format!("exec as user {uid}:{gid}"),
            cause: error.to_string(),
            hint: Some("Run this phase as root, or set CNB_USER_ID and CNB_GROUP_ID to its own user and group.".into()),
        })?;
        // The kernel may have undone it with the user.
        delivery::protect(&self.env);
        Ok(self.into_unprivileged())
    }

    /// Goes on as the user that the platform started, who must not be root: phases that run buildpacks.
    pub(super) fn refuse_root(self, action: &str) -> Result<Session<Unprivileged>, Failure> {
        if user::is_root() {
            return Err(Failure::Setup {
                action: action.to_owned(),
                cause: "refusing to run as root".into(),
                hint: Some("Run this phase as the user of the builder image (CNB_USER_ID).".into()),
            });
        }
        Ok(self.into_unprivileged())
    }

    fn into_unprivileged(self) -> Session<Unprivileged> {
        let Self { phase, api, values, env, cwd, console, events, clock, daemon, capture, state: _ } = self;
        Session { phase, api, values, env, cwd, console, events, clock, daemon, capture, state: PhantomData }
    }
}

impl<State> Session<State> {
    /// What becomes of modules that ask for a deprecated API.
    pub(super) fn deprecation(&self) -> DeprecationMode {
        deprecation(&self.env)
    }

    /// Tells an event.
    pub(super) fn emit(&self, event: impl Into<Event>) {
        self.events.emit(event.into());
    }

    /// Uid and gid of the user of the build.
    pub(super) fn ids(&self) -> (u32, u32) {
        (self.values.id(Key::Uid), self.values.id(Key::Gid))
    }

    /// The layers folder.
    pub(super) fn layers(&self) -> LayersDir {
        LayersDir::new(self.values.path(Key::Layers))
    }

    /// Says whether images are OCI layouts: asked for, and there is a folder for them.
    pub(super) fn uses_layout(&self) -> bool {
        self.values.flag(Key::Layout) && self.values.some_path(Key::LayoutDir).is_some()
    }

    /// Says whether images go to and come from a daemon.
    pub(super) fn uses_daemon(&self) -> bool {
        !self.uses_layout() && self.values.flag(Key::Daemon)
    }

    /// Refuses or tells the use of an experimental feature, as `CNB_EXPERIMENTAL_MODE` says (policy P21).
    pub(super) fn guard_experimental(&self, feature: &'static str) -> Result<(), Failure> {
        let mode = match self.env.get("CNB_EXPERIMENTAL_MODE").and_then(|mode| mode.to_str()) {
            Some("quiet" | "silent") => ExperimentalMode::Quiet,
            None | Some("" | "error") => ExperimentalMode::Error,
            Some(_) => ExperimentalMode::Warn,
        };
        let refused = mode == ExperimentalMode::Error;
        if mode != ExperimentalMode::Quiet {
            self.emit(SessionEvent::Experimental { feature, refused });
        }
        if refused { Err(Failure::Experimental) } else { Ok(()) }
    }

    /// Guards `-layout`.
    pub(super) fn guard_layout(&self) -> Result<(), Failure> {
        if self.values.flag(Key::Layout) { self.guard_experimental("export to OCI layout format") } else { Ok(()) }
    }

    /// Warns when neither a cache folder nor a cache image is given.
    pub(super) fn warn_without_cache(&self) {
        if !self.has_cache() {
            self.emit(SessionEvent::NoCache);
        }
    }

    /// Says whether a cache folder or a cache image is given.
    pub(super) fn has_cache(&self) -> bool {
        self.values.some_path(Key::CacheDir).is_some() || self.values.some_text(Key::CacheImage).is_some()
    }

    /// Warns when a launch cache is given without a daemon.
    pub(super) fn warn_of_launch_cache(&self) {
        if !self.values.flag(Key::Daemon) && self.values.some_path(Key::LaunchCache).is_some() {
            self.emit(SessionEvent::LaunchCacheIgnored);
        }
    }

    /// Warns when `-parallel` is given without a cache.
    pub(super) fn warn_of_parallel(&self) {
        if self.values.flag(Key::Parallel) && !self.has_cache() {
            self.emit(SessionEvent::ParallelWithoutCache);
        }
    }
}

/// What becomes of who asks for a deprecated API: `CNB_DEPRECATION_MODE`.
pub(super) fn deprecation(env: &Environment) -> DeprecationMode {
    DeprecationMode::parse(env.get("CNB_DEPRECATION_MODE").and_then(|mode| mode.to_str()))
}

/// A folder below which a phase makes its own temporary folders.
pub(super) fn temp_dir(env: &Environment) -> PathBuf {
    env.get("TMPDIR").filter(|dir| !dir.is_empty()).map_or_else(|| Path::new("/tmp").to_owned(), PathBuf::from)
}
