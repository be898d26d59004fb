//! `analyzer`: catalogue 1, sections 1.9, 2.1 and 2.2.

use super::super::documents::Fault;
use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged};
use super::super::{credentials, documents, stores, wire};
use crate::api::PlatformFeature;
use crate::effect::events::{Phase, SessionEvent};
use crate::image::registry::Keychain;
use crate::model::analyzed::Analyzed;
use crate::model::layers_dir::LayersDir;
use crate::model::reference::Reference;
use crate::model::run_image::RunImageRef;
use crate::phase::analyze::{Inputs, analyze};
use crate::phase::run_image::{self, choose};
use crate::schema;

/// Images that analysis is about.
pub(super) struct Images {
    /// The image to be written.
    pub(super) image: String,
    /// More names for it.
    pub(super) tags: Vec<String>,
    previous: String,
    run: String,
}

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    let image = super::one_image(&session)?;
    wire::with_phase(session, Phase::Analyze, |session, run| begun(session, run, &image)).map(|_| ())
}

fn begun(mut session: Session<Privileged>, run: &wire::Run<'_>, image: &str) -> Result<Analyzed, Failure> {
    let keychain = credentials::gather(&session, &[])?;
    let run_image = run_image(&session, run, &keychain, image)?;
    session.warn_of_launch_cache();
    let images = resolve(&session, image, &run_image)?;
    session.warn_of_parallel();
    session.guard_layout()?;
    session.emit(SessionEvent::EnsuringPrivileges);
    stores::connect_daemon(&mut session)?;
    let values = &session.values;
    session.own(&[
        values.some_path(Key::Layers),
        values.some_path(Key::CacheDir),
        values.some_path(Key::LaunchCache),
    ])?;
    let session = session.drop_privileges()?;
    session.emit(SessionEvent::Executing);
    analyzed(&session, run, &keychain, &images)
}

/// The run image: the one that is named, else one of run.toml or stack.toml.
pub(super) fn run_image(
    session: &Session<Privileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    image: &str,
) -> Result<String, Failure> {
    match session.values.some_text(Key::RunImage) {
        Some(name) => Ok(name),
        None => choose_run_image(session, run, keychain, image),
    }
}

/// Resolves the images of a build: names parse, and all that is written is on one registry.
pub(super) fn resolve(session: &Session<Privileged>, image: &str, run_image: &str) -> Result<Images, Failure> {
    let values = &session.values;
    let previous = values.some_text(Key::PreviousImage).unwrap_or_else(|| image.to_owned());
    let tags = values.list(Key::Tag);
    cache_image(session)?;
    // Nothing here uses the build image; a name that is none is told before the restorer comes to it.
    values.some_text(Key::BuildImage).map_or(Ok(()), |name| parse(&name).map(drop))?;
    same_registry(session, std::iter::once(image).chain(tags.iter().map(String::as_str)))?;
    let stored = |name: &str| {
        if !session.uses_layout() {
            parse(name)?;
        }
        stores::stored_name(session, name)
    };
    Ok(Images {
        previous: stored(&previous)?,
        run: stored(run_image)?,
        tags: tags.iter().map(|tag| stored(tag)).collect::<Result<_, _>>()?,
        image: stored(image)?,
    })
}

/// Holds that the cache image, if there is one, has a name that can be read.
pub(super) fn cache_image(session: &Session<Privileged>) -> Result<(), Failure> {
    session.values.some_text(Key::CacheImage).map_or(Ok(()), |name| parse(&name).map(drop))
}

fn parse(name: &str) -> Result<Reference, Failure> {
    Reference::parse(name).map_err(|error| Failure::reference(&error))
}

/// Holds that everything that is written goes to one registry.
pub(super) fn same_registry<'a, S>(session: &Session<S>, names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut registries = names.map(parse).collect::<Result<Vec<_>, _>>()?;
    registries.dedup_by(|a, b| a.registry() == b.registry());
    if registries.len() > 1 && !session.uses_daemon() {
        return Err(Failure::inputs(&"writing to multiple registries is unsupported"));
    }
    Ok(())
}

/// Chooses a run image of run.toml, or of stack.toml below Platform API 0.12.
fn choose_run_image(
    session: &Session<Privileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    image: &str,
) -> Result<String, Failure> {
    let has_run_toml = session.api.has(PlatformFeature::RunToml);
    let path = session.values.path(if has_run_toml { Key::Run } else { Key::Stack });
    let failed = |error: run_image::Error| Failure::Inputs {
        cause: error.to_string(),
        hint: Some(format!("Name an image that can be read, with -run-image or in {}.", path.display())),
    };
    let candidates = if has_run_toml {
        let listed = documents::run(&path, &*session.events)?;
        let first = listed.and_then(|run| run.images.into_iter().next());
        first.ok_or_else(|| failed(run_image::Error::NoMetadata))?
    } else {
        documents::stack(&path, &*session.events)?.unwrap_or_default()
    };
    let registry = parse(image)?.registry().to_owned();
    let images = run.open_images(session, keychain);
    choose(&*images, &registry, &candidates).map_err(failed)
}

/// Analyzes, and writes analyzed.toml.
pub(super) fn analyzed(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    images: &Images,
) -> Result<Analyzed, Failure> {
    let stores = run.open_stores(session, keychain);
    let inputs = Inputs {
        api: session.api,
        layers: LayersDir::new(session.values.path(Key::Layers)),
        image: images.image.clone(),
        tags: images.tags.clone(),
        previous_image: images.previous.clone(),
        run_image: images.run.clone(),
        cache_image: session.values.some_text(Key::CacheImage).map(|name| (stores.registry(), name)),
        skip_layers: session.values.flag(Key::SkipLayers),
        extract_root: "/".into(),
    };
    let run = run.with_images(stores.images());
    let analyzed = run.timed(|effects| analyze(effects, &inputs).map_err(Failure::Analyze))?;
    documents::write(&session.values.path(Key::Analyzed), "analyzed", &schema::analyzed::render(&analyzed))?;
    Ok(analyzed)
}

/// Name and mirrors of the run image for the label of the app image.
///
/// Clause: platform.md#iobuildpackslifecyclemetadata-json; catalogue 2, section 2.7.
pub(super) fn run_image_names(
    session: &Session<Unprivileged>,
    analyzed: &Analyzed,
    has_extensions: bool,
) -> Result<RunImageRef, Fault> {
    if !session.api.has(PlatformFeature::RunToml) {
        return Ok(documents::stack(&session.values.path(Key::Stack), &*session.events)?.unwrap_or_default());
    }
    let Some(run) = documents::run(&session.values.path(Key::Run), &*session.events)? else {
        return Ok(RunImageRef::default());
    };
    let name = analyzed.run_image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
    if let Some(found) = run_image::find(&run, &name) {
        return Ok(found.clone());
    }
    if has_extensions {
        return Ok(RunImageRef { image: name, mirrors: Vec::new() });
    }
    Ok(run.images.into_iter().next().unwrap_or_default())
}
