//! `/cnb/lifecycle/launcher`, the program that starts every process of an app image.

use std::alloc::System;
use std::process::ExitCode;

use cnb_lifecycle::launch::{self, console::Console, environment};
use cnb_lifecycle::os::arena::Arena;

// Enough for thousands of variables.
#[global_allocator]
static MEMORY: Arena<0x10_0000, System> = Arena::before(System);

#[expect(clippy::disallowed_methods, reason = "this is where the environment becomes an argument")]
fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let variables = environment::snapshot(std::env::vars_os().collect());
    // Past the buffers of the standard library, which cost 5 KB. If nobody reads, the exit code says it all.
    let mut write = |line: &str| {
        let _ = nix::unistd::write(std::io::stdout(), line.as_bytes());
    };
    let mut console = Console::new(&mut write, variables.get("CNB_NO_COLOR"));
    let Err(failure) = launch::run(&args, &variables, &mut console);
    console.error(&failure);
    ExitCode::from(failure.exit_code())
}
