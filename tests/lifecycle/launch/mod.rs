//! The launcher from outside: the same as another one does, sound on bad input, and nothing left of it in the process.

mod bad_input;
mod generator;
mod golden;
mod process;

use std::path::PathBuf;

/// The launcher under test: that of this build, or the one in the folder that `OURS` names.
fn launcher() -> PathBuf {
    folder("OURS").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_launcher")), |folder| folder.join("launcher"))
}

/// A folder that `make compare-launcher` gives to these tests.
#[expect(clippy::disallowed_methods, reason = "make gives its arguments to tests as variables")]
fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}
