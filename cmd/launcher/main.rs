//! `/cnb/lifecycle/launcher`, the program that starts every process of an app image.

use std::process::ExitCode;

use cnb_lifecycle::launch::{self, console::Console, environment};

#[expect(clippy::disallowed_methods, reason = "this is where the environment becomes an argument")]
fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let variables = environment::snapshot(std::env::vars_os().collect());
    let mut out = std::io::stdout();
    let mut console = Console::new(&mut out, variables.get("CNB_NO_COLOR"));
    let Err(failure) = launch::run(&args, &variables, &mut console);
    console.error(&failure);
    ExitCode::from(failure.exit_code())
}
