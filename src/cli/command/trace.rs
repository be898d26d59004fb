//! `lifecycle trace`: shows what the files of telemetry tell.

use std::ffi::OsString;
use std::io::Write;

use crate::model::env::Environment;

/// Shows traces; returns the exit code.
pub(in crate::cli) fn run(_args: &[OsString], _env: &Environment, _out: &mut dyn Write, _err: &mut dyn Write) -> u8 {
    0
}
