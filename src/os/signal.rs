//! Being told to stop: SIGTERM and SIGINT.
//!
//! Policy P38: whoever must clean up does so, then the process dies by the very signal, as its parent expects. The first
//! process of a container does not die by signals that come from within; it ends with the code that stands for one.
//! Who starts the lifecycle with SIGINT ignored, as shells do with what they leave in the background, means another
//! program: it stays ignored. SIGTERM is heeded in any case: it is how platforms end a phase (as in the reference).

use std::io;
use std::thread;

use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};

/// From now on, calls `clean_up` on a thread of its own when the process is told to stop, and then lets it die by the
/// signal. Threads that are started later, and programs, are not in the way: the former leave the signals to that
/// thread, the latter start with none blocked.
///
/// # Errors
/// The thread cannot be started; the process then dies at once when told to.
pub fn on_stop(clean_up: impl FnOnce(Signal) + Send + 'static) -> io::Result<()> {
    let ignored = is_ignored(Signal::SIGINT);
    let signals: SigSet =
        [Signal::SIGTERM, Signal::SIGINT].into_iter().filter(|&signal| signal == Signal::SIGTERM || !ignored).collect();
    signals.thread_block()?;
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

/// Leaves the signals to other threads: to the one of [`on_stop`], or the one that the process began with.
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
