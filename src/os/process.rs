//! Running programs of buildpacks and extensions: the real [`Processes`].
//!
//! A program gets `/dev/null` as standard input, exactly the environment it was given, the default disposition of
//! SIGPIPE (Rust ignores that signal, and ignoring survives `execve`) and an empty signal mask.
//!
//! Clauses: buildpack.md#phase-1-detection, buildpack.md#phase-3-build; telemetry R36; policy P38.

use std::collections::BTreeSet;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read as _};
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
use crate::effect::processes::{Capture, Command, Exit, Finished, Output, Processes, StartError, Stream};

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

/// Takes bytes of a pipe; false says that nobody wants more of it.
type Taker = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

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
    capture: Option<Arc<dyn Capture>>,
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
    fn start(&self, program: &Program, outputs: [BorrowedFd<'_>; 2]) -> std::io::Result<Pid> {
        let mut state = self.lock();
        if state.stopped {
            return Err(std::io::Error::other("the lifecycle was told to stop"));
        }
        let pid = program.start(outputs)?;
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
        Self { stream, running: Running::default(), held: None, capture: None }
    }

    /// Tells the path of each program that ended while others held its output for longer than it was waited for.
    pub fn telling_held_output(self, held: HeldOutput) -> Self {
        Self { held: Some(held), ..self }
    }

    /// Lets somebody hear what programs print, standard output and error apart, unless it is [`StreamTo::Inherit`]ed. The
    /// order of bytes is then kept within each of them, no more between them.
    pub fn captured_by(self, capture: Arc<dyn Capture>) -> Self {
        Self { capture: Some(capture), ..self }
    }

    /// The programs that run right now. The handle may be used from any thread.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    fn start(&self, command: &Command, outputs: [BorrowedFd<'_>; 2]) -> Result<Pid, StartError> {
        let program = Program::of(command)
            .map_err(|_| StartError(format!("fork/exec {}: invalid argument", command.program.display())))?;
        let mut tries = 1;
        loop {
            match self.running.start(&program, outputs) {
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
        let stdout = std::io::stdout();
        let pid = self.start(command, [stdout.as_fd(); 2])?;
        self.running.wait(pid).map_err(|error| start_error(command, &error.into()))
    }

    /// Runs a program with both streams going to `sink`, which somebody else may hear first.
    fn run_piped(&self, command: &Command, sink: Sink) -> Result<Exit, StartError> {
        let Some(capture) = &self.capture else {
            let take = move |bytes: &[u8]| {
                sink(bytes);
                true
            };
            return self.run_to(command, || Pipes::new([Arc::new(take) as Taker]));
        };
        let printed = capture.program(command.work);
        let apart = |stream| {
            let (printed, sink) = (Arc::clone(&printed), Arc::clone(&sink));
            Arc::new(move |bytes: &[u8]| printed.take(stream, bytes, &*sink)) as Taker
        };
        let exit = self.run_to(command, || Pipes::new([Stream::Stdout, Stream::Stderr].map(apart)));
        printed.end(&*sink);
        exit
    }

    /// Runs a program with its streams going to pipes. When it has ended, others that hold its output delay the return
    /// by [`HELD_OUTPUT_GRACE`] at most; what they print later still goes where it went, until nobody listens any more.
    fn run_to(&self, command: &Command, pipes: impl FnOnce() -> std::io::Result<Pipes>) -> Result<Exit, StartError> {
        let failed = |error: std::io::Error| start_error(command, &error);
        let Pipes { readers, writers } = pipes().map_err(failed)?;
        let pid = self.start(command, [writers[0].as_fd(), writers[writers.len() - 1].as_fd()])?;
        drop(writers);
        let taken = take(readers, pid);
        let exit = self.running.wait(pid);
        let is_held = match taken {
            Taken::All => false,
            Taken::UntilGrace(readers) => {
                drop(forward(readers));
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

/// The pipes for what a program prints: one for both of its streams, or one for each.
struct Pipes {
    readers: Vec<Source>,
    writers: Vec<PipeWriter>,
}

/// The end of a pipe that is read, and where its bytes go.
struct Source {
    reader: PipeReader,
    taker: Taker,
}

impl Pipes {
    fn new(takers: impl IntoIterator<Item = Taker>) -> std::io::Result<Self> {
        let mut pipes = Self { readers: Vec::new(), writers: Vec::new() };
        for taker in takers {
            let (reader, writer) = std::io::pipe()?;
            pipes.readers.push(Source { reader, taker });
            pipes.writers.push(writer);
        }
        Ok(pipes)
    }
}

/// How far a program's output was taken.
enum Taken {
    /// To its end.
    All,
    /// Others still held it when the program had ended a while ago.
    UntilGrace(Vec<Source>),
    /// Threads take it; the receiver disconnects at the end.
    By(Receiver<()>),
}

/// Takes the output of a program until its end, or until it has ended and [`HELD_OUTPUT_GRACE`] has passed. Where the
/// system cannot tell both (Linux before 5.3, some sandboxes), threads take the output.
fn take(mut sources: Vec<Source>, pid: Pid) -> Taken {
    let id = rustix::process::Pid::from_raw(pid.as_raw());
    let Some(program) = id.and_then(|id| rustix::process::pidfd_open(id, PidfdFlags::empty()).ok()) else {
        return Taken::By(forward(sources));
    };
    let mut buffer = vec![0; BUFFER];
    let mut end: Option<Instant> = None;
    while !sources.is_empty() {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Taken::UntilGrace(sources);
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        // A program that has ended would be ready each time.
        let program = end.is_none().then_some(&program);
        let outputs = sources.iter().map(|source| PollFd::new(&source.reader, PollFlags::IN));
        let mut ready: Vec<_> = outputs.chain(program.map(|program| PollFd::new(program, PollFlags::IN))).collect();
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Taken::By(forward(sources)),
        }
        let mut ready = ready.into_iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>().into_iter();
        sources.retain_mut(|source| !ready.next().unwrap_or(false) || source.pass_on(&mut buffer));
        // Also while there is output: who holds it may print for ever.
        if ready.next().unwrap_or(false) {
            end = Some(Instant::now() + HELD_OUTPUT_GRACE);
        }
    }
    Taken::All
}

impl Source {
    /// Passes on what is there of a program's output, or waits for some; says whether more may come.
    fn pass_on(&mut self, buffer: &mut [u8]) -> bool {
        match self.reader.read(buffer) {
            Ok(0) => false,
            Ok(count) => (self.taker)(&buffer[..count]),
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }

    /// Passes on all of the output, however long that lasts.
    fn read_all(mut self) {
        let mut buffer = vec![0; BUFFER];
        while self.pass_on(&mut buffer) {}
    }
}

/// Reads pipes to their ends, each in a thread of its own; the receiver disconnects at the end of all.
fn forward(sources: Vec<Source>) -> Receiver<()> {
    let (open, closed) = mpsc::channel::<()>();
    for source in sources {
        let open = open.clone();
        // Without a thread nobody takes the output, and who prints it learns so.
        let _ = std::thread::Builder::new().spawn(move || {
            let _open = open;
            source.read_all();
        });
    }
    closed
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
    use crate::effect::processes::Printed;
    use crate::model::env::Environment;
    use nix::sys::signal::SigSet;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::PathBuf;
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
                work: None,
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

    /// Keeps what it hears, and shows it with a mark.
    #[derive(Default)]
    struct Heard(Mutex<Vec<(Option<Stream>, Vec<u8>)>>);

    impl Heard {
        fn of(&self, stream: Stream) -> String {
            let heard = self.0.lock().unwrap();
            let bytes = heard.iter().filter(|(of, _)| *of == Some(stream)).flat_map(|(_, bytes)| bytes.clone());
            String::from_utf8(bytes.collect()).unwrap()
        }
    }

    struct Ears(Arc<Heard>);

    impl Capture for Ears {
        fn program(&self, _: Option<crate::effect::events::WorkId>) -> Arc<dyn Printed> {
            Arc::clone(&self.0) as _
        }
    }

    impl Printed for Heard {
        fn take(&self, stream: Stream, bytes: &[u8], show: &dyn Fn(&[u8])) -> bool {
            self.0.lock().unwrap().push((Some(stream), bytes.to_vec()));
            show(bytes);
            !bytes.starts_with(b"no more\n")
        }

        fn end(&self, show: &dyn Fn(&[u8])) {
            self.0.lock().unwrap().push((None, Vec::new()));
            show(b"end");
        }
    }

    #[test]
    fn r33_standard_output_and_error_are_heard_apart_and_shown_as_one() {
        let dir = Dir::new();
        let heard = Arc::new(Heard::default());
        let processes = OsProcesses::new(StreamTo::Inherit).captured_by(Arc::new(Ears(Arc::clone(&heard))));
        let command = dir.command("printf 'a\\rb\\377'; echo c >&2; sleep 0.2; echo d");
        let finished = processes.run(&command, Output::Collect).unwrap();
        assert_eq!(finished.output.len(), b"a\rb\xffc\nd\nend".len());
        assert!(finished.output.ends_with(b"d\nend"), "{:?}", finished.output);
        assert_eq!(heard.of(Stream::Stderr), "c\n");
        assert_eq!(heard.0.lock().unwrap().last().unwrap().0, None, "the end comes last");
    }

    #[test]
    fn r36_who_holds_either_output_is_waited_for_a_moment_and_heard_on() {
        for held in ["2>/dev/null", ">/dev/null"] {
            let dir = Dir::new();
            let heard = Arc::new(Heard::default());
            let told = Arc::new(Mutex::new(0));
            let count = Arc::clone(&told);
            let processes = OsProcesses::new(StreamTo::Writer(Arc::new(|_| {})))
                .captured_by(Arc::new(Ears(Arc::clone(&heard))))
                .telling_held_output(Box::new(move |_| *count.lock().unwrap() += 1));
            let started = Instant::now();
            let command = dir.command(&format!("(sleep 3; echo late; echo late >&2) {held} & echo soon"));
            processes.run(&command, Output::Stream).unwrap();
            assert!(started.elapsed() >= HELD_OUTPUT_GRACE, "{:?}", started.elapsed());
            assert_eq!((*told.lock().unwrap(), heard.of(Stream::Stdout).as_str()), (1, "soon\n"));
            while !heard.0.lock().unwrap().iter().any(|(_, bytes)| bytes == b"late\n") {
                assert!(started.elapsed() < Duration::from_secs(60));
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn r36_output_that_nobody_listens_to_any_more_is_let_go() {
        let dir = Dir::new();
        let heard = Arc::new(Heard::default());
        let processes = OsProcesses::new(StreamTo::Inherit).captured_by(Arc::new(Ears(Arc::clone(&heard))));
        let command = dir.command("echo no more; exec yes");
        assert_eq!(processes.run(&command, Output::Collect).unwrap().exit, Exit::Signal(Signal::SIGPIPE as i32));
        let of_program = |(stream, _): &&(Option<Stream>, Vec<u8>)| stream.is_some();
        assert_eq!(heard.0.lock().unwrap().iter().filter(of_program).count(), 1);
    }

    #[test]
    fn hears_of_ends_even_if_who_started_us_ignores_children() {
        holds_while_ignoring(Signal::SIGCHLD, "tells_the_signal_that_ended_it");
    }

    #[test]
    fn r17_programs_hear_signals_that_who_started_us_ignores() {
        holds_while_ignoring(Signal::SIGTERM, "passes_signals_on_and_starts_nothing_more");
    }

    /// Dispositions belong to the whole process, so another test runs again in one of its own.
    #[expect(unsafe_code, reason = "a child process must begin with another disposition of a signal")]
    fn holds_while_ignoring(ignored: Signal, test: &str) {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", &format!("os::process::tests::{test}")]);
        // SAFETY: the closure makes one system call, which may be made between fork and exec.
        unsafe { again.pre_exec(move || Ok(signal(ignored, SigHandler::SigIgn).map(drop)?)) };
        let output = String::from_utf8(again.output().unwrap().stdout).unwrap();
        assert!(output.contains("test result: ok. 1 passed"), "{output}");
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
