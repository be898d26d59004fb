//! Layers as archives: written so that the same files give the same bytes on every machine, and read so that nothing
//! is written where it must not be.
//!
//! Clauses: platform.md#exporter and #restorer; catalogue 2, sections 2.3 and 3.7; policy P5, P12 to P15, B13 to B20.
//!
//! A layer is planned first: what goes into it and in which order is read from the file system once, and kept in about
//! 60 bytes a file. The result, a [`Tar`], writes its bytes as often as asked, reading contents each time. A file that
//! is no longer what it was at planning is an error that names it, so one [`Tar`] never gives two digests.

mod directory;
mod error;
mod extract;
mod fixed;
#[cfg(test)]
mod fixture;
mod hashed;
mod header;
mod heard;
mod listed;
mod measure;
mod members;
mod pattern;
mod place;
mod read;
mod repacked;
mod seal;
mod slices;
mod state;
mod stream;
mod tar;
mod tree;

pub use directory::directory;
pub use error::Error;
pub use extract::{Extracted, Hashing, extract, extract_verified};
pub use fixed::{launcher, process_types};
pub use heard::Heard;
pub use listed::{Entry, EntryKind, listed};
pub(crate) use measure::Sum;
pub use measure::measure;
pub use members::{FileWriter, for_each_file};
pub use read::Malformed;
pub use repacked::Repacked;
pub use slices::{slices, slices_without};
pub use tar::{Notice, Owner, Tar};
