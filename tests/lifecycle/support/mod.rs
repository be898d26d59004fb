//! What every test stands on: a world of its own folders, in which programs run with nothing of this machine's
//! environment.

mod image;
mod outcome;
mod world;

pub use image::sha256;
pub use outcome::Outcome;
pub use world::{APP_IMAGE, RUN_IMAGE, World};
