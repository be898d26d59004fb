//! Where Dockerfiles lie for the extender.
//!
//! Clause: platform.md#detector; catalogue extend-launch-package, section A2: below Platform API 0.13
//! `<generated>/<kind>/<id>/Dockerfile`, from then on `<generated>/<id>/<kind>.Dockerfile`.

use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use crate::buildpack::generate::{EXTEND_CONFIG, Generated};
use crate::effect::Effects;
use crate::effect::events::GenerateEvent;
use crate::model::dockerfile::DockerfileKind;
use crate::model::id::ModuleId;
use crate::os::error_text;

/// A Dockerfile that cannot be put in its place.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} at {}: {}", path.display(), error_text(source))]
pub struct PlaceError {
    /// What was to be done with what.
    action: &'static str,
    /// The file or folder.
    path: PathBuf,
    /// Why.
    source: IoError,
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(IoError) -> PlaceError + use<'p> {
    move |source| PlaceError { action, path: path.to_owned(), source }
}

/// Renames an ignored run.Dockerfile, so that the extender does not find it.
pub(super) fn set_aside(output: &Path, generated: &Generated, ignored: bool) -> Result<(), PlaceError> {
    if !ignored || generated.run.is_none() {
        return Ok(());
    }
    let path = output.join(DockerfileKind::Run.file_name());
    let mut aside = path.clone().into_os_string();
    aside.push(".ignore");
    fs::rename(&path, aside).map_err(failed("rename Dockerfile", &path))
}

/// Copies the Dockerfiles of an extension, each with extend-config.toml beside it, to folders made anew.
pub(super) fn copy(
    effects: &Effects<'_>,
    outputs: &Path,
    generated_dir: &Path,
    id: &ModuleId,
    generated: &Generated,
    ignored: bool,
) -> Result<(), PlaceError> {
    let output = outputs.join(id.escaped());
    for (kind, is_there) in [(DockerfileKind::Run, generated.run.is_some()), (DockerfileKind::Build, generated.build)] {
        let dir = generated_dir.join(kind.name()).join(id.escaped());
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("remove an earlier Dockerfile", &dir)(error));
            }
            _ => {}
        }
        if !is_there {
            continue;
        }
        let from = output.join(kind.file_name());
        let is_ignored = ignored && kind == DockerfileKind::Run;
        let to = dir.join(if is_ignored { "Dockerfile.ignore" } else { "Dockerfile" });
        fs::create_dir_all(&dir).map_err(failed("make the folder of a Dockerfile", &dir))?;
        effects.emit(GenerateEvent::Copying { from: from.clone(), to: to.clone() });
        fs::copy(&from, &to).map_err(failed("copy Dockerfile", &from))?;
        let config = output.join(EXTEND_CONFIG);
        match fs::copy(&config, dir.join(EXTEND_CONFIG)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("copy extend config", &config)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
