//! Programs that run beside a test and end with it, also when it panics.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is asked for.
const STEP: Duration = Duration::from_millis(20);

/// A program that is ended by its own process id when this is dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program whose streams go to the file `log`.
    #[track_caller]
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}; run acceptance/install-packages"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Waits until a condition holds, at most 30 seconds, and not when the program has ended.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended before {what}: {}\n{}", self.name, ended.unwrap(), self.log());
            assert!(start.elapsed() < Duration::from_secs(30), "{}: not {what} in time\n{}", self.name, self.log());
            sleep(STEP);
        }
    }

    /// Waits until something listens on a port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn until_listening(&mut self, port: u16) {
        self.until("listening", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    /// What the program wrote so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends the program: asks it to, and after ten seconds kills it.
    pub(crate) fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            sleep(STEP);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
