//! Sentences of [`AnalyzeEvent`].

use super::Line;
use crate::effect::events::AnalyzeEvent;

/// The lines for an event.
pub(super) fn lines(event: &AnalyzeEvent) -> Vec<Line> {
    match *event {}
}
