//! Sentences of [`RestoreEvent`].

use super::Line;
use crate::effect::events::RestoreEvent;

/// The lines for an event.
pub(super) fn lines(event: &RestoreEvent) -> Vec<Line> {
    match *event {}
}
