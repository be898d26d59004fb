//! Reading and writing the documents of a build: which file, which text when it is missing or wrong.
//!
//! `schema` knows what is in them; this knows where they are, and words what went wrong as the reference does.

use std::path::Path;

use super::failure::Failure;
use crate::effect::events::{Events, SessionEvent};
use crate::model::analyzed::Analyzed;
use crate::model::order::{Group, Order, SystemBuildpacks};
use crate::model::plan::Plan;
use crate::model::run_image::{RunImageRef, RunImages};
use crate::os::{document, error_text};
use crate::schema;

/// Where users are listed.
pub(super) const PASSWD: &str = "/etc/passwd";

/// A document that cannot be read: what is wrong, in the reference's words, and which file to mend.
pub(super) struct Fault {
    /// What failed, such as `read run file`.
    pub(super) action: String,
    /// Why.
    pub(super) cause: String,
    /// What the reader can do.
    pub(super) hint: String,
}

impl Fault {
    fn new(what: &str, path: &Path, cause: &str) -> Self {
        let hint = format!("Mend {}, or name another {what} file.", path.display());
        Self { action: format!("read {what} file"), cause: cause.to_owned(), hint }
    }

    /// The whole of it, for who has something to say before.
    pub(super) fn text(&self) -> String {
        format!("failed to {}: {}", self.action, self.cause)
    }
}

/// Reads a file; `None` when there is none.
fn text(path: &Path) -> Result<Option<String>, String> {
    document::read(path).map_err(|error| format!("open {}: {}", path.display(), error_text(&error)))
}

/// Reads and parses a file that must be there.
fn required<T>(path: &Path, parse: impl Fn(&str) -> Result<T, schema::Error>) -> Result<T, String> {
    let text = text(path)?.ok_or_else(|| format!("open {}: no such file or directory", path.display()))?;
    parse(&text).map_err(|error| error.to_string())
}

/// Reads and parses a file that may be missing.
fn optional<T>(path: &Path, parse: impl Fn(&str) -> Result<T, schema::Error>) -> Result<Option<T>, String> {
    text(path)?.map(|text| parse(&text).map_err(|error| error.to_string())).transpose()
}

/// Reads group.toml.
pub(super) fn group(path: &Path) -> Result<Group, Failure> {
    required(path, schema::group::parse).map_err(|cause| Failure::Setup {
        action: "read group file".into(),
        cause,
        hint: Some(format!(
            "Run the detector first, or name its group.toml with -group; this one is {}.",
            path.display()
        )),
    })
}

/// Reads plan.toml.
pub(super) fn plan(path: &Path) -> Result<Plan, Failure> {
    required(path, schema::plan::parse).map_err(|cause| Failure::Setup {
        action: "read plan file".into(),
        cause,
        hint: Some(format!(
            "Run the detector first, or name its plan.toml with -plan; this one is {}.",
            path.display()
        )),
    })
}

/// Reads analyzed.toml; a missing one is told and is empty.
pub(super) fn analyzed(path: &Path, events: &dyn Events) -> Result<Analyzed, Fault> {
    let found = optional(path, schema::analyzed::parse).map_err(|cause| Fault::new("analyzed", path, &cause))?;
    Ok(found.unwrap_or_else(|| {
        events.emit(SessionEvent::NoAnalyzed(path.to_owned()).into());
        Analyzed::default()
    }))
}

/// Reads order.toml.
pub(super) fn order(path: &Path) -> Result<Order, Failure> {
    required(path, schema::order::parse).map_err(|cause| Failure::Setup {
        action: "initialize detector: reading order".into(),
        cause: format!("failed to read order file: {cause}"),
        hint: Some(format!("Name the order.toml of the builder with -order; this one is {}.", path.display())),
    })
}

/// Reads system.toml; a missing one is told and is empty.
pub(super) fn system(path: &Path, events: &dyn Events) -> Result<SystemBuildpacks, Failure> {
    let found = optional(path, schema::order::parse_system).map_err(|cause| Failure::Setup {
        action: "initialize detector: reading system".into(),
        cause: format!("failed to read system file: {cause}"),
        hint: Some(format!("Mend {} or name another with -system.", path.display())),
    })?;
    Ok(found.unwrap_or_else(|| {
        events.emit(SessionEvent::NoSystemBuildpacks(path.to_owned()).into());
        SystemBuildpacks::default()
    }))
}

/// Reads run.toml; `None`, and told, when there is none.
pub(super) fn run(path: &Path, events: &dyn Events) -> Result<Option<RunImages>, Fault> {
    let found = optional(path, schema::run_image::parse_run).map_err(|cause| Fault::new("run", path, &cause))?;
    if found.is_none() {
        events.emit(SessionEvent::NoRunMetadata(path.to_owned()).into());
    }
    Ok(found)
}

/// Reads stack.toml; `None`, and told, when there is none.
pub(super) fn stack(path: &Path, events: &dyn Events) -> Result<Option<RunImageRef>, Fault> {
    let found = optional(path, schema::run_image::parse_stack).map_err(|cause| Fault::new("stack", path, &cause))?;
    if found.is_none() {
        events.emit(SessionEvent::NoStackMetadata(path.to_owned()).into());
    }
    Ok(found)
}

/// Reads project-metadata.toml as a label; a missing one is told and is empty.
pub(super) fn project_label(path: &Path, events: &dyn Events) -> Result<String, Failure> {
    let found = optional(path, schema::project::to_label).map_err(|cause| Failure::Setup {
        action: "read project metadata file".into(),
        cause,
        hint: Some(format!("Mend {}, or name another with -project-metadata.", path.display())),
    })?;
    if let Some(label) = found {
        return Ok(label);
    }
    events.emit(SessionEvent::NoProjectMetadata(path.to_owned()).into());
    schema::project::to_label("").map_err(|error| Failure::setup("read project metadata file", &error))
}

/// Reads metadata.toml.
pub(super) fn build_metadata(path: &Path) -> Result<crate::model::build_metadata::BuildMetadata, Failure> {
    required(path, schema::build_metadata::parse).map_err(|cause| Failure::ExportDocument {
        action: "export: read build metadata".into(),
        cause: format!("failed to read build metadata file: {cause}"),
        hint: Some(format!("Run the builder first; it writes {}.", path.display())),
    })
}

/// Writes a document that is named `<what> file` in messages.
pub(super) fn write(path: &Path, what: &str, contents: &str) -> Result<(), Failure> {
    document::write(path, contents.as_bytes()).map_err(|error| Failure::Setup {
        action: format!("write {what} file"),
        cause: format!("open {}: {}", path.display(), error_text(&error)),
        hint: Some("Let the user of this phase write there, or choose another place with a flag.".into()),
    })
}
