//! Sentences of [`DetectEvent`].

use super::Line;
use crate::effect::events::DetectEvent;

/// The lines for an event.
pub(super) fn lines(event: &DetectEvent) -> Vec<Line> {
    match *event {}
}
