//! What a user hears of the export phase.

/// Something that happened in the export phase.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportEvent {}
