//! One file for each phase: from inputs to documents. Reading and writing documents is done here, never in a phase.

mod analyze;
mod build;
mod create;
mod detect;
mod export;
mod extended;
mod rebase;
mod restore;
pub(super) mod ship;
pub(super) mod trace;

use super::failure::Failure;
use super::session::{Privileged, Session};
use crate::effect::events::Phase;

/// Runs the phase of a session.
pub(super) fn run(session: Session<Privileged>) -> Result<(), Failure> {
    match session.phase {
        Phase::Analyze => analyze::run(session),
        Phase::Detect => detect::run(session),
        Phase::Restore => restore::run(session),
        Phase::Build => build::run(session),
        Phase::Export => export::run(session),
        Phase::Create => create::run(session),
        Phase::Extend => Failure::refuse("extend", true, "the extender"),
        Phase::Rebase => rebase::run(session),
    }
}

/// Refuses positional arguments, in the words of the phase.
fn no_arguments<S>(session: &Session<S>, text: &str) -> Result<(), Failure> {
    if session.values.positional.is_empty() { Ok(()) } else { Err(Failure::Arguments(text.to_owned())) }
}

/// The one image argument.
fn one_image<S>(session: &Session<S>) -> Result<String, Failure> {
    match session.values.positional.as_slice() {
        [image] if image.is_empty() => Err(Failure::inputs(&"image argument is required")),
        [image] => Ok(image.clone()),
        many => Err(Failure::Arguments(format!("received {} arguments, but expected 1", many.len()))),
    }
}
