//! `exporter`: catalogue 2, section 1.3.

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Privileged, Session, Unprivileged};
use super::super::{credentials, documents, stores, version, wire};
use super::extended;
use crate::effect::cache::Cache;
use crate::effect::events::{Phase, SessionEvent};
use crate::image::registry::Keychain;
use crate::model::analyzed::Analyzed;
use crate::model::order::Group;
use crate::model::reference::Reference;
use crate::model::report::Report;
use crate::model::seal::Seals;
use crate::phase::export::{Error, Inputs, export, export_cache};
use crate::schema;

pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    if session.values.positional.is_empty() {
        return Err(Failure::Arguments("at least one image argument is required".to_owned()));
    }
    wire::with_phase(session, Phase::Export, begun)
}

fn begun(mut session: Session<Privileged>, run: &wire::Run<'_>) -> Result<(), Failure> {
    let (analyzed, names) = resolve(&session, &session.values.positional)?;
    session.guard_layout()?;
    session.emit(SessionEvent::EnsuringPrivileges);
    let keychain = credentials::gather(&session, &[])?;
    stores::connect_daemon(&mut session)?;
    let values = &session.values;
    session.own(&[values.some_path(Key::CacheDir), values.some_path(Key::LaunchCache)])?;
    let session = session.drop_privileges()?;
    session.emit(SessionEvent::Executing);
    let group = documents::group(&session.values.path(Key::Group))?;
    wire::verify_buildpack_apis(&session, &group.buildpacks)?;
    let cache = stores::volume_cache(&session)?;
    extended::guard(&session)?;
    let seals = cache.as_ref().map(|cache| cache.seals()).unwrap_or_default();
    exported(&session, run, &keychain, names, group, analyzed, cache.as_deref(), seals)
}

/// Checks the inputs, in the order in which the reference finds fault with them.
fn resolve(session: &Session<Privileged>, names: &[String]) -> Result<(Analyzed, Vec<String>), Failure> {
    let values = &session.values;
    if names[0].is_empty() {
        return Err(Failure::inputs(&"image argument is required"));
    }
    let variable = session.env.get("CNB_RUN_IMAGE").map(|value| value.to_string_lossy().into_owned());
    if values.some_text(Key::RunImage) != variable.filter(|value| !value.is_empty()) {
        return Err(Failure::inputs(&"-run-image is unsupported"));
    }
    if values.some_text(Key::Image).is_some() {
        return Err(Failure::inputs(&"-image is unsupported"));
    }
    let analyzed = documents::analyzed(&values.path(Key::Analyzed), &*session.events)?;
    let run_image = analyzed.run_image.as_ref().map(|image| image.reference.as_str()).unwrap_or_default();
    if run_image.is_empty() {
        return Err(Failure::Inputs {
            cause: "run image not found in analyzed metadata".to_owned(),
            hint: Some(format!("Run the analyzer first; it writes {}.", values.path(Key::Analyzed).display())),
        });
    }
    session.warn_without_cache();
    session.warn_of_launch_cache();
    if !session.uses_layout() {
        for name in names.iter().map(String::as_str).chain([run_image]) {
            Reference::parse(name).map_err(|error| Failure::reference(&error))?;
        }
    }
    super::analyze::cache_image(session)?;
    super::analyze::same_registry(session, names.iter().map(String::as_str))?;
    let names = names.iter().map(|name| stores::stored_name(session, name)).collect::<Result<_, _>>()?;
    Ok((analyzed, names))
}

/// Exports, writes report.toml, then the cache: the cache image or else `cache`.
#[expect(clippy::too_many_arguments, reason = "the creator has all of these in hand")]
pub(super) fn exported(
    session: &Session<Unprivileged>,
    run: &wire::Run<'_>,
    keychain: &Keychain,
    names: Vec<String>,
    group: Group,
    analyzed: Analyzed,
    cache: Option<&dyn Cache>,
    seals: Seals,
) -> Result<(), Failure> {
    let values = &session.values;
    let layers = session.layers();
    let project_label = documents::project_label(&values.path(Key::ProjectMetadata), &*session.events)?;
    let metadata = documents::build_metadata(&layers.metadata_toml())?;
    let names_of_run_image =
        super::analyze::run_image_names(session, &analyzed, !metadata.extensions.is_empty()).map_err(Failure::fault)?;
    let extended = extended::run_image(session, &analyzed)?;
    let stores = run.open_stores(session, keychain);
    let image_cache = run.image_cache(session, &stores);
    let cache = image_cache.as_ref().map(|cache| cache as &dyn Cache).or(cache);
    let (uid, gid) = session.ids();
    let inputs = Inputs {
        api: session.api,
        names,
        layers,
        app_dir: values.path(Key::App),
        group,
        analyzed,
        extended,
        metadata,
        project_label,
        run_image_names: names_of_run_image,
        launcher: values.path(Key::Launcher),
        launcher_sbom: values.path(Key::LauncherSbom),
        lifecycle_sbom: "/cnb/lifecycle".into(),
        process_type: values.some_text(Key::ProcessType),
        exec_env: values.text(Key::ExecEnv),
        uid,
        gid,
        source_date_epoch: values.some_text(Key::SourceDateEpoch),
        parallel: values.flag(Key::Parallel) && cache.is_some(),
        cache,
        seals,
        lifecycle: version::info(),
    };
    let report_path = values.path(Key::Report);
    let run = run.with_images(stores.images());
    run.timed(|effects| {
        let exported = export(effects, &inputs).map_err(|error| {
            if let Error::Tags { report, .. } = &error {
                // Policy P25: what was written is reported even when some names failed.
                let _ = write_report(&report_path, report);
            }
            Failure::Export(error)
        })?;
        write_report(&report_path, &exported.report)?;
        export_cache(effects, &inputs, &exported);
        Ok(())
    })
}

fn write_report(path: &std::path::Path, report: &Report) -> Result<(), Failure> {
    documents::write(path, "report", &schema::report::render(report)).map_err(|failure| match failure {
        Failure::Setup { cause, hint, .. } => {
            Failure::ExportDocument { action: "write export report".to_owned(), cause, hint }
        }
        other => other,
    })
}
