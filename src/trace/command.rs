//! `lifecycle trace`: its arguments, the files it reads, and what it prints.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::export::Export;
use super::read::{Bad, Recording};
use super::screen::{Style, Terminal};
use super::tree::{Build, Forest};
use super::{compare, page, summary, waterfall};
use crate::os::error_text;

/// What the command is and takes.
pub const HELP: &str = "\
Show where the time of a build went, from its telemetry files.

Usage: lifecycle trace [options] <folder or file>...
       lifecycle trace --compare [--json] <old folder or file> <new folder or file>

A folder is searched for files that end in .jsonl or .json; <layers>/tracing has those of a build that ran with
telemetry. Spans of buildpacks are shown inside of the buildpack. Of several builds the last one is shown.

Options:
  --summary      show phases, slowest programs and what was saved, instead of every span
  --json         print everything as JSON
  --html <file>  write one page for a browser, which needs no network
  --compare      show what got slower or faster from one build to another, and what lost its cache
  --all          show every build, not the last one only
  --full         show every span, also many short ones
  --width <n>    draw for a terminal of n columns
  --help         print this
";

/// The command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments make no sense; the help says which do.
    #[error("{0}\n\n{HELP}")]
    Usage(String),
    /// There is nothing to show.
    #[error("{}", nothing(*.files, .bad))]
    NoSpans {
        /// How many files were read.
        files: usize,
        /// What could not be read.
        bad: Vec<Bad>,
    },
    /// The output could not be written.
    #[error("failed to print the trace: {0}")]
    Output(#[from] io::Error),
    /// The page could not be written.
    #[error("failed to write '{}': {}", .path.display(), error_text(.cause))]
    Page {
        /// Its file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

fn nothing(files: usize, bad: &[Bad]) -> String {
    let first = bad.first().map(|bad| format!("; {}", place(bad))).unwrap_or_default();
    match files {
        0 => "there is no .jsonl or .json file: was the build run with -telemetry or CNB_TELEMETRY=true?".to_owned(),
        1 => format!("there is no span in the file{first}"),
        many => format!("there is no span in the {many} files{first}"),
    }
}

fn place(bad: &Bad) -> String {
    match bad.line {
        0 => format!("{}: {}", bad.file.display(), bad.reason),
        line => format!("{}:{line}: {}", bad.file.display(), bad.reason),
    }
}

#[derive(Debug, Default)]
struct Options {
    summary: bool,
    json: bool,
    all: bool,
    full: bool,
    help: bool,
    compare: bool,
    html: Option<PathBuf>,
    width: Option<usize>,
    paths: Vec<PathBuf>,
}

/// Runs `lifecycle trace` with the arguments behind its name, and gives the exit code.
///
/// # Errors
/// The arguments make no sense, no span was found, or `out` does not take the output. Lines that cannot be read are
/// counted and named in the output.
pub fn run(arguments: &[OsString], out: &mut dyn Write, terminal: Terminal) -> Result<i32, Error> {
    let options = parse(arguments)?;
    if options.help {
        out.write_all(HELP.as_bytes())?;
        return Ok(0);
    }
    let out = &mut BufWriter::new(out);
    let terminal = Terminal { width: options.width.unwrap_or(terminal.width), ..terminal };
    if options.compare {
        return compared(&options, out, terminal);
    }
    let Found { forest, bad, bad_count } = find(&options.paths)?;
    let builds = chosen(&forest, options.all);
    if let Some(path) = &options.html {
        let places: Vec<String> = bad.iter().map(place).collect();
        write_page(path, |out| page::write(out, &forest, &builds, &places, bad_count))?;
        remarks(out, terminal, forest.builds.len() - builds.len(), &bad, bad_count)?;
        out.flush()?;
        return Ok(0);
    }
    if options.json {
        let export = Export::new(&forest, &builds, &bad, bad_count);
        return print_json(out, &export);
    }
    for (number, build) in builds.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        if options.summary {
            summary::print(out, terminal, &forest, build)?;
        } else {
            waterfall::draw(out, terminal, &forest, build, options.full)?;
        }
    }
    remarks(out, terminal, forest.builds.len() - builds.len(), &bad, bad_count)?;
    out.flush()?;
    Ok(0)
}

/// What files have.
struct Found {
    forest: Forest,
    bad: Vec<Bad>,
    bad_count: usize,
}

fn find(paths: &[PathBuf]) -> Result<Found, Error> {
    let mut recording = Recording::default();
    for path in paths.iter().flat_map(|path| files(path)) {
        recording.read(&path);
    }
    if recording.spans.is_empty() {
        return Err(Error::NoSpans { files: recording.files.len(), bad: recording.bad });
    }
    let (bad, bad_count) = (std::mem::take(&mut recording.bad), recording.bad_count);
    Ok(Found { forest: Forest::grow(recording), bad, bad_count })
}

fn print_json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<i32, Error> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(0)
}

/// Compares the last builds of two places.
fn compared(options: &Options, out: &mut dyn Write, terminal: Terminal) -> Result<i32, Error> {
    let [old, new] = [0, 1].map(|place| find(&options.paths[place..=place]));
    let (old, new) = (old?, new?);
    let last =
        |found: &Found| chosen(&found.forest, false).first().map(|build| compare::Side::of(&found.forest, build));
    let (Some(before), Some(after)) = (last(&old), last(&new)) else { return Ok(0) };
    let comparison = compare::Comparison::of(before, after);
    if options.json {
        return print_json(out, &comparison);
    }
    comparison.print(out, terminal)?;
    for found in [&old, &new] {
        remarks(out, terminal, 0, &found.bad, found.bad_count)?;
    }
    out.flush()?;
    Ok(0)
}

fn write_page(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let page = || {
        let mut out = BufWriter::new(File::create(path)?);
        write(&mut out)?;
        out.flush()
    };
    page().map_err(|cause| Error::Page { path: path.to_owned(), cause })
}

/// The last build, or all of them. A trace without the lifecycle counts only where there is no other.
fn chosen(forest: &Forest, all: bool) -> Vec<&Build> {
    if all {
        return forest.builds.iter().collect();
    }
    let last = forest.builds.iter().rfind(|build| build.is_lifecycle).or(forest.builds.last());
    last.into_iter().collect()
}

fn remarks(out: &mut dyn Write, terminal: Terminal, others: usize, bad: &[Bad], bad_count: usize) -> io::Result<()> {
    match others {
        0 => {}
        1 => writeln!(out, "{}", terminal.paint(Style::Dim, "  1 other build is in these files: --all shows it"))?,
        many => {
            writeln!(
                out,
                "{}",
                terminal.paint(Style::Dim, &format!("  {many} other builds are in these files: --all shows them"))
            )?;
        }
    }
    if bad_count > 0 {
        let lines = if bad_count == 1 { "1 line or span".to_owned() } else { format!("{bad_count} lines or spans") };
        writeln!(out, "\n{}", terminal.paint(Style::Yellow, &format!("{lines} could not be read:")))?;
        for bad in bad {
            writeln!(out, "  {}", terminal.clean(&place(bad)))?;
        }
        if bad_count > bad.len() {
            writeln!(out, "  and {} more", bad_count - bad.len())?;
        }
    }
    Ok(())
}

fn parse(arguments: &[OsString]) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    let mut only_paths = false;
    while let Some(argument) = arguments.next() {
        // Flags begin with one dash or two, as those of the phases.
        let flag =
            argument.to_str().filter(|text| !only_paths && text.len() > 1).and_then(|text| text.strip_prefix('-'));
        match flag.map(|flag| flag.strip_prefix('-').unwrap_or(flag)) {
            None => options.paths.push(argument.into()),
            Some("") => only_paths = true,
            Some("summary") => options.summary = true,
            Some("json") => options.json = true,
            Some("all") => options.all = true,
            Some("compare") => options.compare = true,
            Some("html") => options.html = Some(page_file(arguments.next().cloned())?),
            Some("full") => options.full = true,
            Some("h" | "help") => options.help = true,
            Some("width") => options.width = Some(columns(arguments.next().and_then(|value| value.to_str()))?),
            Some(flag) => match flag.split_once('=') {
                Some(("width", value)) => options.width = Some(columns(Some(value))?),
                Some(("html", value)) => options.html = Some(page_file(Some(value.into()))?),
                _ => return Err(Error::Usage(format!("unknown option '{}'", argument.display()))),
            },
        }
    }
    if options.paths.is_empty() && !options.help {
        return Err(Error::Usage("name a folder or file with telemetry".to_owned()));
    }
    if options.compare && options.paths.len() != 2 && !options.help {
        return Err(Error::Usage("--compare takes two folders or files, the old build and the new one".to_owned()));
    }
    let shapes = [options.summary, options.json, options.html.is_some()].iter().filter(|given| **given).count();
    if shapes > 1 || (options.compare && (options.summary || options.html.is_some() || options.all)) {
        let text = "one of --summary, --json and --html can be given; beside --compare only --json";
        return Err(Error::Usage(text.to_owned()));
    }
    Ok(options)
}

fn page_file(value: Option<OsString>) -> Result<PathBuf, Error> {
    let value = value.filter(|value| !value.is_empty());
    value.map(PathBuf::from).ok_or_else(|| Error::Usage("--html takes the file to write".to_owned()))
}

fn columns(value: Option<&str>) -> Result<usize, Error> {
    let width = value.and_then(|value| value.parse().ok()).filter(|width| (24..=10_000).contains(width));
    width.ok_or_else(|| Error::Usage("--width takes a number of columns from 24 to 10000".to_owned()))
}

/// The files that a path stands for, in a fixed order. `<layers>` stands for its `tracing`: the rest is the app's.
fn files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let tracing = path.join("tracing");
    let root = if tracing.is_dir() { &tracing } else { path };
    let is_ours = |path: &Path| path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json");
    walkdir::WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && is_ours(entry.path()))
        .map(walkdir::DirEntry::into_path)
        .collect()
}
