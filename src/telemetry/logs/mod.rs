//! Build output as log records of OpenTelemetry: lines, records, batches in the spool.
//!
//! Telemetry R32, R33, R37. [`Lines`] cuts streams into lines, [`Encoder`] writes records in the form in which they are
//! sent, [`Source`] gathers those of one program and puts them into the spool. [`crate::report::build_logs`] ties them to
//! programs, spans and the lifecycle's own lines.

mod encode;
mod escape;
mod lines;
mod source;

pub use encode::{Encoder, Part, Record, Severity};
pub use escape::Escapes;
pub use lines::{LONGEST, Lines, Piece};
pub use source::{Source, Store, warnings};
