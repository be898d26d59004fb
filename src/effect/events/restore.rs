//! What a user hears of the restore phase.

/// Something that happened in the restore phase.
#[derive(Clone, Debug, PartialEq)]
pub enum RestoreEvent {}
