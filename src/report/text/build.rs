//! Sentences of [`BuildEvent`].

use super::Line;
use crate::effect::events::BuildEvent;

/// The lines for an event.
pub(super) fn lines(event: &BuildEvent) -> Vec<Line> {
    match *event {}
}
