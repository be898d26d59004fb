//! Sentences of [`SessionEvent`].

use super::Line;
use crate::effect::events::SessionEvent;

/// The lines for an event.
pub(super) fn lines(event: &SessionEvent) -> Vec<Line> {
    match *event {}
}
