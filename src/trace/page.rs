//! Builds as one page for a browser: the waterfall, to search, fold and zoom. It loads nothing and is told to.
//!
//! Names, ids and attributes may be anybody's. They are in the page as JSON in which nothing can end its element, the
//! script makes text of them and never markup, and the page's policy lets no script run but its own.

use std::collections::BTreeSet;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::read::Value;
use super::row::{State, notes, title};
use super::screen::Terminal;
use super::summary::{Totals, headline};
use super::tree::{Build, Forest, Node, Role};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A page has room, and shows more than ASCII.
const TERMINAL: Terminal = Terminal { width: 10_000, colour: false, unicode: true };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    builds: Vec<BuildData>,
    bad: Vec<String>,
    bad_count: usize,
}

#[derive(Serialize)]
struct BuildData {
    headline: Vec<String>,
    result: &'static str,
    /// Nanoseconds.
    length: u64,
    spans: Vec<SpanData>,
}

/// Depth, title, kind, state, waited for, start and length in nanoseconds, notes, facts, names of events. Lists and not
/// objects: of 100,000 spans the names of the members would be most of the page.
#[derive(Serialize)]
struct SpanData(usize, String, &'static str, &'static str, bool, u64, u64, String, Vec<(String, String)>, Vec<String>);

/// Writes the page of some builds and of what could not be read.
pub fn write(
    out: &mut dyn Write,
    forest: &Forest,
    builds: &[&Build],
    bad: &[String],
    bad_count: usize,
) -> io::Result<()> {
    let data = Data {
        builds: builds.iter().map(|build| build_data(forest, build)).collect(),
        bad: bad.iter().map(|place| TERMINAL.clean(place)).collect(),
        bad_count,
    };
    let page = PAGE
        .replace("{style-hash}", &source(STYLE))
        .replace("{script-hash}", &source(SCRIPT))
        .replace("{style}", STYLE)
        .replace("{script}", SCRIPT);
    let (front, back) = page.split_once("{data}").unwrap_or((&page, ""));
    out.write_all(front.as_bytes())?;
    let json = serde_json::to_string(&data).map_err(io::Error::from)?;
    out.write_all(inert(&json).as_bytes())?;
    out.write_all(back.as_bytes())
}

/// How a policy names the one text that may be there.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// JSON in which no element of a page can end or begin. These characters are in its texts only.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn build_data(forest: &Forest, build: &Build) -> BuildData {
    BuildData {
        headline: headline(TERMINAL, forest, build).lines().map(str::to_owned).collect(),
        result: Totals::of(forest, build).result(forest),
        length: (build.end - build.start).max(1),
        spans: forest
            .walk(&build.roots)
            .into_iter()
            .map(|(index, depth)| span_data(forest, build, index, depth))
            .collect(),
    }
}

fn span_data(forest: &Forest, build: &Build, index: usize, depth: usize) -> SpanData {
    let node = &forest.nodes[index];
    let kind = match node.role {
        Role::Phase => "phase",
        Role::Process => "program",
        Role::Step => "step",
        Role::Foreign => "foreign",
    };
    let state = match State::of(node) {
        State::Done => "done",
        State::Failed => "failed",
        State::Running => "ongoing",
        State::Skipped => "skipped",
        State::Cancelled => "cancelled",
        State::Reused => "reused",
        State::Cached => "cached",
    };
    let start = node.span.start.saturating_sub(build.start);
    let events = node.span.events.iter().map(|event| TERMINAL.clean(event)).collect();
    let notes = notes(node, TERMINAL).join(" · ");
    SpanData(
        depth,
        title(node, TERMINAL),
        kind,
        state,
        node.critical,
        start,
        node.duration(),
        notes,
        facts(node),
        events,
    )
}

/// What a click shows.
fn facts(node: &Node) -> Vec<(String, String)> {
    let span = &node.span;
    let mut facts =
        vec![("span".to_owned(), format!("{:016x}", span.id)), ("name".to_owned(), TERMINAL.clean(&span.name))];
    let source = [("phase", &span.phase), ("service", &span.service)];
    facts.extend(source.iter().filter_map(|(name, text)| Some(((*name).to_owned(), TERMINAL.clean(text.as_deref()?)))));
    let mut seen = BTreeSet::new();
    for (key, value) in span.attributes.iter().filter(|(key, _)| seen.insert(key)) {
        let text = match value {
            Value::Text(text) => TERMINAL.clean(text),
            Value::Number(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
        };
        facts.push((TERMINAL.clean(key), text));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_a_page_ends_no_element_and_says_the_same() {
        let hostile = r#"{"a":"</script><!--<script>&amp;"}"#;
        let inert = inert(hostile);
        assert!(!inert.contains(['<', '>', '&']), "{inert}");
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(json(&inert), json(hostile));
    }

    #[test]
    fn the_policy_names_the_texts_that_are_there() {
        // Known from elsewhere: the digest of the empty text.
        assert_eq!(source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }

    /// The one rule on which the page's safety rests, beside its policy.
    #[test]
    fn the_script_never_makes_markup_of_a_text_and_loads_nothing() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "fetch",
            "http",
            "import",
        ] {
            assert!(!SCRIPT.contains(word), "the script uses {word}");
        }
        for word in ["http:", "https:", "url(", "@import", "src=", "href="] {
            assert!(!STYLE.contains(word) && !PAGE.contains(word), "the page has {word}");
        }
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--") && !STYLE.contains("</"));
    }
}
