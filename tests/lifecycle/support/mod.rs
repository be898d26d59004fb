//! What every test stands on: a world of its own folders, in which programs run with nothing of this machine's
//! environment.

mod collector;
mod image;
mod outcome;
mod registry;
mod world;

pub(crate) use collector::{Answer, Collector, Payload, Record, Request, attribute, tls};
pub(crate) use image::{Image, empty_tar, sha256};
pub(crate) use outcome::Outcome;
pub(crate) use registry::Registry;
pub(crate) use world::{APP_IMAGE, RUN_IMAGE, Started, World, is_root, nothing_starts, output};
