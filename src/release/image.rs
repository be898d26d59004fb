//! The lifecycle image: a small base, and one last layer with the lifecycle, which clients copy elsewhere as it is.
//!
//! Catalogue 3, section C2 and pack-contract, section 1: the first entry of that layer is a folder, all names are
//! absolute, and no layer comes after it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{Error, unheard};
use crate::archive::{Entry, EntryKind, listed, measure};
use crate::effect::images::{DraftLayer, ImageDraft, Images, NewLayer, Opened};
use crate::image::layout::LayoutImages;
use crate::model::image::{ContainerConfig, History, ImageConfig, ImageRecord, MediaFamily};
use crate::schema::lifecycle;

/// When everything was made, so that the image is the same each time.
const CREATED: &str = "1980-01-01T00:00:01Z";
/// What containers without a passwd file get wrong: the home of root.
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\n";

/// Makes the draft of the image of `version` for an architecture in Go's naming. `contents` are the entries of the release
/// with the root `/cnb/`; `scratch` holds files of the base until the image is written. Without `base`, the image is
/// made on what a static program needs.
///
/// # Errors
/// A file cannot be read or written.
pub fn draft(
    contents: Vec<Entry>,
    version: &str,
    architecture: &str,
    base: Option<ImageRecord>,
    scratch: &Path,
) -> Result<ImageDraft, Error> {
    let mut layers = Vec::new();
    let base = if let Some(base) = base {
        let history = base.config.history.iter().filter(|entry| !entry.empty_layer);
        let history = history.cloned().chain(std::iter::repeat_with(History::default));
        layers.extend((0..base.layers.len()).map(DraftLayer::Base).zip(history));
        base
    } else {
        layers.push(layer("base", floor(scratch)?, "Folders and users that programs expect")?);
        empty()
    };
    let mut entries = vec![folder("/cnb", 0o755)];
    entries.extend(contents);
    layers.push(layer("lifecycle", entries, &format!("Lifecycle {version}"))?);
    let mut labels = base.config.config.labels.clone();
    labels.extend([
        (lifecycle::VERSION.to_owned(), version.to_owned()),
        (lifecycle::APIS.to_owned(), lifecycle::render_apis()),
        (lifecycle::BUILDER_METADATA.to_owned(), lifecycle::render_builder_metadata(version)),
    ]);
    let config = ImageConfig {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        created: CREATED.to_owned(),
        // Clients name the program to start, and the user.
        config: ContainerConfig {
            labels,
            working_dir: "/layers".to_owned(),
            entrypoint: None,
            cmd: None,
            user: String::new(),
            ..base.config.config.clone()
        },
        ..base.config.clone()
    };
    Ok(ImageDraft { base, previous: None, config, layers })
}

/// Opens the base image in a layout.
///
/// # Errors
/// It is not there, or for another architecture.
pub fn layout_base(layout: &Path, architecture: &str) -> Result<ImageRecord, Error> {
    let path = layout.canonicalize().map_err(Error::file(layout))?;
    let images = LayoutImages::new(path.clone(), architecture, unheard());
    let failed = |reason: &str| Error::Image(format!("base image {}: {reason}", path.display()));
    match images.open(&path.to_string_lossy()) {
        Ok(Opened::Found(record)) if record.config.architecture == architecture => Ok(*record),
        Ok(Opened::Found(record)) => Err(failed(&format!("it is for {}", record.config.architecture))),
        Ok(Opened::Missing) => Err(failed("there is none")),
        Ok(Opened::Corrupt(reason)) => Err(failed(&reason)),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// What a static program expects below it: somewhere for temporary files, and users.
fn floor(scratch: &Path) -> Result<Vec<Entry>, Error> {
    let file = |name: &str, text: &str| {
        let path = scratch.join(name);
        fs::write(&path, text).map_err(Error::file(&path))?;
        Ok::<_, Error>(Entry { name: format!("/etc/{name}"), mode: 0o644, kind: EntryKind::File(path) })
    };
    Ok(vec![
        folder("/etc", 0o755),
        file("group", GROUP)?,
        file("passwd", PASSWD)?,
        folder("/root", 0o700),
        folder("/tmp", 0o1777),
    ])
}

fn folder(name: &str, mode: u32) -> Entry {
    Entry { name: name.to_owned(), mode, kind: EntryKind::Directory }
}

fn layer(id: &str, entries: Vec<Entry>, created_by: &str) -> Result<(DraftLayer, History), Error> {
    let tar = listed(entries)?;
    let measured = measure(&tar).map_err(|cause| Error::Image(crate::os::error_text(&cause)))?;
    let layer = NewLayer { id: id.to_owned(), diff_id: measured.diff_id, size: measured.size, tar: Arc::new(tar) };
    let history = History { created: CREATED.to_owned(), created_by: created_by.to_owned(), ..History::default() };
    Ok((DraftLayer::New(layer), history))
}

/// The image below the first one.
fn empty() -> ImageRecord {
    let mut image = ImageRecord::nothing(MediaFamily::Oci);
    image.config.config.env = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Vec<Entry> {
        let link = EntryKind::Symlink("lifecycle".to_owned());
        vec![Entry { name: "/cnb/lifecycle/analyzer".to_owned(), mode: 0o777, kind: link }]
    }

    #[test]
    fn the_lifecycle_is_the_last_layer_and_the_labels_say_what_it_is() {
        let scratch = tempfile::tempdir().unwrap();
        let draft = draft(contents(), "0.22.0", "arm64", None, scratch.path()).unwrap();
        let created: Vec<&str> = draft.layers.iter().map(|(_, history)| history.created_by.as_str()).collect();
        assert_eq!(created, ["Folders and users that programs expect", "Lifecycle 0.22.0"]);
        let config = &draft.config.config;
        assert_eq!(config.labels["io.buildpacks.lifecycle.version"], "0.22.0");
        assert_eq!(config.labels["io.buildpacks.lifecycle.apis"], lifecycle::render_apis());
        assert_eq!(config.working_dir, "/layers");
        assert_eq!((draft.config.os.as_str(), draft.config.architecture.as_str()), ("linux", "arm64"));
        let DraftLayer::New(last) = &draft.layers[1].0 else { panic!("not a new layer") };
        let mut tar = Vec::new();
        last.tar.write_tar(&mut tar).unwrap();
        assert_eq!((&tar[..5], &tar[512..536]), (&b"/cnb\0"[..], &b"/cnb/lifecycle/analyzer\0"[..]));
    }

    #[test]
    fn another_base_keeps_its_layers_and_loses_its_entrypoint() {
        let scratch = tempfile::tempdir().unwrap();
        let images = LayoutImages::new(scratch.path().to_owned(), "amd64", unheard());
        let first = draft(contents(), "1", "amd64", None, scratch.path()).unwrap();
        let name = scratch.path().join("one").display().to_string();
        images.write(&first, std::slice::from_ref(&name)).unwrap();
        let mut base = layout_base(Path::new(&name), "amd64").unwrap();
        base.config.config.entrypoint = Some(vec!["/x".to_owned()]);
        let second = draft(contents(), "2", "amd64", Some(base), scratch.path()).unwrap();
        assert!(matches!(
            second.layers[..],
            [(DraftLayer::Base(0), _), (DraftLayer::Base(1), _), (DraftLayer::New(_), _)]
        ));
        assert_eq!((second.config.config.entrypoint, second.layers[1].1.created_by.as_str()), (None, "Lifecycle 1"));
        let error = layout_base(Path::new(&name), "arm64").unwrap_err().to_string();
        assert!(error.contains(": it is for amd64") || error.contains(": there is none"), "{error}");
    }
}
