//! Sentences of [`ExportEvent`]: catalogue 2, section 2.10.

use super::Line;
use crate::effect::events::{ExportEvent, LayerNotice};
use crate::effect::images::StoreKind;

/// The lines for an event.
pub(super) fn lines(event: &ExportEvent) -> Vec<Line> {
    use ExportEvent as E;
    let line = match event {
        E::InvalidSourceDateEpoch => Line::warn("Ignoring invalid SOURCE_DATE_EPOCH"),
        E::ReusingImage { kind, reference } => return vec![reusing_image(*kind, reference)],
        E::PreviousImageLost { reference, reason } => {
            Line::warn(format!("Not reusing layers from image '{reference}': {reason}"))
        }
        E::PreviousLayerLost { reference, id } => {
            Line::warn(format!("Image '{reference}' has lost layer '{id}'; it is added again"))
        }
        E::LayoutImageReplaced { wanted, found } => {
            Line::warn(format!("Image '{wanted}' is not in its layout; using '{found}'"))
        }
        E::BaseLayersWithheld { count, path } => Line::warn(format!(
            "Writing the image without {count} layer(s) of the run image, which may not be read: {}",
            path.display()
        )),
        E::AppImagePath(path) => Line::info(format!("Using app image: {path}")),
        E::SbomFolderUnreadable(dir) => Line::warn(format!("Failed to list contents of directory {}", dir.display())),
        E::SbomMissing { file, dir } => Line::warn(format!("Did not find SBOM {file} in {}", dir.display())),
        E::SbomCopied { file, to } => Line::debug(format!("Copying SBOM {file} to {}", to.display())),
        E::BuildpackFolder(path) => Line::debug(format!("Processing buildpack directory: {}", path.display())),
        E::LaunchLayer(path) => Line::debug(format!("Processing launch layer: {}", path.display())),
        E::SbomFound { kind, path } => Line::debug(format!("Found SBOM of type {kind} for at {}", path.display())),
        E::Layer { id, diff_id, reused } => {
            let doing = if *reused { "Reusing" } else { "Adding" };
            return vec![Line::info(format!("{doing} layer '{id}'")), super::layer_sha(id, diff_id)];
        }
        E::AppLayersBegin => Line::debug("Adding app layers"),
        E::AppLayer { id, diff_id } => super::layer_sha(id, diff_id),
        E::AppLayers { reused, total } => return app_layers(*reused, *total),
        E::LayerNotice { id, notice } => layer_notice(id, notice),
        E::Label(key) => Line::info(format!("Adding label '{key}'")),
        E::LabelTooLarge { key, bytes, largest } => Line::warn(label_too_large(key, *bytes, largest.as_ref())),
        E::Env { name, value } => Line::debug(format!("Setting {name}={value}")),
        E::PathPrepended => Line::debug("Prepending /cnb/process and /cnb/lifecycle to PATH"),
        E::WorkingDir(path) => Line::debug(format!("Setting WORKDIR: '{path}'")),
        E::DefaultProcess(r#type) => Line::info(format!("Setting default process type '{type}'")),
        E::ExtendedConfig => Line::debug("Using config from extensions..."),
        E::NoDefaultProcess => Line::info("no default process type"),
        E::Entrypoint(path) => Line::debug(format!("Setting ENTRYPOINT: '{path}'")),
        E::Saving(name) => Line::info(format!("Saving {name}...")),
        E::Images { id, names } => return images(id, names),
        E::Digest(digest) => Line::debug(format!("\n*** Digest: {digest}")),
        E::ImageId(id) => Line::debug(format!("\n*** Image ID: {id}")),
        E::ManifestSize(bytes) => Line::debug(format!("\n*** Manifest Size: {bytes}")),
    };
    vec![line]
}

/// A layout is named by its path alone; a daemon's image only matters to who looks for a fault.
fn reusing_image(kind: StoreKind, reference: &str) -> Line {
    match kind {
        StoreKind::Registry => Line::info(format!("Reusing layers from image '{reference}'")),
        StoreKind::Daemon => Line::debug(format!("Reusing layers from image with id '{reference}'")),
        StoreKind::Layout => {
            let path = reference.rsplit_once('@').map_or(reference, |(path, _)| path);
            Line::info(format!("Reusing layers from image '{path}'"))
        }
    }
}

fn app_layers(reused: usize, total: usize) -> Vec<Line> {
    let added = total - reused;
    let mut lines = Vec::new();
    if reused > 0 {
        lines.push(Line::info(format!("Reused {reused}/{total} app layer(s)")));
    }
    if added > 0 {
        lines.push(Line::info(format!("Added {added}/{total} app layer(s)")));
    }
    lines
}

fn layer_notice(id: &str, notice: &LayerNotice) -> Line {
    match notice {
        LayerNotice::HardLinks(count) => {
            Line::debug(format!("Layer '{id}' holds {count} hard link(s); each is written as a full copy"))
        }
        LayerNotice::SocketSkipped(path) => {
            Line::debug(format!("Leaving socket {} out of layer '{id}'", path.display()))
        }
        LayerNotice::CapabilityLost(path) => Line::warn(format!(
            "File {} of layer '{id}' has capabilities (setcap), which image layers do not keep",
            path.display()
        )),
    }
}

fn label_too_large(key: &str, bytes: usize, largest: Option<&(String, usize)>) -> String {
    let share =
        largest.map(|(id, share)| format!(" ({share} of them are metadata of buildpack '{id}')")).unwrap_or_default();
    format!("Label '{key}' has {bytes} bytes{share}; some container runtimes refuse or drop labels over 4096 bytes")
}

fn images(id: &str, names: &[(String, Result<(), String>)]) -> Vec<Line> {
    let mut lines = vec![Line::info(format!("*** Images ({id}):"))];
    lines.extend(names.iter().map(|(name, result)| match result {
        Ok(()) => Line::info(format!("      {name}")),
        Err(error) => Line::info(format!("      {name} - {error}")),
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::Level;

    fn texts(event: &ExportEvent) -> Vec<String> {
        lines(event).into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
    }

    #[test]
    fn counts_app_layers_in_one_line_or_two() {
        assert_eq!(
            texts(&ExportEvent::AppLayers { reused: 2, total: 3 }),
            ["Reused 2/3 app layer(s)", "Added 1/3 app layer(s)"]
        );
        assert_eq!(texts(&ExportEvent::AppLayers { reused: 0, total: 1 }), ["Added 1/1 app layer(s)"]);
        assert_eq!(texts(&ExportEvent::AppLayers { reused: 1, total: 1 }), ["Reused 1/1 app layer(s)"]);
    }

    #[test]
    fn lists_names_below_the_image_with_what_went_wrong() {
        let names = vec![("a".to_owned(), Ok(())), ("b".to_owned(), Err("denied".to_owned()))];
        let event = ExportEvent::Images { id: "sha256:1".into(), names };
        assert_eq!(texts(&event), ["*** Images (sha256:1):", "      a", "      b - denied"]);
    }

    #[test]
    fn names_a_layout_by_its_path() {
        let event = ExportEvent::ReusingImage { kind: StoreKind::Layout, reference: "/l/app@sha256:1".into() };
        assert_eq!(texts(&event), ["Reusing layers from image '/l/app'"]);
    }

    #[test]
    fn a_daemons_previous_image_is_for_who_looks_for_a_fault() {
        let event = ExportEvent::ReusingImage { kind: StoreKind::Daemon, reference: "1".into() };
        assert_eq!(lines(&event)[0].level, Level::Debug);
    }

    #[test]
    fn says_who_fills_a_label() {
        let event = ExportEvent::LabelTooLarge { key: "k".into(), bytes: 5000, largest: Some(("a/b".into(), 4000)) };
        assert!(
            texts(&event)[0].starts_with("Label 'k' has 5000 bytes (4000 of them are metadata of buildpack 'a/b');")
        );
    }
}
