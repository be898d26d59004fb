//! `lifecycle trace`: shows what the files of telemetry tell.

use std::ffi::OsString;
use std::io::Write;

use crate::model::env::Environment;
use crate::os::terminal;
use crate::trace::{self, Terminal};

/// Columns when standard output is no terminal and nobody says how wide it is.
const COLUMNS: usize = 100;

/// Shows traces; returns the exit code.
pub(in crate::cli) fn run(args: &[OsString], env: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let text = |name: &str| env.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty());
    let is_terminal = terminal::is_stdout();
    let columns = terminal::columns().or_else(|| text("COLUMNS").and_then(|columns| columns.parse().ok()));
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(text).unwrap_or("C.UTF-8");
    let terminal = Terminal {
        width: columns.unwrap_or(COLUMNS),
        colour: is_terminal && text("NO_COLOR").is_none() && text("TERM") != Some("dumb"),
        unicode: locale.to_ascii_lowercase().replace('-', "").contains("utf8"),
    };
    match trace::run(args, out, terminal) {
        Ok(code) => u8::try_from(code).unwrap_or(1),
        Err(error) => {
            let _ = writeln!(err, "{error}");
            if matches!(error, trace::Error::Usage(_)) { super::super::exit::USAGE } else { 1 }
        }
    }
}
