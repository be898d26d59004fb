//! `builder`: catalogue 1, sections 5.1 and 5.2.

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged, temp_dir};
use super::super::{documents, wire};
use crate::effect::events::{Phase, SessionEvent};
use crate::model::analyzed::Analyzed;
use crate::model::build_metadata::BuildMetadata;
use crate::model::order::Group;
use crate::model::plan::Plan;
use crate::phase::build::{Inputs, build};
use crate::schema;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    super::no_arguments(&session, "received unexpected arguments")?;
    session.emit(SessionEvent::EnsuringPrivileges);
    let session = session.refuse_root("build")?;
    session.emit(SessionEvent::Executing);
    wire::with_phase(session, Phase::Build, |session, run| begun(&session, run)).map(|_| ())
}

fn begun(session: &Session<Unprivileged>, run: &wire::Run<'_>) -> Result<BuildMetadata, Failure> {
    let group = documents::group(&session.values.path(Key::Group))?;
    let plan = documents::plan(&session.values.path(Key::Plan))?;
    wire::verify_buildpack_apis(session, &group.buildpacks)?;
    let analyzed = documents::analyzed(&session.values.path(Key::Analyzed), &*session.events)
        .map_err(|fault| Failure::document("reading analyzed.toml", fault))?;
    built(session, run, group, plan, &analyzed)
}

/// Builds, and writes metadata.toml.
pub(super) fn built(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    group: Group,
    plan: Plan,
    analyzed: &Analyzed,
) -> Result<BuildMetadata, Failure> {
    let values = &session.values;
    let layers = session.layers();
    let inputs = Inputs {
        api: session.api,
        app_dir: values.path(Key::App),
        platform_dir: values.path(Key::Platform),
        build_config_dir: values.path(Key::BuildConfig),
        store: super::detect::store(session),
        group,
        plan,
        exec_env: values.text(Key::ExecEnv),
        target: super::detect::target(analyzed),
        host_target: wire::host_target(),
        env: session.env.clone(),
        temp_dir: temp_dir(&session.env),
        layers: layers.clone(),
        telemetry: values.flag(Key::Telemetry),
    };
    let metadata = run.timed(|effects| build(effects, &inputs).map_err(Failure::Build))?;
    documents::write(
        &layers.metadata_toml(),
        "build metadata",
        &schema::build_metadata::render(&metadata, session.api),
    )?;
    Ok(metadata)
}
