//! Becoming another program, and starting one.
//!
//! Everything that the launcher opens is closed on exec, so a process inherits what the container gave and no more.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::model::env::Environment;

/// Signals whose action stays as it is: two cannot have another one, SIGHUP and SIGINT are ignored for `nohup` and for
/// background jobs, and the rest are matters of the terminal. The reference keeps the same ones.
const KEPT: [Signal; 8] = [
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The last signal of Linux: behind those that have names come the real-time ones.
const LAST_SIGNAL: i32 = 64;

/// Gives all other signals their default actions, for this program and all that it starts: Rust's runtime ignores
/// SIGPIPE, and whoever started the launcher may have ignored more. The C library keeps two or three to itself.
pub fn reset_signals() {
    for signal in (1..=LAST_SIGNAL).filter(|signal| !KEPT.iter().any(|kept| *kept as i32 == *signal)) {
        #[expect(unsafe_code, reason = "the default action is no function, so there is none that could be unsound")]
        // SAFETY: no handler is installed. The call fails for signals that it may not touch, and changes nothing then.
        unsafe {
            nix::libc::signal(signal, nix::libc::SIG_DFL);
        }
    }
}

/// Becomes a program; comes back only with the reason why not.
pub fn exec(program: &Path, args: &[&OsStr], env: &Environment) -> Errno {
    fn try_exec(program: &Path, args: &[&OsStr], env: &Environment) -> Result<Infallible, Errno> {
        let args: Vec<CString> = args.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<_, _>>()?;
        nix::unistd::execve(&c_string(program.as_os_str().as_bytes())?, &args, &c_environment(env)?)
    }
    let Err(error) = try_exec(program, args, env);
    error
}

/// Starts a program that has no arguments. Each pair is a descriptor of this program, and what it is in the other.
///
/// # Errors
/// The system refuses.
pub fn spawn(program: &Path, env: &Environment, descriptors: &[(RawFd, RawFd)]) -> Result<Pid, Errno> {
    let program = c_string(program.as_os_str().as_bytes())?;
    let mut actions = PosixSpawnFileActions::init()?;
    for (here, there) in descriptors {
        actions.add_dup2(*here, *there)?;
    }
    let args = [&program];
    nix::spawn::posix_spawn(program.as_c_str(), &actions, &PosixSpawnAttr::init()?, &args, &c_environment(env)?)
}

fn c_environment(env: &Environment) -> Result<Vec<CString>, Errno> {
    env.iter().map(|(name, value)| c_string([name.as_bytes(), b"=", value.as_bytes()].concat())).collect()
}

/// A byte string for the system; one with a NUL byte is an invalid argument.
fn c_string(bytes: impl Into<Vec<u8>>) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::failure::{Failure, LaunchError};

    #[test]
    fn an_image_without_bash_is_told() {
        let error = exec(Path::new("/nowhere/bash"), &[OsStr::new("bash")], &Environment::default());
        let failure = Failure::from(LaunchError::BashExec(error));
        assert_eq!(failure.to_string(), "failed to launch: bash exec: no such file or directory");
        assert_eq!(failure.exit_code(), 82);
    }

    #[test]
    fn an_argument_with_a_nul_byte_is_refused() {
        let args = [OsStr::new("true"), OsStr::new("\0")];
        assert_eq!(exec(Path::new("/bin/true"), &args, &Environment::default()), Errno::EINVAL);
    }
}
