//! `lifecycle ship`: sends what a phase could not send before it ended.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{delivery, exit};
use crate::model::env::Environment;
use crate::net::proxy::Proxies;
use crate::os::lookup::Lookup;
use crate::telemetry::otlp::settings::Settings;
use crate::telemetry::otlp::{Network, Signal};
use crate::telemetry::resend::{ResendError, Resent, resend};

const HELP: &str = "\
Send spans and log records that a phase could not deliver before it ended.

Usage: lifecycle ship [options] <spool>...

A phase that sends to a collector prints the path of what it could not deliver in time. The collector is the one that
the variables OTEL_EXPORTER_OTLP_* name now. A spool that is delivered is removed; what was delivered of one is not sent
again. Files of traces (.jsonl) are no spools: a Collector's receiver otlp_json_file reads those.

Options:
  --timeout <seconds>  give up when the collector has taken nothing for so long (default 30)
  --help               print this

Exit code: 0 when everything was delivered, 1 when something is left or lost, 2 for wrong arguments.
";

/// How long a collector may take nothing, unless somebody says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    help: bool,
    patience: Duration,
    spools: Vec<PathBuf>,
}

/// Sends spools; returns the exit code.
pub(in crate::cli) fn run(args: &[OsString], env: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let options = match parse(args) {
        Ok(options) => options,
        Err(text) => {
            let _ = write!(err, "{text}\n\n{HELP}");
            return exit::USAGE;
        }
    };
    if options.help {
        let _ = out.write_all(HELP.as_bytes());
        return exit::SUCCESS;
    }
    delivery::protect(env);
    let Settings { destinations, warnings } = Settings::parse(env, &Signal::ALL);
    for warning in warnings {
        let _ = writeln!(err, "Warning: {warning}");
    }
    let network = Network { proxies: Proxies::of(env), lookup: Lookup::default() };
    let mut code = exit::SUCCESS;
    for path in &options.spools {
        let complete = match resend(path, &destinations, &network, options.patience) {
            Ok(resent) => {
                for text in &resent.troubles {
                    let _ = writeln!(err, "Warning: {text}");
                }
                let _ = writeln!(out, "{}", told(path, &resent));
                resent.lost == 0 && resent.left == 0 && resent.damaged == 0 && resent.removed
            }
            Err(error) => {
                let _ = writeln!(err, "ERROR: failed to send a spool: {error}{}", remedy(&error));
                false
            }
        };
        if !complete {
            code = 1;
        }
    }
    code
}

/// What to do with a file that is no spool: files of traces are told by their names.
fn remedy(error: &ResendError) -> &'static str {
    match error {
        ResendError::NoSpool(path) if path.extension().is_some_and(|end| end == "jsonl") => {
            "; files of traces are not sent by this program: let a Collector read them with its receiver otlp_json_file, or \
             look at them with 'lifecycle trace'"
        }
        _ => "",
    }
}

/// One line for what became of a spool.
fn told(path: &Path, resent: &Resent) -> String {
    let mut text = format!("'{}': {} spans and log records delivered", path.display(), resent.sent);
    for (count, what) in
        [(resent.lost, "lost"), (resent.left, "still wait"), (resent.damaged, "bytes damaged, the file is kept")]
    {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if resent.torn {
        text.push_str("; the last request was cut short when its phase was killed");
    }
    text
}

fn parse(args: &[OsString]) -> Result<Options, String> {
    let mut options = Options { help: false, patience: PATIENCE, spools: Vec::new() };
    let mut args = args.iter();
    let mut only_paths = false;
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        // One dash or two, as everywhere in the lifecycle.
        let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).filter(|_| !only_paths);
        match flag {
            None => options.spools.push(arg.into()),
            Some("") => only_paths = true,
            Some("h" | "help") => options.help = true,
            Some("timeout") => options.patience = seconds(args.next().and_then(|value| value.to_str()))?,
            Some(flag) => match flag.split_once('=') {
                Some(("timeout", value)) => options.patience = seconds(Some(value))?,
                _ => return Err(format!("unknown option '{text}'")),
            },
        }
    }
    if options.spools.is_empty() && !options.help {
        return Err("name a spool".to_owned());
    }
    Ok(options)
}

fn seconds(value: Option<&str>) -> Result<Duration, String> {
    let seconds = value.and_then(|value| value.parse().ok()).filter(|seconds| (0..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "--timeout takes a number of seconds up to 86400".to_owned())
}
