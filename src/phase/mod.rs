//! The phases: each one function from explicit inputs to documents.
//!
//! A phase may read and write below the paths named in its inputs. It sees no environment, clock, socket or terminal.

pub mod analyze;
pub mod build;
pub mod detect;
pub mod export;
pub mod generate;
mod history;
mod parallel;
pub mod rebase;
pub mod restore;
pub mod run_image;
mod save;
