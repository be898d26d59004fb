//! `make package` and `make image`: the release as an archive and as an image. No part of the release itself.

use std::io::{self, Write as _};
use std::process::ExitCode;

use cnb_lifecycle::{cli, release};

#[expect(clippy::disallowed_methods, reason = "the program's edge: environment and arguments enter here")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let env = std::env::vars_os().collect();
    match release::run(&args, &cli::lifecycle_info().version, &env, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "package: {error}");
            ExitCode::FAILURE
        }
    }
}
