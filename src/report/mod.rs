//! Consumers of the event stream.

pub mod build_logs;
pub mod console;
mod progress;
pub mod spans;
pub mod strip;
pub mod text;

use std::sync::Arc;

use crate::effect::events::{Event, Events};

/// Passes each event to several consumers, in order.
pub struct Fan(pub Vec<Arc<dyn Events>>);

impl Events for Fan {
    fn emit(&self, event: Event) {
        if let Some((last, others)) = self.0.split_last() {
            for consumer in others {
                consumer.emit(event.clone());
            }
            last.emit(event);
        }
    }
}
