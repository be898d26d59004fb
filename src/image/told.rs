//! How far something is on its way into a registry or a daemon.

use crate::effect::events::{Events, TransferEvent, WorkId};

/// Tells how far it is, until this is dropped: then it has arrived or failed.
pub(super) struct Told<'a> {
    events: &'a dyn Events,
    what: String,
    id: WorkId,
    arrived: bool,
}

impl<'a> Told<'a> {
    /// Of `what`, as it is to be called.
    pub(super) fn new(events: &'a dyn Events, what: String) -> Self {
        Self { events, what, id: WorkId::next(), arrived: false }
    }

    /// Tells how many bytes were sent, of how many, if that is known.
    pub(super) fn sent(&self, bytes: u64, size: Option<u64>) {
        self.events.emit(TransferEvent::Sent { id: self.id, what: self.what.clone(), bytes, size }.into());
    }

    /// Tells that nothing is sent any more and it is waited for.
    pub(super) fn awaited(&self) {
        self.events.emit(TransferEvent::Awaited { id: self.id, what: self.what.clone() }.into());
    }

    /// Tells that it has arrived.
    pub(super) fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.events.emit(TransferEvent::Ended { id: self.id, arrived: self.arrived }.into());
    }
}
