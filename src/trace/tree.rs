//! Builds as trees, made of spans of many files.
//!
//! The lifecycle's spans hang together by their ids. Spans of buildpacks that took `TRACEPARENT` do too; those that began
//! a trace of their own, or took the platform's context, are hung below the program that they are from, by the name of
//! their file or service and by the time. Nothing here recurses: foreign files may nest as deep as they like.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::critical_path;
use super::read::{Recording, Span};
use crate::telemetry::attributes::Key;

/// All builds that were found.
#[derive(Debug, Default)]
pub struct Forest {
    /// Every span but markers, and a stand-in for each that has begun and not ended.
    pub nodes: Vec<Node>,
    /// Builds, the earliest first.
    pub builds: Vec<Build>,
}

/// A span in its place.
#[derive(Debug)]
pub struct Node {
    /// The span.
    pub span: Span,
    /// What it is.
    pub role: Role,
    /// It has begun, and nothing says that it ended.
    pub running: bool,
    /// The build would have been shorter without it.
    pub critical: bool,
    /// The node above it.
    pub parent: Option<usize>,
    /// The nodes below it, the earliest first.
    pub children: Vec<usize>,
}

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A phase.
    Phase,
    /// A program of a buildpack or extension.
    Process,
    /// Another piece of the lifecycle's work.
    Step,
    /// Somebody else's.
    Foreign,
}

/// One trace, and what else happened at its time.
#[derive(Debug)]
pub struct Build {
    /// The trace id.
    pub trace: u128,
    /// Whether the lifecycle had a part in it.
    pub is_lifecycle: bool,
    /// The nodes at the top, the earliest first.
    pub roots: Vec<usize>,
    /// Nanoseconds since 1970 of the first start.
    pub start: u64,
    /// Nanoseconds since 1970 of the last end.
    pub end: u64,
}

impl Node {
    fn new(span: Span, running: bool) -> Self {
        let role = match (&span.phase, is_process(&span)) {
            (None, _) => Role::Foreign,
            (Some(_), true) => Role::Process,
            (Some(phase), _) if *phase == span.name => Role::Phase,
            (Some(_), _) => Role::Step,
        };
        Self { span, role, running, critical: false, parent: None, children: Vec::new() }
    }

    /// The id and version of the buildpack or extension whose program it is.
    pub fn module(&self) -> Option<(&str, &str)> {
        let span = &self.span;
        let id = span.text(Key::BuildpackId).or_else(|| span.text(Key::ExtensionId))?;
        let version = span.text(Key::BuildpackVersion).or_else(|| span.text(Key::ExtensionVersion));
        Some((id, version.unwrap_or_default()))
    }

    /// How long it took, or has taken so far, in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.span.end - self.span.start
    }
}

fn is_process(span: &Span) -> bool {
    let module = span.text(Key::BuildpackId).or_else(|| span.text(Key::ExtensionId));
    module.is_some() && span.text(Key::TaskName).is_some()
}

impl Forest {
    /// Makes builds of everything that was read.
    pub fn grow(recording: Recording) -> Self {
        let Recording { spans, files, .. } = recording;
        let (markers, spans): (Vec<Span>, Vec<Span>) =
            spans.into_iter().partition(|span| span.flag(Key::Started) == Some(true));
        let mut forest =
            Self { nodes: spans.into_iter().map(|span| Node::new(span, false)).collect(), builds: Vec::new() };
        let mut places = forest.places();
        forest.stand_in(markers, &mut places);
        for index in 0..forest.nodes.len() {
            let span = &forest.nodes[index].span;
            if let Some(parent) = span.parent.and_then(|id| places.get(&(span.trace, id))) {
                forest.nodes[index].parent = Some(*parent);
            }
        }
        forest.place_stand_ins();
        forest.adopt(&files);
        forest.cut_rings();
        forest.link();
        forest.divide();
        critical_path::mark(&mut forest);
        forest
    }

    fn places(&self) -> HashMap<(u128, u64), usize> {
        self.nodes.iter().enumerate().map(|(index, node)| ((node.span.trace, node.span.id), index)).collect()
    }

    /// Adds a node for each marker whose span has not ended: all that is known of it is in the marker.
    fn stand_in(&mut self, markers: Vec<Span>, places: &mut HashMap<(u128, u64), usize>) {
        for marker in markers {
            let Some(id) = marker.parent else { continue };
            let place = self.nodes.len();
            if *places.entry((marker.trace, id)).or_insert(place) == place {
                let name = marker.name.trim_end_matches(" started").to_owned();
                let mut attributes = marker.attributes;
                attributes.retain(|(key, _)| key != Key::Started.name());
                self.nodes.push(Node::new(Span { id, name, attributes, parent: None, ..marker }, true));
            }
        }
        // What runs has taken as long as anything in its trace is known to have.
        let mut last: HashMap<u128, u64> = HashMap::new();
        for node in &self.nodes {
            let end = last.entry(node.span.trace).or_default();
            *end = node.span.end.max(*end);
        }
        for node in self.nodes.iter_mut().filter(|node| node.running) {
            node.span.end = last[&node.span.trace];
        }
    }

    /// A marker does not say what is above the span that it stands for: a program is below its phase, a phase below the
    /// creator.
    fn place_stand_ins(&mut self) {
        let mut phases: HashMap<(u128, &str), usize> = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.role == Role::Phase) {
            phases.insert((node.span.trace, node.span.name.as_str()), index);
        }
        let above = |node: &Node| {
            let phase = match node.role {
                Role::Phase if node.span.name != "create" => "create",
                Role::Process => node.span.phase.as_deref()?,
                _ => return None,
            };
            phases.get(&(node.span.trace, phase)).copied()
        };
        let parents: Vec<(usize, usize)> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.running)
            .filter_map(|(index, node)| Some((index, above(node)?)))
            .collect();
        for (index, parent) in parents {
            self.nodes[index].parent = Some(parent);
        }
    }

    /// Hangs foreign spans without a parent below the program that wrote them.
    fn adopt(&mut self, files: &[PathBuf]) {
        let mut programs: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.role == Role::Process) {
            if let Some((id, _)) = node.module() {
                programs.entry(id.replace('/', "_")).or_default().push(index);
            }
        }
        if programs.is_empty() {
            return;
        }
        let names: Vec<Option<(String, String, String)>> = files.iter().map(|path| file_of_program(path)).collect();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.role != Role::Foreign || node.parent.is_some() {
                continue;
            }
            let (id, version, step) = match (&names[node.span.file], &node.span.service) {
                (Some((id, version, step)), _) => (id.clone(), Some(version), Some(step.as_str())),
                // Buildpacks made with libcnb.rs name their service by their id, and write where nobody told them to.
                (None, Some(service)) => {
                    (service.replace('/', "_"), None, node.span.name.rsplit_once('-').map(|(_, step)| step))
                }
                (None, None) => continue,
            };
            let is_its = |program: &&usize| {
                let program = &self.nodes[**program];
                let is_step = step.is_none_or(|step| {
                    let own = program.span.name.rsplit_once('-').map_or("", |(_, step)| step);
                    own == step || !["detect", "build", "generate"].contains(&step)
                });
                let is_version = version
                    .is_none_or(|version| program.module().is_some_and(|(_, own)| own.replace('/', "_") == *version));
                let when = node.span.start;
                is_step && is_version && program.span.start <= when && (program.running || when <= program.span.end)
            };
            let found = programs.get(&id).into_iter().flatten().rfind(is_its).copied();
            self.nodes[index].parent = found;
        }
    }

    /// Takes the parent from one node of each ring of parents.
    fn cut_rings(&mut self) {
        // 0: not seen; else the number of the walk that saw it.
        let mut seen = vec![0; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let walk = start + 1;
            let mut at = start;
            while seen[at] == 0 {
                seen[at] = walk;
                match self.nodes[at].parent {
                    Some(parent) if seen[parent] == walk => self.nodes[at].parent = None,
                    Some(parent) => at = parent,
                    None => {}
                }
            }
        }
    }

    fn link(&mut self) {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|index| {
            let span = &self.nodes[*index].span;
            (span.start, std::cmp::Reverse(span.end), span.id)
        });
        for index in order {
            if let Some(parent) = self.nodes[index].parent {
                self.nodes[parent].children.push(index);
            }
        }
    }

    /// Puts roots together: by trace, and what is no lifecycle's to the build at whose time it happened.
    fn divide(&mut self) {
        let mut builds: HashMap<u128, Build> = HashMap::new();
        let mut roots: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes[*index].parent.is_none()).collect();
        roots.sort_by_key(|index| (self.nodes[*index].span.start, self.nodes[*index].span.id));
        for root in roots {
            let trace = self.nodes[root].span.trace;
            let empty = || Build { trace, is_lifecycle: false, roots: Vec::new(), start: u64::MAX, end: 0 };
            let build = builds.entry(trace).or_insert_with(empty);
            build.roots.push(root);
        }
        for build in builds.values_mut() {
            for (index, _) in self.walk(&build.roots) {
                let node = &self.nodes[index];
                build.is_lifecycle |= node.role != Role::Foreign;
                build.start = build.start.min(node.span.start);
                build.end = build.end.max(node.span.end);
            }
        }
        let (mut own, mut foreign): (Vec<Build>, Vec<Build>) =
            builds.into_values().partition(|build| build.is_lifecycle);
        own.sort_by_key(|build| (build.start, build.trace));
        foreign.sort_by_key(|build| (build.start, build.trace));
        let mut alone = Vec::new();
        for other in foreign {
            let host = own.iter_mut().find(|build| build.start <= other.start && other.start <= build.end);
            match host {
                Some(build) => {
                    build.roots.extend(&other.roots);
                    build.end = build.end.max(other.end);
                }
                None => alone.push(other),
            }
        }
        own.extend(alone);
        own.sort_by_key(|build| (build.start, build.trace));
        self.builds = own;
    }

    /// Every node below `roots` and themselves, parents first, each with its depth.
    pub fn walk(&self, roots: &[usize]) -> Vec<(usize, usize)> {
        let mut todo: Vec<(usize, usize)> = roots.iter().rev().map(|root| (*root, 0)).collect();
        let mut order = Vec::new();
        while let Some((index, depth)) = todo.pop() {
            order.push((index, depth));
            todo.extend(self.nodes[index].children.iter().rev().map(|child| (*child, depth + 1)));
        }
        order
    }
}

/// The escaped id, the version and the step in `<id>@<version>-<step>.jsonl`.
fn file_of_program(path: &Path) -> Option<(String, String, String)> {
    let (front, step) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    let (id, version) = front.rsplit_once('@')?;
    Some((id.to_owned(), version.to_owned(), step.to_owned()))
}
