//! What phases need of the world, as traits: images, processes, events, time.
//!
//! Traits and the values they speak in; nothing here does anything. `cli::wire` alone chooses implementations.

pub mod cache;
pub mod clock;
pub mod events;
pub mod images;
pub mod processes;
pub mod telemetry;

use events::{Event, Events, Ongoing, Work, WorkId};

/// Everything a phase may do to the world besides reading and writing below the paths in its inputs.
#[derive(Clone, Copy)]
pub struct Effects<'a> {
    /// Where images are.
    pub images: &'a dyn images::Images,
    /// Runs programs.
    pub processes: &'a dyn processes::Processes,
    /// Hears what happens.
    pub events: &'a dyn Events,
    /// Gives programs their telemetry variables.
    pub telemetry: &'a dyn telemetry::ProcessTelemetry,
    /// The work that the phase is: the parent of all it begins.
    pub phase: Option<WorkId>,
}

impl<'a> Effects<'a> {
    /// Tells an event.
    pub fn emit(&self, event: impl Into<Event>) {
        self.events.emit(event.into());
    }

    /// Begins a part of the phase.
    pub fn begin(&self, work: Work) -> Ongoing<'a> {
        Ongoing::begin(self.events, self.phase, work)
    }
}
