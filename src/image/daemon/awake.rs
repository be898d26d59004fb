//! A daemon that is kept awake while a build does other things.
//!
//! Podman's service ends when nobody has asked it anything for a few seconds, and its connections with it. After a drop
//! of privileges nobody could start it again. Catalogue 2, section 1.4.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::{Daemon, Error};

/// Keeps a daemon awake until it is dropped.
pub struct Awake {
    _stop: Option<Sender<()>>,
}

impl Daemon {
    /// Asks the daemon every now and then whether it is there. The first time it is not, `failed` hears why, and that
    /// was the last question.
    pub fn keep_awake(&self, every: Duration, failed: impl FnOnce(Error) + Send + 'static) -> Awake {
        let (stop, stopped) = channel::<()>();
        let daemon = self.clone();
        let ping = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = daemon.ping() {
                    return failed(error);
                }
            }
        };
        // Without the thread a daemon may go to sleep, as it would without us.
        let started = thread::Builder::new().name("daemon-ping".to_owned()).spawn(ping);
        Awake { _stop: started.ok().map(|_| stop) }
    }
}
