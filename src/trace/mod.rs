//! Reading telemetry back: `lifecycle trace`.
//!
//! [`read`] takes OTLP JSON lines from anybody, [`tree`] makes builds of them, and the rest shows a build: as a
//! [`waterfall`], a [`summary`], a [`page`] for a browser or JSON, or [`compare`]s two. No input makes it fail but one without any span: what cannot be read is
//! counted and named.

pub mod command;
pub mod compare;
pub mod critical_path;
pub mod export;
mod json;
pub mod page;
pub mod read;
pub mod row;
pub mod screen;
pub mod summary;
pub mod tree;
pub mod waterfall;

pub use command::{Error, run};
pub use screen::Terminal;

#[cfg(test)]
mod tests;
