//! A phase that is told to stop, by SIGTERM or SIGINT.
//!
//! Policy P38, telemetry R17 and R18: programs get the signal and have a moment to clean up and to say so, spans end, and
//! the process dies. No phase goes on with the result of a program that was told to stop: it would blame the buildpack.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::effect::events::Outcome;
use crate::effect::processes::{Command, Finished, Output, Processes, StartError};
use crate::os::process::OsProcesses;
use crate::os::signal;
use crate::report::spans::Spans;

/// How long programs may take to end. In a container the lifecycle is often the first process, and none outlives it.
const GRACE: Duration = Duration::from_secs(3);

/// How long what waits may still be sent: all in all, the process ends within 5 s (telemetry R17).
const LAST_DELIVERY: Duration = Duration::from_secs(1);

/// Runs programs until the phase is told to stop.
pub(super) struct Stoppable {
    processes: OsProcesses,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    calls: Mutex<Calls>,
    changed: Condvar,
}

#[derive(Default)]
struct Calls {
    /// Of [`Processes::run`], how many have not come back.
    open: usize,
    stopped: bool,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stopped = true;
    }

    /// Waits until all calls have come back, for `grace` at most.
    fn settle(&self, grace: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), grace, |calls| calls.open > 0));
    }
}

impl Stoppable {
    /// From now on, the process heeds the signals. `deliver` sends what waits to be sent, and takes no longer than told.
    pub(super) fn new(
        processes: OsProcesses,
        spans: Option<&Arc<Spans>>,
        deliver: impl FnOnce(Duration) + Send + 'static,
    ) -> Self {
        let state = Arc::<State>::default();
        let (running, at_signal, spans) = (processes.running(), Arc::clone(&state), spans.cloned());
        // Without the thread a signal ends the process at once: nothing that is left behind does harm.
        let _ = signal::on_stop(move |signal| {
            at_signal.stop();
            running.signal_all(signal);
            if let Some(spans) = spans {
                spans.finish(Outcome::Cancellation, None);
            }
            at_signal.settle(GRACE);
            deliver(LAST_DELIVERY);
        });
        Self { processes, state }
    }
}

impl Processes for Stoppable {
    /// Does not return when the phase was told to stop meanwhile: the process is about to die.
    fn run(&self, command: &Command, output: Output) -> Result<Finished, StartError> {
        self.state.lock().open += 1;
        let result = self.processes.run(command, output);
        let mut calls = self.state.lock();
        calls.open -= 1;
        self.state.changed.notify_all();
        if calls.stopped {
            drop(calls);
            loop {
                thread::park();
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;
    use crate::os::process::StreamTo;

    fn script(text: &str) -> Command {
        Command {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), text.into()],
            dir: "/".into(),
            env: crate::model::env::Environment::default(),
            work: None,
        }
    }

    #[test]
    fn a_phase_does_not_learn_how_a_program_ended_that_was_told_to_stop() {
        let state = Arc::<State>::default();
        let processes = Stoppable { processes: OsProcesses::new(StreamTo::Inherit), state: Arc::clone(&state) };
        assert!(processes.run(&script("exit 0"), Output::Collect).unwrap().exit.is_success());
        state.stop();
        let (send, receive) = mpsc::channel();
        thread::spawn(move || send.send(processes.run(&script("exit 0"), Output::Collect)));
        assert!(receive.recv_timeout(Duration::from_millis(300)).is_err());
        assert_eq!(state.lock().open, 0);
    }

    #[test]
    fn waits_for_programs_but_not_for_ever() {
        let state = State::default();
        let began = Instant::now();
        state.settle(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
        state.lock().open = 1;
        state.settle(Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50));
    }
}
