//! Consumers of the event stream.

pub mod text;
