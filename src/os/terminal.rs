//! The terminal behind standard output.

use std::io::{self, IsTerminal as _};

/// Says whether standard output is a terminal.
pub fn is_stdout() -> bool {
    io::stdout().is_terminal()
}

/// How wide the terminal behind standard output is, in columns; `None` where there is none.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
