//! The real clock.

use std::time::SystemTime;

use crate::effect::clock::Clock;

/// The wall clock of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
