//! `make demo`: a source folder becomes an image, and the build explains itself.
//!
//! It needs no registry, no daemon and no network: images are OCI layouts in a folder. It builds the sample app once phase
//! by phase, as a platform does, then again by the creator, starts the app from the image through the launcher, asks it
//! something, and shows where the time went.

mod app;
mod builder;
#[path = "../machine/mod.rs"]
mod machine;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use builder::Builder;
use machine::{Trouble, user};

/// Prints a line. A reader that went away is no reason to stop.
pub(crate) fn say(line: impl AsRef<str>) {
    let _ = writeln!(io::stdout(), "{}", line.as_ref());
}

/// Prints a heading.
pub(crate) fn heading(line: &str) {
    say(format!("\n\x1b[1m# {line}\x1b[0m"));
}

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble(text)) => {
            say(format!("\x1b[31;1mdemo: {text}\x1b[0m"));
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), Trouble> {
    let lifecycle = std::env::args_os().nth(1).ok_or_else(|| Trouble::new("usage: demo <folder of the lifecycle>"))?;
    let lifecycle =
        fs::canonicalize(&lifecycle).map_err(|error| Trouble::with("find", Path::new(&lifecycle), &error))?;
    let user = user::choose()?;
    // Below the temporary folder, because the user of the build must get there. By who starts the demo: nobody else may
    // remove it the next time.
    let starter = if user.we_are_root { 0 } else { user.uid };
    let dir = std::env::temp_dir().join(format!("cnb-demo-{starter}"));
    let builder = Builder::prepare(&dir, &lifecycle, user)?;

    heading(&format!("Phase by phase, as user {}, below {}", builder.user.name, dir.display()));
    builder.fresh_layers()?;
    builder.phase_by_phase()?;
    heading("Where the time went");
    builder.show_trace()?;

    heading("Again, by the creator: the source has not changed");
    builder.fresh_layers()?;
    builder.create()?;
    heading("Where the time went");
    builder.show_trace()?;

    heading("The app, started from the image through the launcher");
    app::run(&builder)?;
    say(format!("\nThe image is the OCI layout {}", builder.image_layout().display()));
    Ok(())
}
