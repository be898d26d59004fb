//! `rebaser`: catalogue 2, sections 1.5 and 5.

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged};
use super::super::{credentials, documents, stores, wire};
use crate::effect::events::{Phase, SessionEvent};
use crate::image::registry::Keychain;
use crate::model::reference::Reference;
use crate::model::report::Report;
use crate::model::run_image::RunImageRef;
use crate::phase::rebase::{App, Error, Inputs, choose_run_image, rebase};
use crate::schema;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    if session.values.positional.is_empty() {
        return Err(Failure::Arguments("at least one image argument is required".to_owned()));
    }
    let inputs = resolve(&session)?;
    session.guard_layout()?;
    wire::with_phase(session, Phase::Rebase, |session, run| begun(session, run, inputs))
}

fn begun(mut session: Session<Privileged>, run: &wire::Run<'_>, mut inputs: Inputs) -> Result<(), Failure> {
    let keychain = credentials(&session, run, &mut inputs)?;
    session.emit(SessionEvent::EnsuringPrivileges);
    stores::connect_daemon(&mut session)?;
    let session = session.drop_privileges()?;
    session.emit(SessionEvent::Executing);
    rebased(&session, run, &keychain, inputs)
}

/// Checks the inputs, in the order in which the reference finds fault with them.
fn resolve(session: &Session<Privileged>) -> Result<Inputs, Failure> {
    let values = &session.values;
    let names = values.positional.clone();
    if names[0].is_empty() {
        return Err(Failure::inputs(&"image argument is required"));
    }
    let run_image = values.some_text(Key::RunImage);
    let deprecated = values.some_text(Key::Image);
    let variable = session.env.get("CNB_RUN_IMAGE").map(|value| value.to_string_lossy().into_owned());
    if deprecated.is_some() && run_image != variable.filter(|value| !value.is_empty()) {
        return Err(Failure::inputs(&"supply only one of -run-image or (deprecated) -image"));
    }
    let run_image = deprecated.or(run_image);
    let previous_image = values.some_text(Key::PreviousImage).unwrap_or_else(|| names[0].clone());
    for name in names.iter().chain([&previous_image]).chain(&run_image) {
        Reference::parse(name).map_err(|error| Failure::reference(&error))?;
    }
    super::analyze::same_registry(session, names.iter().map(String::as_str))?;
    let names = names.iter().map(|name| stores::stored_name(session, name)).collect::<Result<_, _>>()?;
    Ok(Inputs { api: session.api, names, previous_image, app: None, run_image, force: values.flag(Key::Force) })
}

/// Reads credentials, while they can be: also those of a run image that only the app image, in its registry, names.
fn credentials(session: &Session<Privileged>, run: &wire::Run<'_>, inputs: &mut Inputs) -> Result<Keychain, Failure> {
    let named = inputs.run_image.as_deref();
    let keychain = credentials::gather(session, named.as_slice())?;
    if inputs.run_image.is_some() || session.uses_daemon() || session.uses_layout() {
        return Ok(keychain);
    }
    let images = run.open_images(session, &keychain);
    let app = App::open(&*images, &inputs.previous_image).map_err(Failure::Rebase)?;
    let names: Vec<&str> = app.run_image_names(inputs.api).into_iter().flat_map(RunImageRef::names).collect();
    let keychain = credentials::gather(session, &names)?;
    let images = run.open_images(session, &keychain);
    inputs.run_image = Some(choose_run_image(&*images, inputs.api, &app).map_err(Failure::Rebase)?);
    inputs.app = Some(app);
    Ok(keychain)
}

/// Rebases, and writes report.toml.
fn rebased(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    inputs: Inputs,
) -> Result<(), Failure> {
    let stores = run.open_stores(session, keychain);
    let run = run.with_images(stores.images());
    run.timed(|effects| match rebase(effects, inputs) {
        Ok(report) => write_report(session, &report),
        Err(error) => {
            if let Error::Tags { report, .. } = &error {
                // Policy P25: what was written is reported even when some names failed.
                let _ = write_report(session, report);
            }
            Err(Failure::Rebase(error))
        }
    })
}

fn write_report(session: &Session<Unprivileged>, report: &Report) -> Result<(), Failure> {
    let path = session.values.path(Key::Report);
    documents::write(&path, "report", &schema::report::render(report)).map_err(|failure| match failure {
        Failure::Setup { cause, hint, .. } => Failure::RebaseReport { cause, hint },
        other => other,
    })
}
