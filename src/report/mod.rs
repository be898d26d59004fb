//! Consumers of the event stream.

pub mod spans;
pub mod text;
