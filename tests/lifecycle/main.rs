//! Integration tests: one binary, a module for each area.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

/// What was left and what the app will run on.
mod analyze;
/// The rules of the house.
mod architecture;
/// Runs of whole builds, phase by phase and by the creator.
mod builds;
/// Caches that are images.
mod caches;
/// Arguments as clients write them.
mod clients;
/// Which buildpacks take part.
mod detect;
/// What flags, odd files and faults do to an export.
mod export;
/// What extensions made of the run image.
mod extended;
/// What extensions write, and what they choose to run on.
mod generate;
/// Run images in registries.
mod images;
/// Starts of processes.
mod launch;
/// Names, flags and faults that come before any phase.
mod program;
/// Apps on newer run images.
mod rebase;
/// What the release says of itself.
mod release;
/// Layers that were restored and not touched since.
mod seals;
/// The specification as data.
mod spec;
/// Builds that are told to stop.
mod stop;
/// What every test stands on.
mod support;
/// Traces, from outside.
mod telemetry;
