//! Sentences of [`ExportEvent`].

use super::Line;
use crate::effect::events::ExportEvent;

/// The lines for an event.
pub(super) fn lines(event: &ExportEvent) -> Vec<Line> {
    match *event {}
}
