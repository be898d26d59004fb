//! How far blobs are on their way to a registry.

use super::WorkId;

/// News of a blob that is sent to a registry. There are many: one for each piece that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferEvent {
    /// Some of it is sent.
    Sent {
        /// Names this transfer in later events.
        id: WorkId,
        /// What it is: `layer 'some/id:name'`.
        what: String,
        /// How many bytes so far.
        bytes: u64,
        /// How many there are; `None` while it is still compressed.
        size: Option<u64>,
    },
    /// The registry has it, or sending it has failed.
    Ended {
        /// The transfer.
        id: WorkId,
        /// The registry has it.
        arrived: bool,
    },
}
