//! `restorer`: catalogue 1, sections 4.1 and 4.2.

use std::path::Path;

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged};
use super::super::{credentials, documents, wire};
use crate::api::PlatformFeature;
use crate::effect::cache::Cache;
use crate::effect::events::{Phase, RestoreEvent, SessionEvent};
use crate::image::registry::Keychain;
use crate::model::analyzed::Analyzed;
use crate::model::app_metadata::AppMetadata;
use crate::model::order::Group;
use crate::phase::restore::{Inputs, restore, run_image};
use crate::schema;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    super::no_arguments(&session, "received unexpected Args")?;
    session.warn_without_cache();
    let values = &session.values;
    Failure::refuse("restore", values.some_text(Key::CacheImage).is_some(), "a cache image")?;
    Failure::refuse(
        "restore",
        session.api.has(PlatformFeature::RestorerResolvesImages) && values.some_text(Key::BuildImage).is_some(),
        "a build image",
    )?;
    wire::with_phase(session, Phase::Restore, begun)
}

fn begun(mut session: Session<Privileged>, run: &wire::Run<'_>) -> Result<(), Failure> {
    session.emit(SessionEvent::EnsuringPrivileges);
    let keychain = credentials::gather(&session, &[])?;
    wire::connect_daemon(&mut session)?;
    let values = &session.values;
    session.own(&[values.some_path(Key::Layers), values.some_path(Key::CacheDir), values.some_path(Key::KanikoDir)])?;
    let session = session.drop_privileges()?;
    session.emit(SessionEvent::Executing);
    let group = documents::group(&session.values.path(Key::Group))?;
    wire::verify_buildpack_apis(&group.buildpacks)?;
    let analyzed_path = session.values.path(Key::Analyzed);
    let analyzed = match documents::analyzed(&analyzed_path, &*session.events) {
        Ok(analyzed) => Some(resolve_run_image(&session, run, &keychain, &group, analyzed)?),
        Err(fault) => {
            session.emit(SessionEvent::AnalyzedUnusable(fault.cause));
            None
        }
    };
    if let Some(analyzed) = &analyzed {
        documents::write(&analyzed_path, "analyzed", &schema::analyzed::render(analyzed))?;
    }
    let cache = wire::volume_cache(&session)?;
    let metadata = analyzed.unwrap_or_default().metadata;
    restored(&session, run, group, metadata, cache.as_deref())
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
    let Some(run_image) = &analyzed.run_image else { return Ok(analyzed) };
    let pulled = run_image.extend && session.api.has(PlatformFeature::ExtensionLayers);
    Failure::refuse("restore", pulled, "a run image that extensions extend")?;
    let images = run.open_images(session, keychain);
    if session.api.has(PlatformFeature::RestorerChecksRunImage) && !run_image.image.is_empty() {
        let path = session.values.path(Key::Run);
        let images_of_run = documents::run(&path, &*session.events);
        let images_of_run = images_of_run.map_err(|fault| Failure::document("restore", fault))?;
        let listed = images_of_run.is_some_and(|run| crate::phase::run_image::find(&run, &run_image.image).is_some());
        if listed && !session.uses_layout() && images.check_read(&run_image.image).is_err() {
            return Err(Failure::Setup {
                action: "resolve run image".to_owned(),
                cause: format!("selected run image '{}' is not accessible", run_image.image),
                hint: Some(hint(&path)),
            });
        }
    }
    let Some(name) = run_image::unresolved(session.api, group, run_image) else { return Ok(analyzed) };
    session.emit(RestoreEvent::ResolvingRunImage);
    let resolved = run_image::resolve(session.api, &*images, name, run_image).map_err(|error| Failure::Setup {
        action: format!("get run image {name}"),
        cause: error.to_string(),
        hint: Some("Give this phase access to the run image that an extension chose, or choose another.".to_owned()),
    })?;
    session.emit(RestoreEvent::RunImageResolved { was: Box::new(run_image.clone()), is: Box::new(resolved.clone()) });
    Ok(Analyzed { run_image: Some(resolved), ..analyzed })
}

fn hint(run: &Path) -> String {
    format!(
        "Give this phase the credentials of the registry (CNB_REGISTRY_AUTH), or name another image in {}.",
        run.display()
    )
}

/// Restores what buildpacks of the group may find again.
pub(super) fn restored(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    group: Group,
    app_metadata: AppMetadata,
    cache: Option<&dyn Cache>,
) -> Result<(), Failure> {
    let inputs = Inputs {
        api: session.api,
        layers: session.layers(),
        group,
        app_metadata,
        cache,
        skip_layers: session.values.flag(Key::SkipLayers),
        extract_root: "/".into(),
    };
    run.timed(|effects| restore(effects, &inputs).map_err(Failure::Restore))
}
