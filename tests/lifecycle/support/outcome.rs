//! What a program left: exit code, streams, and the folder it worked on, all shown when a check fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The end of a program.
#[must_use]
pub(crate) struct Outcome {
    /// The command line.
    pub(crate) command: String,
    /// Its exit code; 128 and more is a signal.
    pub(crate) exit: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    /// The layers folder, for the report of a failed check.
    pub(crate) layers: PathBuf,
}

impl Outcome {
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

    /// Checks that standard output lacks a text.
    #[track_caller]
    pub(crate) fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "not expected on standard output: {text:?}\n{}", self.report());
        self
    }

    /// Checks that standard error has a text.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected on standard error: {text:?}\n{}", self.report());
        self
    }

    /// Ends the checks.
    pub(crate) fn done(self) {
        drop(self);
    }

    /// All that a reader needs to see what went wrong.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("$ {}\nexit code {}\n", self.command, self.exit);
        let _ = writeln!(text, "--- standard output\n{}--- standard error\n{}--- layers", self.stdout, self.stderr);
        tree(&self.layers, 0, &mut text);
        text
    }
}

fn tree(folder: &Path, depth: usize, text: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        let _ = writeln!(text, "{}{}", "  ".repeat(depth), entry.file_name().unwrap_or_default().display());
        if entry.is_dir() && !entry.is_symlink() {
            tree(&entry, depth + 1, text);
        }
    }
}
