//! Running programs of buildpacks and extensions: the real [`Processes`].
//!
//! A program gets `/dev/null` as standard input, exactly the environment it was given, the default disposition of
//! SIGPIPE (Rust ignores that signal, and ignoring survives `execve`) and an empty signal mask.
//!
//! Clauses: buildpack.md#phase-1-detection, buildpack.md#phase-3-build; telemetry R36; policy P38.

use std::collections::BTreeSet;
use std::io::{ErrorKind, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{AccessFlags, Pid, access};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, waitid};

use super::error_text;
use super::spawn::Program;
use crate::effect::processes::{Command, Exit, Finished, Output, Processes, StartError};

/// How long a program's end waits for others that still hold its output, such as a server it left in the background.
const HELD_OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// How much of a program's output is taken at once, in bytes.
const BUFFER: usize = 64 * 1024;

/// How often, and with what pause, a start is tried again while somebody still writes the program's file.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Keeps other processes of the same user from reading this one, and the kernel from writing its memory to a file.
/// Programs that it starts are as open as ever. Changing the user may undo this.
pub fn hide() {
    // Where the kernel cannot, all is as it was.
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Takes bytes as they come, from one thread for each program.
pub type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Where [`Output::Stream`] goes.
#[derive(Clone)]
pub enum StreamTo {
    /// Both streams are this program's own standard output: no pipe and no copy.
    Inherit,
    /// Both streams go as one through a pipe to a callback.
    Writer(Sink),
}

/// Hears of a program that ended while others still hold its output.
pub type HeldOutput = Box<dyn Fn(&Path) + Send + Sync>;

/// Runs programs on this system.
pub struct OsProcesses {
    stream: StreamTo,
    running: Running,
    held: Option<HeldOutput>,
}

/// The programs that run right now, for whoever passes signals on to them.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    pids: BTreeSet<Pid>,
    stopped: bool,
}

impl Running {
    /// Sends a signal to every program that runs; none is started afterwards.
    pub fn signal_all(&self, signal: Signal) {
        let mut state = self.lock();
        state.stopped = true;
        for pid in &state.pids {
            // It may have ended this very moment; until it is reaped its id is no one else's.
            let _ = kill(*pid, signal);
        }
    }

    /// How many programs run.
    pub fn count(&self) -> usize {
        self.lock().pids.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program while holding the lock, so that [`Running::signal_all`] misses none.
    fn start(&self, program: &Program, output: BorrowedFd<'_>) -> std::io::Result<Pid> {
        let mut state = self.lock();
        if state.stopped {
            return Err(std::io::Error::other("the lifecycle was told to stop"));
        }
        let pid = program.start(output)?;
        state.pids.insert(pid);
        Ok(pid)
    }

    /// Waits for a program's end and forgets it before its process id is free for others.
    fn wait(&self, pid: Pid) -> rustix::io::Result<Exit> {
        let id = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(rustix::io::Errno::CHILD)?;
        let wait = |options| retry_on_intr(|| waitid(WaitId::Pid(id), options));
        let ended = wait(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let mut state = self.lock();
        state.pids.remove(&pid);
        let status = ended.and_then(|_| wait(WaitIdOptions::EXITED))?.ok_or(rustix::io::Errno::CHILD)?;
        Ok(match status.terminating_signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Code(status.exit_status().unwrap_or_default()),
        })
    }
}

impl OsProcesses {
    /// Runs programs whose [`Output::Stream`] goes to `stream`.
    pub fn new(stream: StreamTo) -> Self {
        heed_children();
        Self { stream, running: Running::default(), held: None }
    }

    /// Tells the path of each program that ended while others held its output for longer than it was waited for.
    pub fn telling_held_output(self, held: HeldOutput) -> Self {
        Self { held: Some(held), ..self }
    }

    /// The programs that run right now. The handle may be used from any thread.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    fn start(&self, command: &Command, output: BorrowedFd<'_>) -> Result<Pid, StartError> {
        let program = Program::of(command)
            .map_err(|_| StartError(format!("fork/exec {}: invalid argument", command.program.display())))?;
        let mut tries = 1;
        loop {
            match self.running.start(&program, output) {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    std::thread::sleep(BUSY_PAUSE);
                }
                result => return result.map_err(|error| start_error(command, &error)),
            }
        }
    }

    /// Runs a program with both streams as this program's own standard output.
    fn run_inherited(&self, command: &Command) -> Result<Exit, StartError> {
        let pid = self.start(command, std::io::stdout().as_fd())?;
        self.running.wait(pid).map_err(|error| start_error(command, &error.into()))
    }

    /// Runs a program with both streams going to `sink`. When it has ended, others that hold its output delay the
    /// return by [`HELD_OUTPUT_GRACE`] at most; what they print later still goes to `sink`.
    fn run_piped(&self, command: &Command, sink: Sink) -> Result<Exit, StartError> {
        let failed = |error: std::io::Error| start_error(command, &error);
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let pid = self.start(command, writer.as_fd())?;
        drop(writer);
        let taken = take(reader, pid, &sink);
        let exit = self.running.wait(pid);
        let is_held = match taken {
            Taken::All => false,
            Taken::UntilGrace(reader) => {
                // Without a thread, what comes later has nobody to take it.
                let _ = forward(reader, sink);
                true
            }
            Taken::By(closed) => closed.recv_timeout(HELD_OUTPUT_GRACE) == Err(RecvTimeoutError::Timeout),
        };
        if is_held && let Some(held) = &self.held {
            held(&command.program);
        }
        exit.map_err(|error| failed(error.into()))
    }
}

impl Processes for OsProcesses {
    fn run(&self, command: &Command, output: Output) -> Result<Finished, StartError> {
        match (output, &self.stream) {
            (Output::Stream, StreamTo::Inherit) => {
                self.run_inherited(command).map(|exit| Finished { exit, output: Vec::new() })
            }
            (Output::Stream, StreamTo::Writer(sink)) => {
                self.run_piped(command, Arc::clone(sink)).map(|exit| Finished { exit, output: Vec::new() })
            }
            (Output::Collect, _) => {
                let collected = Arc::new(Mutex::new(Some(Vec::new())));
                let store = Arc::clone(&collected);
                let lock =
                    |output: &Mutex<Option<Vec<u8>>>| output.lock().unwrap_or_else(PoisonError::into_inner).take();
                let exit = self.run_piped(
                    command,
                    Arc::new(move |bytes| {
                        // Nothing is stored once the output was taken: a program left behind may print for ever.
                        if let Some(output) = &mut *store.lock().unwrap_or_else(PoisonError::into_inner) {
                            output.extend_from_slice(bytes);
                        }
                    }),
                )?;
                Ok(Finished { exit, output: lock(&collected).unwrap_or_default() })
            }
        }
    }
}

/// How far a program's output was taken.
enum Taken {
    /// To its end.
    All,
    /// Others still held it when the program had ended a while ago.
    UntilGrace(PipeReader),
    /// A thread takes it; the receiver disconnects at the end.
    By(Receiver<()>),
}

/// Takes the output of a program until its end, or until it has ended and [`HELD_OUTPUT_GRACE`] has passed. Where the
/// system cannot tell both (Linux before 5.3, some sandboxes), a thread takes the output.
fn take(mut reader: PipeReader, pid: Pid, sink: &Sink) -> Taken {
    let id = rustix::process::Pid::from_raw(pid.as_raw());
    let Some(program) = id.and_then(|id| rustix::process::pidfd_open(id, PidfdFlags::empty()).ok()) else {
        if let Ok(closed) = reader.try_clone().and_then(|reader| forward(reader, Arc::clone(sink))) {
            return Taken::By(closed);
        }
        read_all(reader, sink);
        return Taken::All;
    };
    let mut buffer = vec![0; BUFFER];
    let mut end: Option<Instant> = None;
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Taken::UntilGrace(reader);
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut ready = [PollFd::new(&reader, PollFlags::IN), PollFd::new(&program, PollFlags::IN)];
        // A program that has ended would be ready each time.
        let waited_for = if end.is_some() { 1 } else { 2 };
        match poll(&mut ready[..waited_for], timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                read_all(reader, sink);
                return Taken::All;
            }
        }
        let [output, program] = ready.map(|fd| !fd.revents().is_empty());
        // Also while there is output: who holds it may print for ever.
        if program && end.is_none() {
            end = Some(Instant::now() + HELD_OUTPUT_GRACE);
        }
        if output && !pass_on(&mut reader, &mut buffer, sink) {
            return Taken::All;
        }
    }
}

/// Takes all of the output, however long that lasts.
fn read_all(mut reader: PipeReader, sink: &Sink) {
    let mut buffer = vec![0; BUFFER];
    while pass_on(&mut reader, &mut buffer, sink) {}
}

/// Passes on what is there of a program's output, or waits for some; says whether more may come.
fn pass_on(reader: &mut PipeReader, buffer: &mut [u8], sink: &Sink) -> bool {
    match reader.read(buffer) {
        Ok(0) => false,
        Ok(count) => {
            sink(&buffer[..count]);
            true
        }
        Err(error) => error.kind() == ErrorKind::Interrupted,
    }
}

/// Reads a pipe to its end in a thread of its own; the receiver disconnects at the end.
fn forward(reader: PipeReader, sink: Sink) -> std::io::Result<Receiver<()>> {
    let (open, closed) = mpsc::channel::<()>();
    std::thread::Builder::new().spawn(move || {
        let _open = open;
        read_all(reader, &sink);
    })?;
    Ok(closed)
}

/// Brings back the default for SIGCHLD: who started the lifecycle may ignore the signal, which survives `execve`, and then
/// the system would forget how programs ended.
#[expect(
    unsafe_code,
    reason = "nix marks every change of a signal's disposition as unsafe, as handlers may be unsound"
)]
fn heed_children() {
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
}

/// The reference's words for a program that could not be started; the folder is the first suspect.
fn start_error(command: &Command, error: &std::io::Error) -> StartError {
    let dir = &command.dir;
    if let Err(error) = enter(dir) {
        return StartError(format!("chdir {}: {}", dir.display(), error_text(&error)));
    }
    let text = format!("fork/exec {}: {}", command.program.display(), error_text(error));
    let longest = command.env.iter().max_by_key(|(_, value)| value.len());
    StartError(match longest {
        Some((name, value)) if error.raw_os_error() == Some(Errno::E2BIG as i32) => {
            format!("{text}: the longest variable is {} with {} bytes", name.display(), value.len())
        }
        _ => text,
    })
}

/// Says whether a folder could be a working directory.
fn enter(dir: &Path) -> std::io::Result<()> {
    if std::fs::metadata(dir)?.is_dir() { Ok(access(dir, AccessFlags::X_OK)?) } else { Err(Errno::ENOTDIR.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::env::Environment;
    use nix::sys::signal::SigSet;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::PathBuf;
    use std::process::Stdio;
    use tempfile::TempDir;

    struct Dir(TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn program(&self, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().join("program");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn command(&self, script: &str) -> Command {
            Command {
                program: self.program(&format!("#!/bin/sh\n{script}\n"), 0o755),
                args: vec![],
                dir: self.0.path().to_owned(),
                env: [("PATH", "/usr/bin:/bin")].into_iter().collect(),
            }
        }
    }

    fn collect(command: &Command) -> Finished {
        OsProcesses::new(StreamTo::Inherit).run(command, Output::Collect).unwrap()
    }

    fn text(finished: &Finished) -> String {
        String::from_utf8_lossy(&finished.output).into_owned()
    }

    #[test]
    fn the_variable_that_is_too_long_is_named() {
        let dir = Dir::new();
        let mut command = dir.command("exit 0");
        command.env.set("LONG", "x".repeat(3_000_000));
        let error = OsProcesses::new(StreamTo::Inherit).run(&command, Output::Collect).unwrap_err();
        assert!(
            error.0.ends_with("argument list too long: the longest variable is LONG with 3000000 bytes"),
            "{error}"
        );
    }

    #[test]
    fn gives_exactly_the_environment_arguments_and_folder() {
        let dir = Dir::new();
        let mut command = dir.command("/usr/bin/env; echo \"$1|$2\"; pwd; cat");
        command.args = vec!["a b".into(), "".into()];
        command.env = Environment::default();
        command.env.set("ONLY", "this = one");
        let output = text(&collect(&command));
        assert!(output.contains("ONLY=this = one\n"), "{output}");
        assert!(output.contains("a b|\n"), "{output}");
        assert!(output.ends_with(&format!("{}\n", dir.0.path().canonicalize().unwrap().display())), "{output}");
        assert!(!output.contains("CARGO"), "{output}");
    }

    #[test]
    fn collects_both_streams_in_order() {
        let dir = Dir::new();
        let finished = collect(&dir.command("echo one; echo two >&2; echo three; exit 7"));
        assert_eq!(text(&finished), "one\ntwo\nthree\n");
        assert_eq!(finished.exit, Exit::Code(7));
    }

    #[test]
    fn streams_to_the_writer() {
        let dir = Dir::new();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let store = Arc::clone(&heard);
        let sink: Sink = Arc::new(move |bytes| store.lock().unwrap().extend_from_slice(bytes));
        let processes = OsProcesses::new(StreamTo::Writer(sink));
        let finished = processes.run(&dir.command("echo out; echo err >&2"), Output::Stream).unwrap();
        assert_eq!(finished, Finished { exit: Exit::Code(0), output: vec![] });
        assert_eq!(*heard.lock().unwrap(), b"out\nerr\n");
    }

    #[test]
    fn tells_the_signal_that_ended_it() {
        let dir = Dir::new();
        assert_eq!(collect(&dir.command("kill -KILL $$")).exit, Exit::Signal(9));
    }

    #[test]
    fn a_broken_pipe_ends_a_program_as_everywhere_else() {
        let dir = Dir::new();
        assert_eq!(collect(&dir.command("kill -PIPE $$; exit 0")).exit, Exit::Signal(13));
    }

    #[test]
    fn blocked_signals_stay_ours() {
        let dir = Dir::new();
        let command = dir.command("kill -TERM $$; exit 0");
        // A thread of its own, because the mask would stay with the test runner's.
        let exit = std::thread::spawn(move || {
            SigSet::all().thread_set_mask().unwrap();
            collect(&command).exit
        });
        assert_eq!(exit.join().unwrap(), Exit::Signal(15));
    }

    #[test]
    fn says_why_it_could_not_start() {
        let dir = Dir::new();
        let mut command = dir.command("exit 0");
        let path = command.program.display().to_string();
        let error = |command: &Command| {
            OsProcesses::new(StreamTo::Inherit).run(command, Output::Stream).unwrap_err().to_string()
        };

        dir.program("#!/bin/sh\n", 0o644);
        assert_eq!(error(&command), format!("fork/exec {path}: permission denied"));
        dir.program("echo no interpreter is named\n", 0o755);
        assert_eq!(error(&command), format!("fork/exec {path}: exec format error"));
        dir.program("#!/no/such/interpreter\n", 0o755);
        assert_eq!(error(&command), format!("fork/exec {path}: no such file or directory"));

        command.dir = dir.0.path().join("missing");
        assert_eq!(error(&command), format!("chdir {}: no such file or directory", command.dir.display()));
        command.dir = command.program.clone();
        assert_eq!(error(&command), format!("chdir {path}: not a directory"));

        let mut command = dir.command("exit 0");
        command.env.set("X", "a\0b");
        assert_eq!(error(&command), format!("fork/exec {path}: invalid argument"));
    }

    #[test]
    fn a_program_left_behind_delays_the_end_by_two_seconds_at_most() {
        let dir = Dir::new();
        let command = dir.command("sleep 20 & echo $!");
        let told = Arc::new(Mutex::new(Vec::new()));
        let store = Arc::clone(&told);
        let processes = OsProcesses::new(StreamTo::Inherit)
            .telling_held_output(Box::new(move |program| store.lock().unwrap().push(program.to_owned())));
        let started = Instant::now();
        let finished = processes.run(&command, Output::Collect).unwrap();
        assert_eq!(*told.lock().unwrap(), [command.program]);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_eq!(finished.exit, Exit::Code(0));
        let left: i32 = text(&finished).trim().parse().unwrap();
        kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_program_left_behind_that_prints_for_ever_does_not_either() {
        let dir = Dir::new();
        let command = dir.command("yes & echo $! > pid");
        let processes = OsProcesses::new(StreamTo::Writer(Arc::new(|_| {})));
        let started = Instant::now();
        let finished = processes.run(&command, Output::Stream).unwrap();
        let left: i32 = std::fs::read_to_string(dir.0.path().join("pid")).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
        assert_eq!(finished.exit, Exit::Code(0));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }

    #[test]
    #[expect(unsafe_code, reason = "a child process must begin with another disposition of a signal")]
    fn hears_of_ends_even_if_who_started_us_ignores_children() {
        // Dispositions belong to the whole process, so another test runs again in one of its own.
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "os::process::tests::tells_the_signal_that_ended_it"]);
        again.stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure makes one system call, which may be made between fork and exec.
        unsafe { again.pre_exec(|| Ok(signal(Signal::SIGCHLD, SigHandler::SigIgn).map(drop)?)) };
        assert!(again.status().unwrap().success());
    }

    #[test]
    fn passes_signals_on_and_starts_nothing_more() {
        let dir = Dir::new();
        let command = dir.command("exec sleep 20");
        let processes = OsProcesses::new(StreamTo::Inherit);
        let running = processes.running();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| processes.run(&command, Output::Collect));
            while running.count() == 0 {
                std::thread::yield_now();
            }
            running.signal_all(Signal::SIGTERM);
            assert_eq!(first.join().unwrap().unwrap().exit, Exit::Signal(15));
        });
        assert_eq!(running.count(), 0);
        assert!(processes.run(&command, Output::Stream).unwrap_err().0.contains("told to stop"));
    }
}
