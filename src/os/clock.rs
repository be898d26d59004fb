//! The real clock.

use std::time::SystemTime;

use crate::effect::clock::Clock;

/// The wall clock of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        now()
    }
}

/// The system's time, for who reads what others say relative to it.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for the time")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
