//! Acceptance tests: the release as `make build` leaves it, with a real registry, a real daemon, and containers.
//!
//! `make acceptance` installs what they need and runs them one after another, as root, on Debian. Nothing is skipped:
//! what is missing fails and says what to install. Everything is on 127.0.0.1, on free ports, and ended with its test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

/// Phases in containers, started as clients start them.
mod clients;
/// The app from its image, as a container.
mod container;
/// Exports that end in the middle.
mod crashes;
/// Builds into daemons, and programs that read images.
mod daemons;
/// `make demo`, as root and as an ordinary user.
mod demo;
/// Registries that refuse, break or talk nonsense.
mod failures;
/// Builds and rebases in OCI layouts.
mod layouts;
/// What a builder takes of this machine.
#[expect(dead_code, reason = "only the demo shows the user's name")]
mod machine;
/// Build logs and live spans, taken by a collector that is not ours.
mod otlp;
/// What `lifecycle trace --html` writes, in a browser.
mod page;
/// Who owns what when root starts a phase.
mod privileges;
/// Apps on newer run images.
mod rebase;
/// Builds to a registry, phase by phase and by the creator, judged by other programs.
mod registry;
/// The archive and the image that `make package` and `make image` leave.
mod release;
/// What every test stands on.
mod support;
/// Traces, and that they stay out of images.
mod telemetry;
