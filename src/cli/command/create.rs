//! `creator`: all phases in one process, with values in hand. Catalogue 2, section 1.4.

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session};
use super::super::{credentials, documents, stores, wire};
use crate::api::PlatformFeature;
use crate::effect::events::{Phase, SessionEvent};
use crate::model::seal::Seals;
use crate::os::user;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    let image = super::one_image(&session)?;
    wire::with_phase(session, Phase::Create, |session, run| begun(session, run, &image))
}

fn begun(mut session: Session<Privileged>, creator: &wire::Run<'_>, image: &str) -> Result<(), Failure> {
    let keychain = credentials::gather(&session, &[])?;
    let run_image = super::analyze::run_image(&session, creator, &keychain, image)?;
    session.warn_without_cache();
    session.warn_of_launch_cache();
    let images = super::analyze::resolve(&session, image, &run_image)?;
    session.warn_of_parallel();
    session.guard_layout()?;
    session.emit(SessionEvent::EnsuringPrivileges);
    stores::connect_daemon(&mut session)?;
    let values = &session.values;
    session.own(&[
        values.some_path(Key::CacheDir),
        values.some_path(Key::LaunchCache),
        values.some_path(Key::Layers),
    ])?;
    let mut session = session.drop_privileges()?;
    let user = find_user(session.values.id(Key::Uid))?;
    session.env.set("HOME", &user.home);
    session.env.set("USER", &user.name);
    session.emit(SessionEvent::Executing);
    let _awake = stores::keep_daemon_awake(&session);
    let cache = stores::volume_cache(&session)?;
    let cache = cache.as_deref();
    let banner = |phase| session.emit(SessionEvent::Banner(phase));
    banner(Phase::Analyze);
    let mut analyzed =
        creator.phase(Phase::Analyze, |run| super::analyze::analyzed(&session, run, &keychain, &images))?;
    banner(Phase::Detect);
    let detected = creator.phase(Phase::Detect, |run| {
        let detected = super::detect::detected(&session, run, &analyzed)?;
        if detected.group.extensions.is_empty() { Ok(detected) } else { Err(Failure::CreatorExtensions) }
    })?;
    let mut seals = Seals::default();
    if session.api.has(PlatformFeature::CreatorAlwaysRestores) || !session.values.flag(Key::SkipLayers) {
        banner(Phase::Restore);
        let (group, metadata) = (detected.group.clone(), analyzed.metadata.clone());
        let restored = creator
            .phase(Phase::Restore, |run| super::restore::restored(&session, run, &keychain, group, metadata, cache))?;
        seals = restored.seals;
        analyzed.unsound_cache_layers = restored.unsound;
    }
    banner(Phase::Build);
    let (group, plan) = (detected.group.clone(), detected.plan);
    creator.phase(Phase::Build, |run| super::build::built(&session, run, group, plan, &analyzed))?;
    banner(Phase::Export);
    let names = std::iter::once(images.image.clone()).chain(images.tags.iter().cloned()).collect();
    creator.phase(Phase::Export, |run| {
        super::export::exported(&session, run, &keychain, names, detected.group, analyzed, cache, seals)
    })
}

/// Finds the user of the build in /etc/passwd, for the home folder of its programs.
fn find_user(uid: u32) -> Result<user::User, Failure> {
    let passwd = std::fs::read_to_string(documents::PASSWD).unwrap_or_default();
    user::find(&passwd, uid).map_err(|error| Failure::Setup {
        action: format!("set environment for user {uid}"),
        cause: error.to_string(),
        hint: Some(format!("Add a user with id {uid} to {} of the builder image.", documents::PASSWD)),
    })
}
