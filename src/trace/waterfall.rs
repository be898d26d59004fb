//! A build as a waterfall: phases as sections, a line for each span, and beside it when it ran.
//!
//! ```text
//!   BUILD                                    9.80 s      ██████████████
//!     samples/rust 0.1.0                     9.61 s      █████████████▊
//!       cargo build                          9.02 s       ████████████▉
//! ```

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::row::{State, notes, title};
use super::screen::{Style, Terminal, width};
use super::summary;
use super::tree::{Build, Forest, Node, Role};

/// How many siblings are shown before the short ones are folded.
const UNFOLDED: usize = 12;

/// Draws one build. Many small steps are folded, unless it is to be `full`.
pub fn draw(out: &mut dyn Write, terminal: Terminal, forest: &Forest, build: &Build, full: bool) -> io::Result<()> {
    let canvas = Canvas::new(terminal, build);
    writeln!(out, "{}", summary::headline(terminal, forest, build))?;
    let mut states = BTreeSet::new();
    let mut beside = false;
    for line in lines(forest, build, full) {
        match line {
            Line::Span(index, depth) => {
                let node = &forest.nodes[index];
                if node.role == Role::Phase || depth == 0 {
                    writeln!(out)?;
                }
                states.insert(State::of(node).meaning());
                beside |= !node.critical;
                writeln!(out, "{}", canvas.row(node, depth))?;
            }
            Line::Folded { depth, count, nanoseconds } => {
                let text = format!("{count} more, {} together", terminal.duration(nanoseconds));
                writeln!(out, "{}", terminal.paint(Style::Dim, &canvas.aside(&text, depth)))?;
            }
        }
    }
    writeln!(out)?;
    writeln!(out, "{}", canvas.legend(&states, beside))
}

/// One line of the waterfall.
enum Line {
    /// About a node, at a depth.
    Span(usize, usize),
    /// In place of several.
    Folded { depth: usize, count: usize, nanoseconds: u64 },
}

/// The lines of a build, in order. Without recursion, like all that follows foreign trees.
fn lines(forest: &Forest, build: &Build, full: bool) -> Vec<Line> {
    let mut todo: Vec<Line> = Vec::new();
    fold(forest, tops(forest, build), 0, full, &mut todo);
    let mut lines = Vec::new();
    while let Some(line) = todo.pop() {
        if let Line::Span(index, depth) = line {
            fold(forest, &forest.nodes[index].children, depth + 1, full, &mut todo);
        }
        lines.push(line);
    }
    lines
}

/// What is at the left: the phases, also those of a creator, whose own span would only repeat the headline.
fn tops<'a>(forest: &'a Forest, build: &'a Build) -> &'a [usize] {
    match build.roots.as_slice() {
        [root] => {
            let node = &forest.nodes[*root];
            let has_phases = node.children.iter().any(|child| forest.nodes[*child].role == Role::Phase);
            if node.role == Role::Phase && has_phases { &node.children } else { &build.roots }
        }
        roots => roots,
    }
}

/// Puts siblings on the stack, the first on top. Of many, only the longest and those that matter are shown.
fn fold(forest: &Forest, siblings: &[usize], depth: usize, full: bool, stack: &mut Vec<Line>) {
    let mut shown: BTreeSet<usize> = siblings.iter().copied().collect();
    if !full && siblings.len() > UNFOLDED {
        let mut by_length = siblings.to_vec();
        by_length.sort_by_key(|index| std::cmp::Reverse(forest.nodes[*index].duration()));
        let longest: BTreeSet<usize> = by_length[..UNFOLDED - 2].iter().copied().collect();
        shown.retain(|index| longest.contains(index) || matters(&forest.nodes[*index]));
    }
    let folded: Vec<usize> = siblings.iter().copied().filter(|index| !shown.contains(index)).collect();
    if !folded.is_empty() {
        let nanoseconds = folded.iter().map(|index| forest.nodes[*index].duration()).fold(0, u64::saturating_add);
        stack.push(Line::Folded { depth, count: folded.len(), nanoseconds });
    }
    stack.extend(siblings.iter().rev().filter(|index| shown.contains(index)).map(|index| Line::Span(*index, depth)));
}

fn matters(node: &Node) -> bool {
    matches!(node.role, Role::Phase | Role::Process) || matches!(State::of(node), State::Failed | State::Running)
}

/// The columns of a waterfall: titles, durations, bars.
struct Canvas {
    terminal: Terminal,
    left: usize,
    bars: usize,
    start: u64,
    length: u64,
}

/// The columns of a duration.
const DURATION: usize = 8;

impl Canvas {
    fn new(terminal: Terminal, build: &Build) -> Self {
        let usable = terminal.width.max(24) - 1;
        let bars = (usable * 2 / 5).min(usable.saturating_sub(DURATION + 4 + 20));
        let left = usable - bars - DURATION - 4;
        Self { terminal, left, bars, start: build.start, length: (build.end - build.start).max(1) }
    }

    fn row(&self, node: &Node, depth: usize) -> String {
        let state = State::of(node);
        let indent = self.indent(depth);
        let sign = self.terminal.paint(state.style(), state.sign(self.terminal));
        let room = self.left.saturating_sub(indent + 2);
        let text = self.terminal.fit(&title(node, self.terminal), room);
        let heading = match (node.role, state) {
            (_, State::Failed) => Style::Red,
            (_, State::Skipped) => Style::Dim,
            (Role::Phase, _) => Style::Bold,
            _ => Style::Plain,
        };
        // Half a note helps nobody: the last ones go as a whole.
        let dot = self.terminal.either(" · ", ", ");
        let mut notes = notes(node, self.terminal);
        while width(&notes.join(dot)) > room.saturating_sub(width(&text) + 2) {
            notes.pop();
        }
        let notes = notes.join(dot);
        let gap = room.saturating_sub(width(&text) + width(&notes));
        let took = format!("{}{}", if node.running { ">" } else { "" }, self.terminal.duration(node.duration()));
        let took = format!("{}{took}", " ".repeat(DURATION.saturating_sub(width(&took))));
        format!(
            "{}{sign} {}{}{}  {}  {}",
            " ".repeat(indent),
            self.terminal.paint(heading, &text),
            " ".repeat(gap),
            self.terminal.paint(Style::Dim, &notes),
            self.terminal.paint(if node.role == Role::Phase { Style::Bold } else { Style::Plain }, &took),
            self.bar(node, state)
        )
        .trim_end()
        .to_owned()
    }

    fn aside(&self, text: &str, depth: usize) -> String {
        let indent = self.indent(depth);
        format!(
            "{}{} {}",
            " ".repeat(indent),
            self.terminal.either("…", "~"),
            self.terminal.fit(text, self.left - indent - 2)
        )
    }

    /// Deep nesting must leave room for titles.
    fn indent(&self, depth: usize) -> usize {
        (depth * 2).min(self.left / 3)
    }

    /// The bar: from the column in which the span began, with eighths of a column at its end.
    fn bar(&self, node: &Node, state: State) -> String {
        let eighths = self.bars * 8;
        let at = |time: u64| {
            let scaled = u128::from(time.saturating_sub(self.start)) * eighths as u128 / u128::from(self.length);
            usize::try_from(scaled).unwrap_or(eighths).min(eighths)
        };
        let first = (at(node.span.start) / 8).min(self.bars.saturating_sub(1));
        let length = at(node.span.end).saturating_sub(first * 8).max(1);
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let bar = match (self.terminal.unicode, node.critical) {
            (true, true) => format!("{}{}", "█".repeat(length / 8), parts[length % 8]),
            (true, false) => "░".repeat(length.div_ceil(8)),
            (false, true) => "#".repeat(length.div_ceil(8)),
            (false, false) => ".".repeat(length.div_ceil(8)),
        };
        let style = match state {
            State::Done if node.critical => Style::Cyan,
            State::Done => Style::Blue,
            other => other.style(),
        };
        format!("{}{}", " ".repeat(first), self.terminal.paint(style, &bar))
    }

    /// What the signs and bars above mean: only those that are there.
    fn legend(&self, states: &BTreeSet<&str>, beside: bool) -> String {
        let mut parts = Vec::new();
        if beside {
            parts.push(format!(
                "{} what the build waited for",
                self.terminal.paint(Style::Cyan, self.terminal.either("█", "#"))
            ));
            parts.push(format!("{} beside it", self.terminal.paint(Style::Blue, self.terminal.either("░", "."))));
        }
        for state in State::WITH_SIGN.iter().filter(|state| states.contains(state.meaning())) {
            parts.push(format!(
                "{} {}",
                self.terminal.paint(state.style(), state.sign(self.terminal)),
                state.meaning()
            ));
        }
        self.terminal.wrap(&parts, "   ", "  ")
    }
}
