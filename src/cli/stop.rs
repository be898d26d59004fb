//! A phase that is told to stop, by SIGTERM or SIGINT.
//!
//! Policy P38, telemetry R17 and R18: programs get the signal and have a moment to clean up and to say so, spans end, and
//! the process dies. No phase goes on with the result of a program that was told to stop: it would blame the buildpack.
//!
//! Once the work is done, its result stands: all that is left is to send what waits for a collector, which changes no exit
//! code (T13). Who is told to stop then waits for nobody, says what is left and ends as it would have. Which of the two it
//! is, is decided once, under a lock.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::ending::Ending;
use crate::effect::events::Outcome;
use crate::effect::processes::{Command, Finished, Output, Processes, StartError};
use crate::os::process::OsProcesses;
use crate::os::signal;

/// How long programs may take to end. In a container the lifecycle is often the first process, and none outlives it.
const GRACE: Duration = Duration::from_secs(3);

/// How long what waits may still be sent: all in all, the process ends within 5 s (telemetry R17).
const LAST_DELIVERY: Duration = Duration::from_secs(1);

/// How much longer both together may take, at most.
const SLACK: Duration = Duration::from_millis(500);

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
    stage: Stage,
}

/// How far the phase is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Works,
    /// It was told to stop before its work was done.
    Stopped,
    /// Its work is done.
    Done,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes from work to another stage, unless it is in another already; gives that in which it is then.
    fn leave_work(&self, to: Stage) -> Stage {
        let mut calls = self.lock();
        if calls.stage == Stage::Works {
            calls.stage = to;
        }
        calls.stage
    }

    /// Waits until all calls have come back, for `grace` at most.
    fn settle(&self, grace: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), grace, |calls| calls.open > 0));
    }
}

impl Stoppable {
    /// From now on, the process heeds the signals that were held; `ending` is what then comes to an end. After the work,
    /// somebody else has begun with that.
    pub(super) fn new(signals: signal::Held, processes: OsProcesses, ending: Ending) -> Self {
        let state = Arc::<State>::default();
        let (running, at_signal) = (processes.running(), Arc::clone(&state));
        // Without the thread a signal ends the process at once: nothing that is left behind does harm.
        let _ = signals.heed(move |signal| {
            let stage = at_signal.leave_work(Stage::Stopped);
            // Also when the work is done: after a fault of ours one may still run.
            running.signal_all(signal);
            if stage == Stage::Done {
                ending.hurry();
                // Longer than it takes, unless nobody reads what the process says.
                return thread::sleep(GRACE);
            }
            // On another thread: nobody may read what the process says, and it must end all the same.
            let (ends, ended) = mpsc::channel();
            let clean_up = move || {
                if let Some(spans) = &ending.spans {
                    spans.finish(Outcome::Cancellation, None);
                }
                at_signal.settle(GRACE);
                ending.end(LAST_DELIVERY);
                let _ = ends.send(());
            };
            if thread::Builder::new().name("clean up".to_owned()).spawn(clean_up).is_ok() {
                let _ = ended.recv_timeout(GRACE + LAST_DELIVERY + SLACK);
            }
        });
        Self { processes, state }
    }

    /// The work is done, or a fault of ours ended it. Does not return when the phase was told to stop before.
    pub(super) fn done(&self) {
        if self.state.leave_work(Stage::Done) == Stage::Stopped {
            about_to_die();
        }
    }
}

/// The process is ended by the thread that heard the signal.
fn about_to_die() -> ! {
    loop {
        thread::park();
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
        if calls.stage == Stage::Stopped {
            drop(calls);
            about_to_die();
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
        assert_eq!(state.leave_work(Stage::Stopped), Stage::Stopped);
        let (send, receive) = mpsc::channel();
        thread::spawn(move || send.send(processes.run(&script("exit 0"), Output::Collect)));
        assert!(receive.recv_timeout(Duration::from_millis(300)).is_err());
        assert_eq!(state.lock().open, 0);
    }

    #[test]
    fn what_came_first_counts_the_signal_or_the_end_of_the_work() {
        let processes = || Stoppable { processes: OsProcesses::new(StreamTo::Inherit), state: Arc::default() };
        let done = processes();
        done.done();
        assert_eq!(done.state.leave_work(Stage::Stopped), Stage::Done);
        let stopped = processes();
        stopped.state.leave_work(Stage::Stopped);
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            stopped.done();
            send.send(())
        });
        assert!(receive.recv_timeout(Duration::from_millis(300)).is_err());
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
