//! What the launcher says: warnings and the failure line, all on standard output as the reference does.

use std::ffi::OsStr;
use std::fmt::Display;

/// Where the launcher's own lines go.
pub struct Console<'a> {
    write: &'a mut dyn FnMut(&str),
    colour: bool,
}

impl<'a> Console<'a> {
    /// Gives whole lines to `write`: in colour, terminal or not, unless `CNB_NO_COLOR` (given as `no_color`) says no.
    pub fn new(write: &'a mut dyn FnMut(&str), no_color: Option<&OsStr>) -> Self {
        let no_color = no_color.and_then(OsStr::to_str).is_some_and(is_true);
        Self { write, colour: !no_color }
    }

    /// Writes a warning.
    pub fn warn(&mut self, text: &dyn Display) {
        self.line("33;1", "Warning: ", text);
    }

    /// Writes a failure.
    pub fn error(&mut self, text: &dyn Display) {
        self.line("31;1", "ERROR: ", text);
    }

    fn line(&mut self, style: &str, label: &str, text: &dyn Display) {
        let line =
            if self.colour { format!("\x1b[{style}m{label}\x1b[0m{text}\n") } else { format!("{label}{text}\n") };
        (self.write)(&line);
    }
}

/// The true half of Go's boolean syntax, which platforms use for switches.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(no_color: Option<&str>) -> String {
        let mut out = String::new();
        let mut write = |line: &str| out.push_str(line);
        let mut console = Console::new(&mut write, no_color.map(OsStr::new));
        console.warn(&"a");
        console.error(&"b");
        out
    }

    #[test]
    fn colours_the_label_unless_told_not_to() {
        let colours = "\x1b[33;1mWarning: \x1b[0ma\n\x1b[31;1mERROR: \x1b[0mb\n";
        for value in [None, Some(""), Some("0"), Some("yes")] {
            assert_eq!(written(value), colours, "{value:?}");
        }
        for value in ["1", "t", "true", "TRUE"] {
            assert_eq!(written(Some(value)), "Warning: a\nERROR: b\n", "{value}");
        }
    }
}
