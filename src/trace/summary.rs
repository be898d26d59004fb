//! A build in a few lines: its result, its phases, what took longest, and what was saved.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io::{self, Write};

use super::row::{State, notes, title};
use super::screen::{self, Style, Terminal, pad};
use super::tree::{Build, Forest, Node, Role};
use crate::telemetry::attributes::Key;

/// What adds up over a build.
#[derive(Debug, Default)]
pub struct Totals {
    /// Phases, the earliest first; the creator's own span is none of them.
    pub phases: Vec<usize>,
    /// Programs of buildpacks and extensions, the longest first.
    pub programs: Vec<usize>,
    /// Ids of buildpacks and extensions that had something to do.
    pub modules: BTreeSet<String>,
    /// Names of layers that were taken over.
    pub reused: BTreeSet<String>,
    /// Names of layers that were written.
    pub written: BTreeSet<String>,
    /// Bytes of layers that were written.
    pub written_bytes: u64,
    /// Things that the cache had.
    pub cache_hits: usize,
    /// Things that it had not.
    pub cache_misses: usize,
    /// Requests to registries and daemons.
    pub requests: usize,
    /// Requests that were tried again.
    pub retries: usize,
    /// Phases, programs and steps that failed, the innermost first.
    pub failed: Vec<usize>,
    /// Phases and programs that have not ended.
    pub running: Vec<usize>,
}

impl Totals {
    /// Adds a build up.
    pub fn of(forest: &Forest, build: &Build) -> Self {
        let mut totals = Self::default();
        for (index, _) in forest.walk(&build.roots) {
            totals.add(index, &forest.nodes[index]);
        }
        // The creator is a phase only where it ran none.
        if totals.phases.iter().any(|index| forest.nodes[*index].span.name != "create") {
            totals.phases.retain(|index| forest.nodes[*index].span.name != "create");
        }
        totals.programs.sort_by_key(|index| Reverse(forest.nodes[*index].duration()));
        totals.failed.reverse();
        totals
    }

    fn add(&mut self, index: usize, node: &Node) {
        let span = &node.span;
        match node.role {
            Role::Phase => self.phases.push(index),
            Role::Process => self.programs.push(index),
            // What a buildpack says of itself is shown, but proves nothing about the build.
            Role::Foreign => return,
            Role::Step => {}
        }
        match State::of(node) {
            State::Failed => self.failed.push(index),
            State::Running => self.running.push(index),
            State::Done | State::Skipped | State::Cancelled | State::Reused | State::Cached => {}
        }
        if State::of(node) != State::Skipped {
            self.modules.extend(node.module().map(|(id, _)| id.to_owned()));
        }
        match span.flag(Key::CacheHit) {
            Some(true) => self.cache_hits += 1,
            Some(false) => self.cache_misses += 1,
            None => {}
        }
        if let Some(layer) = span.text(Key::Layer) {
            if span.flag(Key::LayerReused) == Some(true) {
                self.reused.insert(layer.to_owned());
            } else if span.name == "write-layer" && !node.running {
                self.written.insert(layer.to_owned());
                let bytes = span.number(Key::Bytes).and_then(|bytes| u64::try_from(bytes).ok());
                self.written_bytes = self.written_bytes.saturating_add(bytes.unwrap_or(0));
            }
        }
        if span.text(Key::RequestMethod).is_some() {
            self.requests += 1;
            self.retries += span.events.iter().filter(|event| *event == "retry").count();
        }
    }

    /// The result of the build, in the words of `cicd.pipeline.task.run.result` where it has one.
    pub fn result(&self, forest: &Forest) -> &'static str {
        let phases = || self.phases.iter().map(|index| State::of(&forest.nodes[*index]));
        if !self.running.is_empty() {
            "not ended"
        } else if phases().any(|state| state == State::Cancelled) {
            "cancelled"
        } else if phases().any(|state| state == State::Failed) {
            "failed"
        } else {
            "success"
        }
    }

    /// What failed first, deepest in the tree: that is where to look.
    fn culprit<'a>(&self, forest: &'a Forest) -> Option<&'a Node> {
        let failed = || self.failed.iter().map(|index| &forest.nodes[*index]);
        failed().find(|node| node.role == Role::Process).or_else(|| failed().next())
    }
}

/// The first lines about a build: how it went, how long it took, and what was saved.
pub fn headline(terminal: Terminal, forest: &Forest, build: &Build) -> String {
    let totals = Totals::of(forest, build);
    let dot = terminal.either(" · ", ", ");
    let result = totals.result(forest);
    let style = match result {
        "success" => Style::Green,
        "failed" => Style::Red,
        _ => Style::Yellow,
    };
    let kind = if build.is_lifecycle { "Build" } else { "Trace" };
    let mut first = vec![terminal.paint(Style::Bold, &format!("{kind} {:.8}", format!("{:032x}", build.trace)))];
    if build.is_lifecycle {
        first.push(terminal.paint(style, result));
    }
    first.push(terminal.duration(build.end - build.start));
    first.extend(count(totals.phases.len(), "phase", "phases"));
    first.extend(count(totals.modules.len(), "buildpack", "buildpacks"));
    let mut second = Vec::new();
    second.extend(count(totals.reused.len(), "layer reused", "layers reused"));
    second.extend(
        count(totals.written.len(), "written", "written")
            .map(|text| format!("{text} ({})", screen::bytes(totals.written_bytes))),
    );
    second.extend(count(totals.cache_hits, "from cache", "from cache"));
    second.extend(count(totals.retries, "retry", "retries"));
    let between = between_phases(&totals, forest, build);
    if between > (build.end - build.start) / 20 {
        second.push(format!("{} between phases", terminal.duration(between)));
    }
    let mut lines = terminal.wrap(&first, dot, "");
    if !second.is_empty() {
        let second: Vec<String> = second.iter().map(|part| terminal.paint(Style::Dim, part)).collect();
        lines = format!("{lines}\n{}", terminal.wrap(&second, dot, ""));
    }
    if let Some(node) = totals.culprit(forest).filter(|_| result == "failed") {
        let phase = node.span.phase.as_deref().unwrap_or_default();
        let mut text = format!("failed in {}: {}", terminal.clean(phase), title(node, terminal));
        let notes = notes(node, terminal).join(dot);
        if !notes.is_empty() {
            text = format!("{text} ({notes})");
        }
        lines = format!("{lines}\n{}", terminal.paint(Style::Red, &terminal.fit(&text, terminal.width)));
    }
    lines
}

fn count(number: usize, one: &str, many: &str) -> Option<String> {
    (number > 0).then(|| format!("{number} {}", if number == 1 { one } else { many }))
}

/// Time in which no phase ran: the platform's own.
fn between_phases(totals: &Totals, forest: &Forest, build: &Build) -> u64 {
    if totals.phases.is_empty() {
        return 0;
    }
    let mut covered = 0;
    let mut until = build.start;
    // Phases come the earliest first.
    for index in &totals.phases {
        let span = &forest.nodes[*index].span;
        covered += span.end.saturating_sub(span.start.max(until));
        until = until.max(span.end);
    }
    (build.end - build.start).saturating_sub(covered)
}

/// Prints the summary of a build.
pub fn print(out: &mut dyn Write, terminal: Terminal, forest: &Forest, build: &Build) -> io::Result<()> {
    let totals = Totals::of(forest, build);
    let whole = (build.end - build.start).max(1);
    writeln!(out, "{}", headline(terminal, forest, build))?;
    let names = terminal.width.clamp(48, 110) - 30;
    let mut table = |heading: &str, nodes: &[usize], with_phase: bool| -> io::Result<()> {
        if nodes.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", terminal.paint(Style::Bold, heading))?;
        for index in nodes {
            let node = &forest.nodes[*index];
            let state = State::of(node);
            let phase = if with_phase { node.span.phase.as_deref().unwrap_or_default() } else { "" };
            let name = format!("{} {}", title(node, terminal), terminal.clean(phase));
            let name = if with_phase { name } else { name.to_lowercase() };
            let sign = terminal.paint(state.style(), state.sign(terminal));
            let percent = u128::from(node.duration()) * 100 / u128::from(whole);
            let line = format!(
                "{sign} {}{:>9}{percent:>5} %  {}",
                pad(&terminal.fit(name.trim(), names), names),
                terminal.duration(node.duration()),
                terminal.share(node.duration(), whole, 10)
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    };
    table("Phases", &totals.phases, false)?;
    table("Slowest programs", &totals.programs[..totals.programs.len().min(10)], true)?;
    let written = format!("{} ({})", totals.written.len(), screen::bytes(totals.written_bytes));
    let lookups = totals.cache_hits + totals.cache_misses;
    let rows = [
        ("layers reused", totals.reused.len(), totals.reused.len().to_string()),
        ("layers written", totals.written.len(), written),
        ("found in cache", lookups, format!("{} of {lookups}", totals.cache_hits)),
        ("requests", totals.requests, format!("{}, tried again {}", totals.requests, totals.retries)),
    ];
    let saved: Vec<(&str, String)> =
        rows.into_iter().filter(|(_, count, _)| *count > 0).map(|(name, _, text)| (name, text)).collect();
    if !saved.is_empty() {
        writeln!(out, "\n{}", terminal.paint(Style::Bold, "Work"))?;
        for (name, text) in saved {
            writeln!(out, "  {}{text}", pad(name, 20))?;
        }
    }
    Ok(())
}
