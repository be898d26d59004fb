//! How far blobs are on their way to a registry or daemon.

use super::WorkId;

/// News of a blob that is sent to a registry or daemon. There are many: one for each piece that is read.
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
    /// All is sent, and the answer is awaited.
    Awaited {
        /// Names this wait in later events.
        id: WorkId,
        /// What is waited for: `the daemon to take 'a.io/app'`.
        what: String,
    },
    /// It has arrived, or failed.
    Ended {
        /// The transfer or wait.
        id: WorkId,
        /// It has arrived.
        arrived: bool,
    },
}
