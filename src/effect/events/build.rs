//! What a user hears of the build phase.

/// Something that happened in the build phase.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildEvent {}
