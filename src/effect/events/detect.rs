//! What a user hears of the detect phase.

/// Something that happened in the detect phase.
#[derive(Clone, Debug, PartialEq)]
pub enum DetectEvent {}
