//! OTLP: requests to a collector that misbehaves in every way, and spans that are sent as they end.

/// Whole phases whose collector, disk or user are against them.
mod faults;
/// What the lifecycle sends while a build runs.
mod live;
/// What phases could not deliver, and what nobody may see.
mod ship;
/// One request, one answer.
mod transports;
/// What the variables say.
mod variables;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::{APP_IMAGE, Collector, Record, World};

const LOGS: (&str, Option<&str>) = ("CNB_BUILD_LOGS_OTLP", Some("true"));
const LIVE: (&str, Option<&str>) = ("CNB_TRACES_OTLP", Some("true"));

/// A collector for each protocol that this build speaks.
fn collectors() -> Vec<(&'static str, Collector)> {
    Vec::from([
        ("http/protobuf", Collector::http()),
        ("http/json", Collector::http()),
        #[cfg(feature = "grpc")]
        ("grpc", Collector::grpc()),
    ])
}

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

/// A world that is ready to build.
fn ready(build: &str) -> World {
    let world = world(build);
    world.run("analyzer", &[APP_IMAGE]).exits(0).done();
    world.run("detector", &[]).exits(0).done();
    world
}

/// The lines of programs in their order, each once, however often it came.
fn printed(records: &[Record]) -> Vec<String> {
    let of_programs = records.iter().filter(|record| record.attribute("log.iostream").is_some());
    let by_uid: BTreeMap<_, _> =
        of_programs.map(|record| (record.attribute("log.record.uid").unwrap(), record.body().to_owned())).collect();
    by_uid.into_values().collect()
}
