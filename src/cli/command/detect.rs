//! `detector`, which generates, too: catalogue 1, sections 3.1, 3.2 and 3.9.

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged, temp_dir};
use super::super::{documents, wire};
use crate::api::PlatformFeature;
use crate::buildpack::store::Store;
use crate::effect::events::{Phase, SessionEvent, Timed};
use crate::model::analyzed::Analyzed;
use crate::model::order::SystemBuildpacks;
use crate::phase::detect::{Inputs, Outputs, detect, verify};
use crate::phase::generate::{self, generate};
use crate::schema;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    super::no_arguments(&session, "received unexpected arguments")?;
    session.emit(SessionEvent::EnsuringPrivileges);
    let session = session.refuse_root("detect")?;
    session.emit(SessionEvent::Executing);
    let analyzed = documents::analyzed(&session.values.path(Key::Analyzed), &*session.events)
        .map_err(|fault| Failure::document("initialize detector", fault))?;
    wire::with_phase(&session, Phase::Detect, |run| {
        let detected = detected(&session, run, &analyzed)?;
        if detected.group.extensions.is_empty() { Ok(()) } else { generated(&session, run, detected, analyzed) }
    })
}

/// Detects, and writes group.toml and plan.toml.
pub(super) fn detected(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    analyzed: &Analyzed,
) -> Result<Outputs, Failure> {
    let values = &session.values;
    let order = documents::order(&values.path(Key::Order))?;
    let system = if session.api.has(PlatformFeature::SystemBuildpacks) {
        documents::system(&values.path(Key::System), &*session.events)?
    } else {
        SystemBuildpacks::default()
    };
    // The creator only looks whether extensions take part, and asks for no permission to do so.
    let may_generate = !order.extensions.is_empty() && session.phase == Phase::Detect;
    let inputs = Inputs {
        api: session.api,
        deprecation: session.deprecation(),
        order,
        system,
        store: store(session),
        app_dir: values.path(Key::App),
        platform_dir: values.path(Key::Platform),
        build_config_dir: values.path(Key::BuildConfig),
        exec_env: values.text(Key::ExecEnv),
        target: target(analyzed),
        host_target: wire::host_target(),
        env: session.env.clone(),
        temp_dir: temp_dir(&session.env),
    };
    if may_generate && !session.api.has(PlatformFeature::ExtensionsStable) {
        // No permission mends an order that names what is not there.
        verify(&inputs, &*session.events).map_err(Failure::Detect)?;
        session.guard_experimental("Dockerfiles")?;
    }
    let outputs = run.timed(|effects| detect(effects, &inputs).map_err(Failure::Detect))?;
    documents::write(&values.path(Key::Group), "group", &schema::group::render(&outputs.group))?;
    documents::write(&values.path(Key::Plan), "plan", &schema::plan::render(&outputs.plan))?;
    Ok(outputs)
}

/// Lets extensions generate, and writes analyzed.toml and plan.toml anew.
fn generated(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    detected: Outputs,
    analyzed: Analyzed,
) -> Result<(), Failure> {
    let values = &session.values;
    let run_images = documents::run(&values.path(Key::Run), &*session.events)
        .map_err(|fault| Failure::document("initialize generator", fault))?;
    let inputs = generate::Inputs {
        api: session.api,
        deprecation: session.deprecation(),
        extensions: detected.group.extensions,
        plan: detected.plan,
        run_image: analyzed.run_image.clone(),
        run_images: run_images.unwrap_or_default(),
        store: store(session),
        app_dir: values.path(Key::App),
        platform_dir: values.path(Key::Platform),
        build_config_dir: values.path(Key::BuildConfig),
        generated_dir: values.path(Key::Generated),
        host_target: wire::host_target(),
        env: session.env.clone(),
        temp_dir: temp_dir(&session.env),
    };
    let generated = run.timed_as(Timed::Generate, |effects| generate(effects, &inputs).map_err(Failure::Generate))?;
    let analyzed = Analyzed { run_image: generated.run_image, ..analyzed };
    documents::write(&values.path(Key::Analyzed), "analyzed", &schema::analyzed::render(&analyzed))?;
    documents::write(&values.path(Key::Plan), "plan", &schema::plan::render(&generated.plan))
}

/// Where buildpacks and extensions are.
pub(super) fn store(session: &Session<Unprivileged>) -> Store {
    Store { buildpacks: session.values.path(Key::Buildpacks), extensions: session.values.path(Key::Extensions) }
}

/// The run image's target, if analysis found one.
pub(super) fn target(analyzed: &Analyzed) -> Option<crate::model::target::RunTarget> {
    analyzed.run_image.as_ref().and_then(|image| image.target.clone())
}
