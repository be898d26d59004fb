//! The run image that extensions extended, as the exporter finds it: `<extended>/run`.
//!
//! Clause: platform.md#exporter; catalogue 2, section 1.3, catalogue 3, sections A2, A9 and A10.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::failure::Failure;
use super::super::inputs::Key;
use super::super::session::{Session, Unprivileged};
use crate::api::PlatformFeature;
use crate::effect::events::Listener;
use crate::effect::images::{Images, Opened};
use crate::image::layout::LayoutImages;
use crate::model::analyzed::Analyzed;
use crate::os::{error_text, os_release};
use crate::phase::export::{Error, ExtendedRunImage};
use crate::schema::image::{Document, parse_document};

/// Refuses or tells layers of extensions where they are experimental.
pub(super) fn guard(session: &Session<Unprivileged>) -> Result<(), Failure> {
    let has_layers = || entries(&folder(session)).is_ok_and(|entries| !entries.is_empty());
    if session.api.has(PlatformFeature::ExtensionsStable) || !has_layers() {
        return Ok(());
    }
    session.guard_experimental("Dockerfiles")
}

/// Reads the extended run image, if there is one.
///
/// # Errors
/// The folder holds more than one image or one that cannot be read, or none though the run image is to be extended.
pub(super) fn run_image(
    session: &Session<Unprivileged>,
    analyzed: &Analyzed,
) -> Result<Option<ExtendedRunImage>, Failure> {
    if !session.api.has(PlatformFeature::ExtensionLayers) {
        return Ok(None);
    }
    let folder = folder(session);
    let is_needed = analyzed.run_image.as_ref().is_some_and(|image| image.extend);
    match read(session, &folder) {
        Ok(None) if is_needed => Err("missing extended run image".to_owned()),
        read => read,
    }
    .map_err(|cause| {
        if !is_needed {
            return Failure::Export(Error::Other(cause));
        }
        Failure::Setup {
            action: "get extended image config".to_owned(),
            cause,
            hint: Some(format!("Run the extender with -kind run first; it writes {}.", folder.display())),
        }
    })
}

fn folder(session: &Session<Unprivileged>) -> PathBuf {
    session.cwd.join(session.values.path(Key::Extended)).join("run")
}

fn read(session: &Session<Unprivileged>, folder: &Path) -> Result<Option<ExtendedRunImage>, String> {
    let entries = entries(folder)?;
    let entry = match entries.as_slice() {
        [] => return Ok(None),
        [entry] => entry,
        several => {
            let (folder, count) = (folder.display(), several.len());
            return Err(format!("expected directory \"{folder}\" to have only 1 item; found {count}"));
        }
    };
    let folder = folder.join(entry);
    let index = folder.join("index.json");
    let index = fs::read(&index).map_err(|error| format!("open {}: {}", index.display(), error_text(&error)))?;
    if let Ok(Document::Index(manifests)) = parse_document(&index)
        && manifests.len() != 1
    {
        let (folder, count) = (folder.display(), manifests.len());
        return Err(format!("expected image index at \"{folder}\" to have only 1 manifest; found {count}"));
    }
    let listener = Listener { events: Arc::clone(&session.events), parent: None };
    let images = LayoutImages::new(PathBuf::new(), os_release::architecture(), listener);
    match images.open(&folder.display().to_string()).map_err(|error| error.to_string())? {
        Opened::Found(image) => Ok(Some(ExtendedRunImage { image: *image, folder })),
        Opened::Missing => Ok(None),
        Opened::Corrupt(reason) => Err(format!("extended run image {}: {reason}", folder.display())),
    }
}

/// The names in a folder; none if there is no folder.
fn entries(folder: &Path) -> Result<Vec<OsString>, String> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    match listed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|error| format!("open {}: {}", folder.display(), error_text(&error))),
    }
}
