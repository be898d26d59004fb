//! What a user hears of the rebaser.

/// Something that happened while an app image was put on another run image.
#[derive(Clone, Debug, PartialEq)]
pub enum RebaseEvent {
    /// The images are known.
    Images {
        /// The app image: its very bytes.
        app: String,
        /// The run image that it is on; empty if it does not say.
        old: String,
        /// The run image that it is put on: its very bytes.
        new: String,
    },
    /// The new run image does not fit, and the platform wants it all the same.
    Forced(Misfit),
}

/// Why a run image must not take the place of another, unless it is forced: a warning where it is, an error where it is
/// not, in the same words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Extensions did more to the old run image than a rebase can keep.
    #[error("app image is not marked as rebasable")]
    NotRebasable,
    /// The app was made for another target.
    #[error("unable to satisfy target os/arch constraints; new run image: {new}, old run image: {old}")]
    Target {
        /// The new run image's, as JSON.
        new: String,
        /// The app's, as JSON.
        old: String,
    },
    /// The app image does not know a run image of this name.
    #[error("rebase app image: new base image '{name}' not found in existing run image metadata: {known}")]
    Name {
        /// The name, as it was given.
        name: String,
        /// What the app image says of its run image, as JSON; `not found` if it names none.
        known: String,
    },
}
