//! Time.

use std::time::SystemTime;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, by the wall clock.
    fn now(&self) -> SystemTime;
}
