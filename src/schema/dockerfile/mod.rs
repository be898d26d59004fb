//! Dockerfiles: from lines to instructions. Texts of errors are docker's, behind the line that they are about.
//!
//! This finds directives, comments, continued lines and the bodies of heredocs; `split` takes a line apart, `command`
//! reads the arguments of each instruction, `flags` checks its flags, `heredoc` finds the words that start heredocs.
//!
//! Clause: image_extension.md#dockerfile-requirements; catalogue extend-launch-package, sections A4 and A12.

mod command;
mod flags;
mod heredoc;
mod split;
mod suggestion;

use super::Error;
use crate::model::dockerfile::{Command, Dockerfile, Heredoc, Instruction};

/// Reads a Dockerfile.
///
/// # Errors
/// There is no instruction, one is unknown or wrong, a heredoc has no end, or another instruction than `ARG` stands in
/// front of the first `FROM`.
pub fn parse(text: &str) -> Result<Dockerfile, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { rest: text.split_inclusive('\n'), number: 0 };
    let mut directives = Directives { escape: '\\', seen: Vec::new(), over: false };
    let mut instructions = Vec::new();
    let mut in_stage = false;
    while let Some(raw) = lines.next() {
        let line = lines.number;
        let at = |text: String| Error(format!("dockerfile parse error on line {line}: {text}"));
        let first = without_end(raw).trim_start();
        directives.read(first).map_err(at)?;
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let text = lines.joined(first, directives.escape);
        let mut instruction = instruction(&text, directives.escape, line).map_err(at)?;
        for heredoc in &mut instruction.heredocs {
            heredoc.body = lines.body(heredoc).ok_or_else(|| at("unterminated heredoc".to_owned()))?;
        }
        in_stage |= matches!(instruction.command, Command::From { .. });
        if !in_stage && !matches!(instruction.command, Command::Arg(_)) {
            return Err(at("no build stage in current context".to_owned()));
        }
        instructions.push(instruction);
    }
    if instructions.is_empty() {
        return Err(Error("file with no instructions".to_owned()));
    }
    Ok(Dockerfile { escape: directives.escape, instructions })
}

/// Reads an instruction; the bodies of its heredocs are still to come.
fn instruction(text: &str, escape: char, line: usize) -> Result<Instruction, String> {
    let parts = split::instruction(text, escape);
    let (command, flags) = command::parse(&parts, escape)?;
    let heredocs = if heredoc::may_be_in(&parts, escape) { heredoc::in_line(text) } else { Vec::new() };
    Ok(Instruction { line, text: text.to_owned(), flags, heredocs, command })
}

/// The lines of a file, each with its end.
struct Lines<'t> {
    rest: std::str::SplitInclusive<'t, char>,
    /// How many were read: the number of the current one.
    number: usize,
}

impl<'t> Lines<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let line = self.rest.next()?;
        self.number += 1;
        Some(line)
    }

    /// A line with those that continue it; comments and empty lines between them are left out.
    fn joined(&mut self, first: &str, escape: char) -> String {
        let mut joined = String::new();
        let mut part = first;
        while let Some(continued) = continued(part, escape) {
            joined.push_str(continued);
            let is_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
            let next = loop {
                match self.next() {
                    Some(line) if is_text(line) => break line,
                    Some(_) => {}
                    None => return joined,
                }
            };
            part = without_end(next);
        }
        joined.push_str(part);
        joined
    }

    /// The lines of a heredoc; `None` when its end is missing.
    fn body(&mut self, heredoc: &Heredoc) -> Option<String> {
        let mut body = String::new();
        while let Some(raw) = self.next() {
            let line = without_end(raw);
            let line = if heredoc.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == heredoc.name {
                return Some(body);
            }
            body.push_str(raw);
        }
        None
    }
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// The text of a line that goes on in the next one: it ends in one escape character, and blanks perhaps.
fn continued(line: &str, escape: char) -> Option<&str> {
    let text = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!text.ends_with(escape)).then_some(text)
}

/// `# name=value` in the first lines.
struct Directives {
    escape: char,
    seen: Vec<String>,
    /// Something else came: what follows are comments.
    over: bool,
}

impl Directives {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let directive = line.strip_prefix('#').and_then(|text| text.split_once('=')).filter(|_| !self.over);
        let known = directive.and_then(|(name, value)| {
            let name = name.trim().to_ascii_lowercase();
            let known = ["syntax", "escape", "check"].contains(&name.as_str()) && !value.trim().is_empty();
            known.then(|| (name, value.trim()))
        });
        let Some((name, value)) = known else {
            self.over = true;
            return Ok(());
        };
        if self.seen.contains(&name) {
            return Err(format!("only one {name} parser directive can be used"));
        }
        if name == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                other => return Err(format!("invalid escape token '{other}' does not match ` or \\")),
            };
        }
        self.seen.push(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
