//! Sentences of [`CacheEvent`].

use super::Line;
use crate::effect::events::CacheEvent;

/// The lines for an event.
pub(super) fn lines(event: &CacheEvent) -> Vec<Line> {
    match *event {}
}
