//! What a user hears of the analyze phase.

/// Something that happened in the analyze phase.
#[derive(Clone, Debug, PartialEq)]
pub enum AnalyzeEvent {}
