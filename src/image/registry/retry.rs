//! When to try again, and how long to wait before (policy P24).
//!
//! Waits grow twofold and are drawn at random from nothing to their whole length, so that many clients that failed
//! together do not come back together. A registry that says how long to wait is obeyed, within the budget.

use std::time::{Duration, Instant};

/// How often and how long a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many more tries follow the first one.
    pub retries: u32,
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait at all.
    pub longest: Duration,
    /// The longest sum of the waits of one request.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 5,
            first: Duration::from_millis(300),
            longest: Duration::from_secs(10),
            budget: Duration::from_secs(60),
        }
    }
}

/// Time and chance, as retries and tokens need them; tests have their own.
pub trait Pause: Send + Sync {
    /// Waits.
    fn sleep(&self, time: Duration);

    /// Now, on a clock that only goes forward.
    fn now(&self) -> Instant;

    /// A random number from 0 up to, but not including, 1.
    fn chance(&self) -> f64;
}

/// Real time, real chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealPause;

impl Pause for RealPause {
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn chance(&self) -> f64 {
        use ring::rand::{SecureRandom, SystemRandom};
        let mut bytes = [0; 4];
        match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
            Err(_) => 0.5,
        }
    }
}

/// The tries of one request.
pub(super) struct Retries<'a> {
    policy: RetryPolicy,
    pause: &'a dyn Pause,
    failed: u32,
    waited: Duration,
}

impl<'a> Retries<'a> {
    /// Before the first try.
    pub(super) fn new(policy: RetryPolicy, pause: &'a dyn Pause) -> Self {
        Self { policy, pause, failed: 0, waited: Duration::ZERO }
    }

    /// After some tries that failed already.
    pub(super) fn after(policy: RetryPolicy, pause: &'a dyn Pause, failed: u32) -> Self {
        Self { failed, ..Self::new(policy, pause) }
    }

    /// After a try that failed: waits and tells that there is to be another one. It is counted from 1.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Option<u32> {
        if self.failed >= self.policy.retries {
            return None;
        }
        let longest = self.policy.first.saturating_mul(1 << self.failed.min(16)).min(self.policy.longest);
        // Who asks for no pause gets the usual one: trying without any helps nobody.
        let asked = asked.filter(|asked| !asked.is_zero());
        let wait = asked.unwrap_or_else(|| longest.mul_f64(self.pause.chance()));
        // A registry may ask for any time.
        let waited = self.waited.saturating_add(wait);
        if waited > self.policy.budget {
            return None;
        }
        self.failed += 1;
        self.waited = waited;
        self.pause.sleep(wait);
        Some(self.failed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A pause in which no time passes but what is slept.
    pub(crate) struct NoPause {
        start: Instant,
        pub(crate) slept: Mutex<Vec<Duration>>,
    }

    impl NoPause {
        pub(crate) fn new() -> Self {
            Self { start: Instant::now(), slept: Mutex::default() }
        }
    }

    impl Pause for NoPause {
        fn sleep(&self, time: Duration) {
            self.slept.lock().unwrap().push(time);
        }

        fn now(&self) -> Instant {
            self.start + self.slept.lock().unwrap().iter().sum::<Duration>()
        }

        fn chance(&self) -> f64 {
            0.5
        }
    }

    #[test]
    fn waits_longer_each_time_and_gives_up() {
        for asked in [None, Some(Duration::ZERO)] {
            let pause = NoPause::new();
            let mut retries = Retries::new(RetryPolicy::default(), &pause);
            let tries: Vec<u32> = std::iter::from_fn(|| retries.wait(asked)).collect();
            assert_eq!(tries, [1, 2, 3, 4, 5]);
            let slept: Vec<u128> = pause.slept.lock().unwrap().iter().map(Duration::as_millis).collect();
            assert_eq!(slept, [150, 300, 600, 1200, 2400]);
        }
    }

    #[test]
    fn waits_as_long_as_the_registry_asks_but_not_beyond_the_budget() {
        let pause = NoPause::new();
        let mut retries = Retries::new(RetryPolicy::default(), &pause);
        assert_eq!(retries.wait(Some(Duration::from_secs(40))), Some(1));
        assert_eq!(retries.wait(Some(Duration::from_secs(40))), None);
        assert_eq!(retries.wait(Some(Duration::MAX)), None);
        assert_eq!(*pause.slept.lock().unwrap(), [Duration::from_secs(40)]);
    }

    #[test]
    fn chance_is_below_one() {
        assert!((0..100).all(|_| (0.0..1.0).contains(&RealPause.chance())));
    }
}
