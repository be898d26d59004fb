//! Sentences of [`CacheEvent`]: catalogue 2, sections 3.2 and 3.3.

use super::Line;
use crate::effect::events::CacheEvent;

/// The lines for an event.
pub(super) fn lines(event: &CacheEvent) -> Vec<Line> {
    use CacheEvent as E;
    let line = match event {
        E::Reusing { id, diff_id } => {
            return vec![Line::info(format!("Reusing cache layer '{id}'")), super::layer_sha(id, diff_id)];
        }
        E::Adding { id, diff_id } => {
            return vec![Line::info(format!("Adding cache layer '{id}'")), super::layer_sha(id, diff_id)];
        }
        E::SkippingReuse { id, reason } => Line::warn(format!("Skipping reuse for layer {id}: {reason}")),
        E::NoContents { id } => Line::warn(format!("Failed to cache layer '{id}' because it has no contents")),
        E::LayerFailed { id, reason } => Line::warn(format!("Failed to cache layer '{id}': {reason}")),
        E::SpecialFile { id, path } => Line::warn(format!(
            "{} is a fifo or a device: the next build will get layer '{id}' back without it",
            path.display()
        )),
        E::SbomFound(path) => Line::debug(format!("Found SBOM of type cache for at {}", path.display())),
        E::LaunchCacheFailed(reason) => Line::warn(format!("Not using the launch cache: {reason}")),
        E::ImageMissing => Line::info("Layer cache not found"),
        E::ImageCorrupt { name, reason } => {
            return vec![
                Line::info(format!("Ignoring cache image \"{name}\" because it was corrupt")),
                Line::debug(format!("Cache image \"{name}\": {reason}")),
            ];
        }
        E::ImageUnreadable { name, reason } => {
            Line::warn(format!("Not using cache image \"{name}\": accessing it failed: {reason}"))
        }
        E::ImageNotDeleted(reason) => Line::warn(format!("Unable to delete cache image: {reason}")),
        E::Failed(reason) => Line::warn(format!("Failed to export cache: {reason}")),
    };
    vec![line]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::{DiffId, EMPTY_LAYER};
    use crate::report::text::Level;

    #[test]
    fn a_corrupt_layer_is_told_in_the_words_that_clients_match() {
        let event = CacheEvent::SkippingReuse {
            id: "bp:layer".into(),
            reason: "expected layer contents to have SHA 'a'; found 'b'".into(),
        };
        let expected = "Skipping reuse for layer bp:layer: expected layer contents to have SHA 'a'; found 'b'";
        assert_eq!(lines(&event), [Line::new(Level::Warn, expected)]);
    }

    #[test]
    fn a_reused_layer_is_told_once() {
        let diff_id = DiffId::parse(EMPTY_LAYER).unwrap();
        let told = lines(&CacheEvent::Reusing { id: "bp:layer".into(), diff_id });
        assert_eq!(told[0], Line::info("Reusing cache layer 'bp:layer'"));
        assert_eq!(told[1], Line::debug(format!("Layer 'bp:layer' SHA: {EMPTY_LAYER}")));
    }

    #[test]
    fn a_cache_image_is_told_in_the_words_that_clients_match() {
        let name = || "a.io/cache".to_owned();
        let told = lines(&CacheEvent::ImageCorrupt { name: name(), reason: "no layers".into() });
        assert_eq!(told[0], Line::info("Ignoring cache image \"a.io/cache\" because it was corrupt"));
        assert_eq!(told[1], Line::debug("Cache image \"a.io/cache\": no layers"));
        assert_eq!(lines(&CacheEvent::ImageMissing), [Line::info("Layer cache not found")]);
        let told = lines(&CacheEvent::ImageNotDeleted("405".into()));
        assert_eq!(told, [Line::warn("Unable to delete cache image: 405")]);
        let told = lines(&CacheEvent::ImageUnreadable { name: name(), reason: "503".into() });
        assert_eq!(told, [Line::warn("Not using cache image \"a.io/cache\": accessing it failed: 503")]);
    }
}
