//! The lifecycle from outside: one binary, a module for each area.

/// What was left and what the app will run on.
mod analyze;
/// Which buildpacks take part.
mod detect;
