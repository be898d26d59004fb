//! What a user hears of the program itself: APIs, inputs, privileges.

/// Something that happened in the program itself: APIs, inputs, privileges.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent {}
