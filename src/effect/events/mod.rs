//! What phases tell while they work: one closed enum, never text.
//!
//! `report::text` turns events into the sentences that users and clients read, `report::spans` into spans. Work is told
//! by [`Event::Begin`] and [`Event::End`]; everything else that a user should hear is in the enum of its phase.

mod analyze;
mod build;
mod cache;
mod detect;
mod export;
mod generate;
mod rebase;
mod restore;
mod session;
mod transfer;
mod work;

pub use analyze::AnalyzeEvent;
pub use build::{BuildEvent, BuildStep};
pub use cache::CacheEvent;
pub use detect::{DetectEvent, Transcript};
pub use export::{ExportEvent, LayerNotice};
pub use generate::{GenerateEvent, GenerateStep};
pub use rebase::{Misfit, RebaseEvent};
pub use restore::{NotRestored, Origin, RestoreEvent};
pub use session::{SessionEvent, Timed};
pub use transfer::TransferEvent;
pub use work::{Facts, Listener, Note, Ongoing, Outcome, Phase, Step, Work, WorkId};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A piece of work starts.
    Begin {
        /// Names it in later events.
        id: WorkId,
        /// The work that it is part of.
        parent: Option<WorkId>,
        /// What is done.
        work: Work,
    },
    /// Something worth noting happens during a piece of work.
    Note {
        /// The work.
        id: WorkId,
        /// What happens.
        note: Note,
    },
    /// A piece of work ends.
    End {
        /// The work.
        id: WorkId,
        /// How it ended.
        outcome: Outcome,
        /// What is known of it now.
        facts: Facts,
    },
    /// The program itself: APIs, inputs, privileges.
    Session(SessionEvent),
    /// The analyze phase.
    Analyze(AnalyzeEvent),
    /// The detect phase.
    Detect(DetectEvent),
    /// Generating, a part of the detect phase.
    Generate(GenerateEvent),
    /// The restore phase.
    Restore(RestoreEvent),
    /// The build phase.
    Build(BuildEvent),
    /// The export phase.
    Export(ExportEvent),
    /// The rebaser.
    Rebase(RebaseEvent),
    /// Caches, in any phase.
    Cache(CacheEvent),
    /// Blobs on their way to a registry.
    Transfer(TransferEvent),
}

/// Takes events. Called from several threads at once.
pub trait Events: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

macro_rules! from_phase {
    ($($event:ident => $variant:ident),*) => {
        $(impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        })*
    };
}

from_phase!(
    SessionEvent => Session, AnalyzeEvent => Analyze, DetectEvent => Detect, GenerateEvent => Generate,
    RestoreEvent => Restore, BuildEvent => Build, ExportEvent => Export, RebaseEvent => Rebase,
    CacheEvent => Cache, TransferEvent => Transfer
);
