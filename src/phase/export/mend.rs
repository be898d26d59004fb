//! What is done about layers that the previous image has lost: those that this build made are sent instead.
//!
//! Policy B6: a blob that a registry or layout lost or spoiled must not fail this export and, since the image stays as it
//! is, every later one. It is looked for only when writing has failed, so that builds where all is well pay nothing.

use std::io::{self, Read};

use super::make::Made;
use crate::effect::Effects;
use crate::effect::events::ExportEvent;
use crate::effect::images::{DraftLayer, ImageDraft, ImageError, StoreKind};

/// The same image without the layers that the previous image was to lend and does not have any more; `None` if it has
/// all of them, or has lost one that nobody else has.
pub(super) fn mended(effects: &Effects<'_>, draft: &ImageDraft, made: &[Made<'_>]) -> Option<ImageDraft> {
    let previous = draft.previous.as_ref()?;
    let mut mended = draft.clone();
    let mut is_lost = false;
    // The layers of the run image come first.
    let own = mended.layers.len().checked_sub(made.len())?;
    for ((layer, _), made) in mended.layers.iter_mut().skip(own).zip(made) {
        if !matches!(layer, DraftLayer::Reuse(_)) {
            continue;
        }
        let found = effects.images.layer(previous, &made.diff_id);
        match found.and_then(|layer| read_through(effects.images.kind(), layer)) {
            Ok(()) => continue,
            // Whoever does not answer has lost nothing.
            Err(error) if error.retryable => return None,
            Err(_) => {}
        }
        *layer = DraftLayer::New(made.layer.clone()?);
        is_lost = true;
        let (reference, id) = (previous.identifier.clone(), made.planned.id.clone());
        effects.emit(ExportEvent::PreviousLayerLost { reference, id });
    }
    is_lost.then_some(mended)
}

/// Reads a layer to its end where that costs little: a layout gives out whatever is there.
fn read_through(kind: StoreKind, mut layer: Box<dyn Read + Send>) -> Result<(), ImageError> {
    if kind != StoreKind::Layout {
        return Ok(());
    }
    io::copy(&mut layer, &mut io::sink()).map(drop).map_err(|error| ImageError::permanent(error.to_string()))
}
