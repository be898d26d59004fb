//! `restorer`: catalogue 1, sections 4.1 and 4.2.

use std::path::Path;

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged};
use super::super::{credentials, documents, stores, wire};
use crate::api::PlatformFeature;
use crate::effect::cache::Cache;
use crate::effect::events::{Phase, RestoreEvent, SessionEvent};
use crate::image::kaniko;
use crate::image::registry::Keychain;
use crate::model::analyzed::Analyzed;
use crate::model::app_metadata::AppMetadata;
use crate::model::image::ImageRecord;
use crate::model::order::Group;
use crate::model::reference::Reference;
use crate::phase::restore::{Inputs, Restored, restore, run_image};
use crate::schema;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    super::no_arguments(&session, "received unexpected Args")?;
    session.warn_without_cache();
    wire::with_phase(session, Phase::Restore, begun)
}

fn begun(mut session: Session<Privileged>, run: &wire::Run<'_>) -> Result<(), Failure> {
    session.emit(SessionEvent::EnsuringPrivileges);
    let keychain = credentials::gather(&session, &[])?;
    stores::connect_daemon(&mut session)?;
    let values = &session.values;
    session.own(&[values.some_path(Key::Layers), values.some_path(Key::CacheDir), values.some_path(Key::KanikoDir)])?;
    let session = session.drop_privileges()?;
    session.emit(SessionEvent::Executing);
    let group = documents::group(&session.values.path(Key::Group))?;
    wire::verify_buildpack_apis(&session, &group.buildpacks)?;
    let analyzed_path = session.values.path(Key::Analyzed);
    let analyzed = match documents::analyzed(&analyzed_path, &*session.events) {
        Ok(analyzed) => {
            let analyzed = resolve_build_image(&session, run, &keychain, analyzed)?;
            Some(resolve_run_image(&session, run, &keychain, &group, analyzed)?)
        }
        Err(fault) => {
            session.emit(SessionEvent::AnalyzedUnusable(fault.text()));
            None
        }
    };
    if let Some(analyzed) = &analyzed {
        documents::write(&analyzed_path, "analyzed", &schema::analyzed::render(analyzed))?;
    }
    check_cache_image(&session)?;
    let cache = stores::volume_cache(&session)?;
    let metadata = analyzed.as_ref().map(|analyzed| analyzed.metadata.clone()).unwrap_or_default();
    let restored = restored(&session, run, &keychain, group, metadata, cache.as_deref())?;
    if let Some(cache) = &cache {
        cache.keep_seals(&restored.seals);
    }
    if let Some(analyzed) = analyzed
        && restored.unsound != analyzed.unsound_cache_layers
    {
        let analyzed = Analyzed { unsound_cache_layers: restored.unsound, ..analyzed };
        documents::write(&analyzed_path, "analyzed", &schema::analyzed::render(&analyzed))?;
    }
    Ok(())
}

/// Holds that the cache image, if there is one, has a name that can be read. Whatever else is wrong with it only costs
/// time.
fn check_cache_image(session: &Session<Unprivileged>) -> Result<(), Failure> {
    let Some(name) = session.values.some_text(Key::CacheImage) else { return Ok(()) };
    Reference::parse(&name).map(drop).map_err(|error| Failure::Setup {
        action: "create image cache".to_owned(),
        cause: format!("accessing cache image \"{name}\": {error}"),
        hint: Some("Name an image in a registry with -cache-image.".to_owned()),
    })
}

/// Keeps the build image for the extender, if the platform names it.
fn resolve_build_image(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    analyzed: Analyzed,
) -> Result<Analyzed, Failure> {
    let name = session.values.some_text(Key::BuildImage);
    let Some(name) = name.filter(|_| session.api.has(PlatformFeature::RestorerResolvesImages)) else {
        return Ok(analyzed);
    };
    session.emit(RestoreEvent::PullingBuildImage(name.clone()));
    let image = pull(session, run, keychain, &name).map_err(|error| not_pulled("builder image", &name, &error))?;
    session.emit(RestoreEvent::BuildImage(image.identifier.clone()));
    Ok(Analyzed { build_image: Some(image.identifier), ..analyzed })
}

/// Reads an image from its registry, wherever the images of the build are, and keeps it for the extender.
fn pull(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    name: &str,
) -> Result<ImageRecord, kaniko::Error> {
    let registry = stores::registry(session, keychain, run.listener());
    let saving = |path: &Path| session.emit(RestoreEvent::SavingImage(path.to_owned()));
    kaniko::pull(&session.values.path(Key::KanikoDir), &registry, name, saving)
}

fn not_pulled(what: &str, name: &str, error: &kaniko::Error) -> Failure {
    let hint = match error {
        kaniko::Error::Folder { .. } | kaniko::Error::Save(_) => {
            "Give this phase a folder /kaniko that its user may write; the extender needs it too."
        }
        _ => "Give this phase access to the image in its registry, with credentials in CNB_REGISTRY_AUTH.",
    };
    Failure::Setup { action: format!("pull {what} {name}"), cause: error.to_string(), hint: Some(hint.to_owned()) }
}

/// Checks the run image that analysis chose, from Platform API 0.14 on, and makes what is said of it whole in a build
/// with extensions.
fn resolve_run_image(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    group: &Group,
    analyzed: Analyzed,
) -> Result<Analyzed, Failure> {
    let path = session.values.path(Key::Run);
    let known = if session.api.has(PlatformFeature::RestorerChecksRunImage) {
        documents::run(&path, &*session.events).map_err(Failure::fault)?
    } else {
        None
    };
    let Some(run_image) = &analyzed.run_image else { return Ok(analyzed) };
    let images = run.open_images(session, keychain);
    if let Some(known) = known {
        let listed = crate::phase::run_image::find(&known, &run_image.image).is_some();
        if listed && !session.uses_layout() && images.check_read(&run_image.image).is_err() {
            return Err(Failure::RunImageNotAccessible { name: run_image.image.clone(), hint: hint(&path) });
        }
    }
    let failed = |action: &str, name: &str, cause: String| Failure::Setup {
        action: format!("{action} run image {name}"),
        cause,
        hint: Some("Give this phase access to the run image that an extension chose, or choose another.".to_owned()),
    };
    // A layout is there for the extender as it is.
    let resolved = if let Some(name) = run_image::to_extend(session.api, run_image).filter(|_| !session.uses_layout()) {
        session.emit(RestoreEvent::PullingRunImage(name.to_owned()));
        let image = pull(session, run, keychain, name).map_err(|error| not_pulled("run image", name, &error))?;
        run_image::describe(session.api, &image, run_image).map_err(|error| failed("pull", name, error.to_string()))?
    } else if let Some(name) = run_image::unresolved(session.api, group, run_image) {
        session.emit(RestoreEvent::ResolvingRunImage);
        run_image::resolve(session.api, &*images, name, run_image)
            .map_err(|error| failed("get", name, error.to_string()))?
    } else {
        return Ok(analyzed);
    };
    session.emit(RestoreEvent::RunImageResolved { was: Box::new(run_image.clone()), is: Box::new(resolved.clone()) });
    Ok(Analyzed { run_image: Some(resolved), ..analyzed })
}

fn hint(run: &Path) -> String {
    format!(
        "Give this phase the credentials of the registry (CNB_REGISTRY_AUTH), or name another image in {}.",
        run.display()
    )
}

/// Restores what buildpacks of the group may find again, from the cache image or else `cache`.
pub(super) fn restored(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    group: Group,
    app_metadata: AppMetadata,
    cache: Option<&dyn Cache>,
) -> Result<Restored, Failure> {
    let stores = run.open_stores(session, keychain);
    let image_cache = run.image_cache(session, &stores);
    let inputs = Inputs {
        api: session.api,
        layers: session.layers(),
        group,
        app_metadata,
        cache: image_cache.as_ref().map(|cache| cache as &dyn Cache).or(cache),
        skip_layers: session.values.flag(Key::SkipLayers),
        extract_root: "/".into(),
    };
    run.timed(|effects| restore(effects, &inputs).map_err(Failure::Restore))
}
