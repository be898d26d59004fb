//! Starting a program by `posix_spawn`: no copy of this process is made, as `fork` would, whose pages both sides then
//! fault in one by one. std has no way to it that also sets the signal mask.
//!
//! Clauses: buildpack.md#phase-1-detection, buildpack.md#phase-3-build.

use std::ffi::{CStr, CString, NulError, OsStr};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::posix_spawn_file_actions_addchdir_np;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::effect::processes::Command;

/// A command in the form that the system takes.
pub(super) struct Program {
    path: CString,
    dir: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Takes a command.
    ///
    /// # Errors
    /// A text has a NUL byte.
    pub(super) fn of(command: &Command) -> Result<Self, NulError> {
        let path = text(command.program.as_os_str())?;
        let given = command.args.iter().map(|arg| text(arg));
        let args = std::iter::once(Ok(path.clone())).chain(given).collect::<Result<_, _>>()?;
        let variables = command.env.iter();
        let env = variables.map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok(Self { dir: text(command.dir.as_os_str())?, path, args, env: env.collect::<Result<_, _>>()? })
    }

    /// Starts it with an empty signal mask, the default disposition of the signals that this process may ignore,
    /// `/dev/null` as standard input and `outputs` as standard output and error. A file that is no program is an error: no shell is tried.
    ///
    /// # Errors
    /// What the system says of the folder or of the program.
    pub(super) fn start(&self, outputs: [BorrowedFd<'_>; 2]) -> Result<Pid, Errno> {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
        attributes.set_sigmask(&SigSet::empty())?;
        // SIGTERM is heeded also where who started this process has it ignored: so must be what it starts (telemetry R17).
        let signals = [Signal::SIGPIPE, Signal::SIGTERM, Signal::SIGXFSZ];
        attributes.set_sigdefault(&signals.into_iter().collect())?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_open(0, "/dev/null", OFlag::O_RDONLY, Mode::empty())?;
        for (stream, output) in (1..).zip(outputs) {
            actions.add_dup2(output.as_raw_fd(), stream)?;
        }
        change_dir(&mut actions, &self.dir)?;
        posix_spawn(&*self.path, &actions, &attributes, &self.args, &self.env)
    }
}

/// The child changes to a folder: the one action that nix leaves out.
#[expect(unsafe_code, reason = "nix has no wrapper of this function")]
fn change_dir(actions: &mut PosixSpawnFileActions, dir: &CStr) -> Result<(), Errno> {
    // SAFETY: nix's type is the C object, initialised, and nothing else (`repr(transparent)`); the function copies the
    // text.
    match unsafe { posix_spawn_file_actions_addchdir_np((&raw mut *actions).cast(), dir.as_ptr()) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(error)),
    }
}

fn text(text: &OsStr) -> Result<CString, NulError> {
    CString::new(text.as_bytes())
}
