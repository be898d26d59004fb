//! What a program left: exit code and streams, shown when a check fails.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

/// The end of a program.
#[must_use]
pub(crate) struct Outcome {
    command: String,
    exit: i32,
    /// Standard output.
    pub(crate) stdout: String,
    stderr: String,
}

impl Outcome {
    /// Takes what a command line ended with; a signal counts as 128 and its number.
    pub(crate) fn new(command: String, output: &Output) -> Self {
        Self {
            command,
            exit: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert!(self.exit == code, "expected exit code {code}\n{}", self.report());
        self
    }

    /// Checks that standard output has a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "expected on standard output: {text:?}\n{}", self.report());
        self
    }

    /// Checks that no stream has a text.
    #[track_caller]
    pub(crate) fn hides(self, text: &str) -> Self {
        let found = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!found, "not expected: {text:?}\n{}", self.report());
        self
    }

    /// Checks that there is exactly one line that begins with `ERROR: `, and that it has all texts.
    #[track_caller]
    pub(crate) fn fails_with(self, texts: &[&str]) -> Self {
        // The launcher has no way to be told to leave colours out.
        let plain = self.stdout.replace("\x1b[31;1m", "").replace("\x1b[0m", "");
        let errors: Vec<&str> = plain.lines().filter(|line| line.starts_with("ERROR: ")).collect();
        assert!(errors.len() == 1, "expected one line of error\n{}", self.report());
        for text in texts {
            assert!(errors[0].contains(text), "expected in the error: {text:?}\n{}", self.report());
        }
        assert!(!self.stdout.contains("panicked") && !self.stderr.contains("panicked"), "{}", self.report());
        self
    }

    /// Ends the checks.
    pub(crate) fn done(self) {
        drop(self);
    }

    fn report(&self) -> String {
        format!(
            "$ {}\nexit code {}\n--- standard output\n{}--- standard error\n{}",
            self.command, self.exit, self.stdout, self.stderr
        )
    }
}
