//! Being told to stop: SIGTERM and SIGINT.
//!
//! Policy P38: whoever must clean up does so, then the process dies by the very signal, as its parent expects. The first
//! process of a container does not die by signals that come from within; it ends with the code that stands for one.
//! Who starts the lifecycle with SIGINT ignored, as shells do with what they leave in the background, means another
//! program: it stays ignored. SIGTERM is heeded in any case: it is how platforms end a phase (as in the reference).

use std::io;
use std::thread;

use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};

/// The signals, which wait for who heeds them.
#[must_use]
pub struct Held(SigSet);

/// From now on the signals wait until somebody heeds them. Threads that are started later leave them to that one, too, and
/// programs start with none blocked.
pub fn hold() -> Held {
    // Before they wait: looking would drop one that does.
    let ignored = is_ignored(Signal::SIGINT);
    let heeded = [Signal::SIGTERM, Signal::SIGINT].into_iter().filter(|&signal| signal == Signal::SIGTERM || !ignored);
    let signals = heeded.collect::<SigSet>();
    // Where that fails the signal ends the process, as it would without.
    let _ = signals.thread_block();
    Held(signals)
}

impl Held {
    /// Calls `clean_up` on a thread of its own when the process is told to stop, or was meanwhile, and then lets it die by
    /// the signal.
    ///
    /// # Errors
    /// The thread cannot be started; the process then dies at once when told to.
    pub fn heed(self, clean_up: impl FnOnce(Signal) + Send + 'static) -> io::Result<()> {
        let Self(signals) = self;
        let wait = move || {
            let Ok(signal) = signals.wait() else { return };
            clean_up(signal);
            // It dies by this one, whatever came after it.
            let _ = SigSet::from(signal).thread_unblock();
            let _ = raise(signal);
            end(signal);
        };
        thread::Builder::new().name("stop".to_owned()).spawn(wait).map(drop).inspect_err(|_| {
            let _ = signals.thread_unblock();
        })
    }
}

/// Leaves the signals to other threads: to the one that heeds them, or the one that the process began with.
pub fn leave_to_others() {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    // Where that fails the signal ends the process, as it would without.
    let _ = signals.thread_block();
}

/// From now on, a write beyond the limit on the size of files is an error and does not end the process. Programs that are
/// started get the default back.
#[expect(
    unsafe_code,
    reason = "nix marks every change of a signal's disposition as unsafe, as handlers may be unsound"
)]
pub fn survive_file_size_limit() {
    // SAFETY: ignoring runs no code of ours. It fails for no signal that exists.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// Says whether a signal is ignored. That is known only by ignoring it for a moment.
#[expect(
    unsafe_code,
    reason = "nix marks every change of a signal's disposition as unsafe, as handlers may be unsound"
)]
fn is_ignored(stop: Signal) -> bool {
    // SAFETY: ignoring runs no code of ours.
    match unsafe { signal(stop, SigHandler::SigIgn) } {
        Ok(SigHandler::SigIgn) => return true,
        // SAFETY: what was there is as sound as it was.
        Ok(was) => drop(unsafe { signal(stop, was) }),
        Err(_) => {}
    }
    false
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "only here is known that the signal did not end the process"
)]
fn end(signal: Signal) {
    std::process::exit(128 + signal as i32);
}
