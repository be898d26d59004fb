//! Sentences of [`RebaseEvent`]: catalogue 2, sections 5.3 and 5.5.

use super::Line;
use crate::effect::events::RebaseEvent;

/// The lines for an event.
pub(super) fn lines(event: &RebaseEvent) -> Vec<Line> {
    vec![match event {
        RebaseEvent::Images { app, old, new } => {
            Line::debug(format!("Rebasing '{app}' from run image '{old}' onto '{new}'"))
        }
        RebaseEvent::Forced(misfit) => Line::warn(misfit.to_string()),
    }]
}
