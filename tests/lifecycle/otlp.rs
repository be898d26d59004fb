//! OTLP: requests to a collector that misbehaves in every way, and spans that are sent as they end.

/// What the lifecycle sends while a build runs.
mod live;
/// What phases could not deliver, and what nobody may see.
mod ship;
/// One request, one answer.
mod transports;

use std::fs;
use std::path::PathBuf;

use crate::support::World;

/// A world with one buildpack that is sure to take part.
fn world(build: &str) -> World {
    let world = World::new();
    world.buildpack("test/one", "0.12", "", "exit 0", build);
    world.order(&[&["test/one"]]);
    world
}

/// What waits to be sent: the spools below the folder for temporary files.
fn spools(world: &World) -> Vec<PathBuf> {
    let all = fs::read_dir(world.path("tmp")).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|extension| extension == "spool")).collect()
}
