//! Sentences of [`RestoreEvent`].

use super::Line;
use super::analyze::{run_image_json, run_image_lines};
use crate::effect::events::{NotRestored, Origin, RestoreEvent};

/// How many files of a list are named.
const SHOWN: usize = 5;

/// The lines for an event.
pub(super) fn lines(event: &RestoreEvent) -> Vec<Line> {
    use RestoreEvent as E;
    vec![match event {
        E::PullingBuildImage(name) => Line::debug(format!("Pulling builder image metadata for {name}...")),
        E::PullingRunImage(name) => Line::debug(format!("Pulling run image metadata for {name}...")),
        E::SavingImage(path) => Line::debug(format!("Saving image metadata to {}...", path.display())),
        E::BuildImage(reference) => {
            let json = serde_json::json!({ "Reference": reference }).to_string();
            return vec![Line::debug("Adding build image info to analyzed metadata: "), Line::debug(json)];
        }
        E::ResolvingRunImage => Line::debug("Updating run image info in analyzed metadata..."),
        E::RunImageResolved { was, is } => {
            let before = [Line::debug("Run image info in analyzed metadata was: "), Line::debug(run_image_json(was))];
            return before.into_iter().chain(run_image_lines(is)).collect();
        }
        E::SkippingLayers => Line::info("Skipping buildpack layer analysis"),
        E::NoCache => Line::debug("Usable cache not provided, using empty cache metadata"),
        E::Metadata { layer, origin: Origin::AppImage } => {
            Line::info(format!("Restoring metadata for {layer:?} from app image"))
        }
        E::Metadata { layer, origin: Origin::Cache } => {
            Line::info(format!("Restoring metadata for {layer:?} from cache"))
        }
        E::NotMetadata { layer, reason } => Line::debug(match reason {
            NotRestored::NotForLaunch => format!("Not restoring metadata for {layer:?}, marked as launch=false"),
            NotRestored::BuildWithoutCache => {
                format!("Not restoring metadata for {layer:?}, marked as build=true, cache=false")
            }
            NotRestored::NotInCache => {
                format!("Not restoring metadata for {layer:?}, marked as cache=true, but not found in cache")
            }
            NotRestored::NotForCache => format!("Not restoring {layer:?} from cache, marked as cache=false"),
            NotRestored::LaunchInCache => format!("Not restoring {layer:?} from cache, marked as launch=true"),
        }),
        E::Data { layer, diff_id } => {
            return vec![
                Line::info(format!("Restoring data for {layer:?} from cache")),
                Line::debug(format!("Retrieving data for \"{diff_id}\"")),
            ];
        }
        E::WrongSha { layer, layer_sha, cache_sha } => {
            return vec![
                Line::info(format!("Removing {layer:?}, wrong sha")),
                Line::debug(format!("Layer sha: \"{layer_sha}\", cache sha: \"{cache_sha}\"")),
            ];
        }
        E::DataSkipped { layer, reason } => Line::warn(format!("Skipping restore for layer {layer}: {reason}")),
        E::FilesSkipped { layer, count, first } => {
            let shown: Vec<_> = first.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
            let more = if *count > shown.len() as u64 { ", ..." } else { "" };
            Line::warn(format!(
                "Not restoring {count} named pipes and devices of layer {layer}: {}{more}",
                shown.join(", ")
            ))
        }
        E::Sbom => Line::info("Restoring data for SBOM from cache"),
        E::SbomSkipped { reason } => Line::warn(format!("Skipping restore for SBOM from cache: {reason}")),
    }]
}
