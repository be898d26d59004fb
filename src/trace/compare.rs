//! Two builds side by side: what got slower or faster, and what lost its cache.
//!
//! Work is the same where its titles are, from the phase down; of work that is there several times, such as requests for
//! blobs, the times are added up. Ids and versions of spans say nothing: each build has its own.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::row::title;
use super::screen::{Style, Terminal, pad};
use super::summary::{Totals, headline};
use super::tree::{Build, Forest, Node, Role};
use crate::telemetry::attributes::Key;

/// Less than this, in nanoseconds or as a share of what it was, is noise.
const LEAST: u64 = 10_000_000;
const LEAST_SHARE: u64 = 20;

/// How many lines there are of each kind.
const SHOWN: usize = 12;

/// Titles are compared as they are shown where there is room.
const WIDE: Terminal = Terminal { width: 10_000, colour: false, unicode: true };

/// What of a build can be compared.
pub struct Side {
    headline: String,
    length: u64,
    /// Times of phases, in nanoseconds, in their order.
    phases: Vec<(String, u64)>,
    /// Times of all work by its titles.
    times: BTreeMap<Path, u64>,
    /// Layers that something was kept of, and whether it could be used: restored ones, then exported ones.
    layers: BTreeMap<(Kept, String), bool>,
}

/// Titles from the phase down.
type Path = Vec<String>;

/// What a layer can be spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum Kept {
    /// Being made by its buildpack: the cache had it.
    Restored,
    /// Being written: the previous image had it.
    Reused,
}

/// Two builds side by side.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    #[serde(skip)]
    headlines: [String; 2],
    duration_nano: [u64; 2],
    phases: Vec<Change>,
    slower: Vec<Change>,
    faster: Vec<Change>,
    lost_cache: Vec<Lost>,
}

/// Work of both builds, or of one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(serialize_with = "joined")]
    path: Path,
    old_nano: Option<u64>,
    new_nano: Option<u64>,
}

/// A layer that was spared something and is no more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lost {
    layer: String,
    was: Kept,
}

fn joined<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.join(" / "))
}

impl Side {
    /// Takes a build apart.
    pub fn of(forest: &Forest, build: &Build) -> Self {
        let totals = Totals::of(forest, build);
        let phase =
            |index: &usize| (title(&forest.nodes[*index], WIDE).to_lowercase(), forest.nodes[*index].duration());
        let mut side = Self {
            headline: headline(WIDE, forest, build).lines().next().unwrap_or_default().to_owned(),
            length: build.end - build.start,
            phases: totals.phases.iter().map(phase).collect(),
            times: BTreeMap::new(),
            layers: BTreeMap::new(),
        };
        let mut above: Path = Vec::new();
        for (index, depth) in forest.walk(&build.roots) {
            let node = &forest.nodes[index];
            above.truncate(depth);
            above.push(plain_title(node));
            side.keep(node, &above);
        }
        side
    }

    fn keep(&mut self, node: &Node, path: &Path) {
        if node.role != Role::Phase {
            // The creator is above its phases, and nothing is where each phase is a program.
            let path = path.iter().filter(|title| *title != "create").cloned().collect();
            let time = self.times.entry(path).or_default();
            *time = time.saturating_add(node.duration());
        }
        let span = &node.span;
        if let (Some(layer), false) = (span.text(Key::Layer), node.role == Role::Foreign) {
            let layer = WIDE.clean(layer);
            if let Some(hit) = span.flag(Key::CacheHit) {
                self.layers.insert((Kept::Restored, layer), hit);
            } else if span.name == "hash-layer" {
                self.layers.insert((Kept::Reused, layer), span.flag(Key::LayerReused) == Some(true));
            }
        }
    }
}

/// A title without its version: a buildpack of another version does the same work.
fn plain_title(node: &Node) -> String {
    match (node.role, node.module()) {
        (Role::Process, Some((id, _))) if node.span.name.ends_with("-generate") => {
            format!("{} (generate)", WIDE.clean(id))
        }
        (Role::Process, Some((id, _))) => WIDE.clean(id),
        (Role::Phase, _) => title(node, WIDE).to_lowercase(),
        _ => title(node, WIDE),
    }
}

impl Change {
    /// By how many nanoseconds it got slower; what is there once only counts as a whole.
    fn by(&self) -> i128 {
        i128::from(self.new_nano.unwrap_or(0)) - i128::from(self.old_nano.unwrap_or(0))
    }

    /// Says whether it is more than noise.
    fn counts(&self) -> bool {
        let by = self.by().unsigned_abs();
        by >= u128::from(LEAST) && by * u128::from(LEAST_SHARE) >= u128::from(self.old_nano.unwrap_or(0))
    }
}

impl Comparison {
    /// Compares two builds.
    pub fn of(old: Side, new: Side) -> Self {
        let find =
            |phases: &[(String, u64)], name: &str| phases.iter().find(|(one, _)| one == name).map(|(_, time)| *time);
        let gone = old.phases.iter().filter(|(name, _)| find(&new.phases, name).is_none());
        let phase = |(name, _): &(String, u64)| Change {
            path: vec![name.clone()],
            old_nano: find(&old.phases, name),
            new_nano: find(&new.phases, name),
        };
        let phases = new.phases.iter().chain(gone).map(phase).collect();
        let lost = |((was, layer), had): (&(Kept, String), &bool)| {
            let has = new.layers.get(&(*was, layer.clone())).copied();
            // What the new build does not know at all was given up by its buildpack, unless it never came to export it.
            (*had && has == Some(false)).then(|| Lost { layer: layer.clone(), was: *was })
        };
        let lost_cache = old.layers.iter().filter_map(lost).collect();
        let mut times: BTreeMap<Path, (Option<u64>, Option<u64>)> = BTreeMap::new();
        for (path, time) in old.times {
            times.entry(path).or_default().0 = Some(time);
        }
        for (path, time) in new.times {
            times.entry(path).or_default().1 = Some(time);
        }
        let changes = times.into_iter().map(|(path, (old_nano, new_nano))| Change { path, old_nano, new_nano });
        let (mut slower, mut faster): (Vec<Change>, Vec<Change>) =
            changes.filter(Change::counts).partition(|change| change.by() > 0);
        slower.sort_by_key(|change| -change.by());
        faster.sort_by_key(Change::by);
        let headlines = [old.headline, new.headline];
        Self { headlines, duration_nano: [old.length, new.length], phases, slower, faster, lost_cache }
    }

    /// Prints what there is to say.
    pub fn print(&self, out: &mut dyn Write, terminal: Terminal) -> io::Result<()> {
        for (name, headline) in ["old", "new"].iter().zip(&self.headlines) {
            writeln!(
                out,
                "{}  {}",
                terminal.paint(Style::Dim, name),
                terminal.fit(&terminal.clean(headline), terminal.width - 5)
            )?;
        }
        let [old_nano, new_nano] = self.duration_nano.map(Some);
        let whole = Change { path: vec!["whole build".to_owned()], old_nano, new_nano };
        table(out, terminal, "Phases", self.phases.iter().chain([&whole]))?;
        table(out, terminal, "Slower", self.slower.iter().take(SHOWN))?;
        table(out, terminal, "Faster", self.faster.iter().take(SHOWN))?;
        if !self.lost_cache.is_empty() {
            writeln!(out, "\n{}", terminal.paint(Style::Bold, "Lost its cache"))?;
        }
        for lost in self.lost_cache.iter().take(SHOWN) {
            let was = match lost.was {
                Kept::Restored => "was restored, is not in the cache",
                Kept::Reused => "was reused, is written again",
            };
            let room = terminal.width.saturating_sub(was.len() + 5);
            writeln!(
                out,
                "  {}  {was}",
                terminal.paint(Style::Yellow, &terminal.fit(&terminal.clean(&lost.layer), room))
            )?;
        }
        if self.lost_cache.len() > SHOWN {
            writeln!(out, "  and {} more", self.lost_cache.len() - SHOWN)?;
        }
        if self.slower.is_empty() && self.faster.is_empty() && self.lost_cache.is_empty() {
            writeln!(out, "\nNothing that counts got slower or faster, and nothing lost its cache.")?;
        }
        Ok(())
    }
}

fn table<'a>(
    out: &mut dyn Write,
    terminal: Terminal,
    heading: &str,
    changes: impl Iterator<Item = &'a Change>,
) -> io::Result<()> {
    // Two durations, their difference, the share.
    let room = terminal.width.clamp(60, 120) - 38;
    for (number, change) in changes.enumerate() {
        if number == 0 {
            writeln!(out, "\n{}", terminal.paint(Style::Bold, heading))?;
        }
        let name = terminal.fit(&terminal.clean(&change.path.join(terminal.either(" › ", " > "))), room);
        let time = |time: Option<u64>| time.map_or_else(|| "none".to_owned(), |time| terminal.duration(time));
        let by = u64::try_from(change.by().unsigned_abs()).unwrap_or(u64::MAX);
        let (sign, style) = if change.by() > 0 { ("+", Style::Red) } else { ("-", Style::Green) };
        let share = match (change.old_nano, change.new_nano) {
            (Some(old), Some(_)) if old > 0 => format!("{sign}{} %", u128::from(by) * 100 / u128::from(old)),
            (Some(_), None) => "gone".to_owned(),
            _ => "new".to_owned(),
        };
        let style = if change.counts() { style } else { Style::Dim };
        let line = format!("{:>10}{:>10}", time(change.old_nano), time(change.new_nano));
        let by = match by {
            0 => format!("{:>8}", "same"),
            by => format!("{:>8}{share:>8}", format!("{sign}{}", terminal.duration(by))),
        };
        let by = terminal.paint(style, &by);
        writeln!(out, "  {}{line}{by}", pad(&name, room))?;
    }
    Ok(())
}
