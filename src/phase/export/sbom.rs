//! SBOM files of the lifecycle and the launcher, among those of the buildpacks.
//!
//! Clause: platform.md#exporter; catalogue 2, section 2.8. Platform API 0.11 and up.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{Error, Inputs};
use crate::effect::Effects;
use crate::effect::events::ExportEvent;
use crate::os::{document, error_text};

/// Ends of names of SBOM files.
const EXTENSIONS: [&str; 3] = ["sbom.cdx.json", "sbom.spdx.json", "sbom.syft.json"];

/// Puts the SBOM files of lifecycle and launcher into `<layers>/sbom`.
///
/// # Errors
/// A file cannot be read or written. A file that is not there is a warning.
pub(super) fn copy(effects: &Effects<'_>, inputs: &Inputs<'_>) -> Result<(), Error> {
    let sbom = inputs.layers.sbom();
    let own = &inputs.lifecycle_sbom;
    let launcher = sbom.join("launch/buildpacksio_lifecycle/launcher");
    let copied = copy_known(effects, own, "lifecycle", &sbom.join("build/buildpacksio_lifecycle")).and_then(|()| {
        if inputs.launcher_sbom.as_os_str().is_empty() || inputs.launcher_sbom == *own {
            copy_known(effects, own, "launcher", &launcher)
        } else {
            copy_all(effects, &inputs.launcher_sbom, &launcher)
        }
    });
    copied.map_err(|error| Error::Other(format!("failed to copy buildpacksio SBOMs: {error}")))
}

/// Copies `<component>.sbom.*.json`, as far as they are there.
fn copy_known(effects: &Effects<'_>, from: &Path, component: &str, to: &Path) -> Result<(), String> {
    for extension in EXTENSIONS {
        let file = format!("{component}.{extension}");
        let source = from.join(&file);
        match fs::metadata(&source) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                effects.emit(ExportEvent::SbomMissing { file, dir: from.to_owned() });
                continue;
            }
            Err(error) => return Err(failed("stat", &source, &error)),
        }
        create(to, 0o777)?;
        let target = to.join(extension);
        effects.emit(ExportEvent::SbomCopied { file, to: target.clone() });
        copy_contents(&source, &target)?;
    }
    Ok(())
}

/// Copies every SBOM file of a folder that the platform names, and makes the target folder even if there is none.
fn copy_all(effects: &Effects<'_>, from: &Path, to: &Path) -> Result<(), String> {
    let mut files: Vec<PathBuf> = fs::read_dir(from)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| {
            effects.emit(ExportEvent::SbomFolderUnreadable(from.to_owned()));
            failed("open", from, &error)
        })?;
    files.sort();
    create(to, 0o755)?;
    for source in files.into_iter().filter(|file| file.is_file()) {
        let Some(name) = source.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        if EXTENSIONS.iter().any(|extension| name.ends_with(extension)) {
            let target = to.join(&name);
            effects.emit(ExportEvent::SbomCopied { file: name, to: target.clone() });
            copy_contents(&source, &target)?;
        }
    }
    Ok(())
}

fn create(dir: &Path, mode: u32) -> Result<(), String> {
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|error| failed("mkdir", dir, &error))
}

/// Copies contents alone: the mode is that of a new file, so that the layer does not depend on how the lifecycle was
/// installed.
fn copy_contents(from: &Path, to: &Path) -> Result<(), String> {
    let contents = fs::read(from).map_err(|error| failed("open", from, &error))?;
    document::write(to, &contents).map_err(|error| failed("open", to, &error))
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> String {
    format!("{doing} {}: {}", path.display(), error_text(error))
}
