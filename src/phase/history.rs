//! History entries of the images that are written, one for each layer.
//!
//! Clauses: platform.md#exporter, platform.md#build-reproducibility; catalogue 2, section 2.5.

use crate::api::{PlatformApi, PlatformFeature};
use crate::model::image::{History, ImageConfig};

/// When every image and each of its layers was made, for all they say.
pub(super) const CREATED: &str = "1980-01-01T00:00:01Z";

/// The history of an image, one entry for each of its layers. Entries without a layer go; if others do not fit the
/// layers, none is believed.
pub(super) fn of_layers(config: &ImageConfig, layers: usize) -> Vec<History> {
    let kept: Vec<History> = config.history.iter().filter(|entry| !entry.empty_layer).cloned().collect();
    if kept.len() == layers { kept } else { vec![History::default(); layers] }
}

/// The same of a run image, as this Platform API shows it.
pub(super) fn of_run_image(api: PlatformApi, config: &ImageConfig, layers: usize, created: &str) -> Vec<History> {
    of_layers(config, layers).into_iter().map(|entry| self::entry(api, entry, created)).collect()
}

/// A history entry as this Platform API shows it: below 0.12 it only says when.
pub(super) fn entry(api: PlatformApi, entry: History, created: &str) -> History {
    let kept = if api.has(PlatformFeature::LayerHistory) { entry } else { History::default() };
    History { created: created.to_owned(), ..kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(version: &str) -> PlatformApi {
        PlatformApi::negotiate(Some(version)).unwrap()
    }

    #[test]
    fn history_follows_the_layers_or_is_blank() {
        let entry = |text: &str, empty_layer| History {
            created: "2020".into(),
            created_by: text.into(),
            empty_layer,
            ..History::default()
        };
        let config = ImageConfig { history: vec![entry("a", false), entry("env", true)], ..ImageConfig::default() };
        let texts = |api, layers| {
            of_run_image(api, &config, layers, "now").into_iter().map(|h| (h.created, h.created_by)).collect::<Vec<_>>()
        };
        assert_eq!(texts(api("0.12"), 1), [("now".to_owned(), "a".to_owned())]);
        assert_eq!(texts(api("0.11"), 1), [("now".to_owned(), String::new())]);
        assert_eq!(texts(api("0.12"), 2), vec![("now".to_owned(), String::new()); 2]);
    }
}
