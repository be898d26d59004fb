//! The app directory in layers: one for each slice, and one for what no slice took.
//!
//! Clause: buildpack.md#slice-layers; catalogue 2, section 2.3.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::directory::{Origin, absolute};
use super::error::Error;
use super::pattern::{clean, matches};
use super::stream::path;
use super::tar::{Files, Order, Owner, Recipe, Tar};
use super::tree::{NodeId, ROOT, Tree};
use crate::model::launch::Slice;

/// Plans the layers of the app directory: one for each slice, in order, then one for the rest.
///
/// A file goes to the first slice that has a pattern for it or for a folder above it. A layer with nothing in it is an
/// empty archive. Every other layer has the folders above the app directory as they are, then what was chosen and the
/// folders that lead to it as `owner`'s.
///
/// # Errors
/// The directory cannot be read, or a pattern is malformed.
pub fn slices(app_dir: &Path, slices: &[Slice], owner: Owner) -> Result<Vec<Tar>, Error> {
    plan(&Origin::real(), app_dir, slices, owner, None)
}

/// As [`slices`], with the layers that there would be if the folder `without` were not there. Telemetry T8: traces may
/// lie below the app directory, and no image has them.
///
/// # Errors
/// As [`slices`].
pub fn slices_without(app_dir: &Path, slices: &[Slice], owner: Owner, without: &Path) -> Result<Vec<Tar>, Error> {
    plan(&Origin::real(), app_dir, slices, owner, Some(without))
}

pub(super) fn plan(
    origin: &Origin<'_>,
    app_dir: &Path,
    slices: &[Slice],
    owner: Owner,
    without: Option<&Path>,
) -> Result<Vec<Tar>, Error> {
    let name = absolute(app_dir)?;
    let root = origin.locate(&name);
    let tree = Arc::new(Tree::read(&root)?);
    let above: Arc<[_]> = origin.ancestors(&name)?.into();

    let mut cut = Cut::new(&tree);
    if let Some(node) = without.and_then(|path| find(&tree, &root, path)) {
        cut.take(node, &mut Vec::new());
    }
    let mut chosen = Vec::new();
    for slice in slices {
        chosen.push(cut.slice(slice)?);
    }
    chosen.push(cut.rest());

    let layer = |mut nodes: Vec<NodeId>| {
        nodes.sort_unstable_by_key(|&node| cut.rank[node as usize]);
        // A layer with nothing in it does not even show the way to the app directory.
        let first = if nodes.is_empty() { Arc::default() } else { Arc::clone(&above) };
        let has =
            |node: NodeId| nodes.binary_search_by_key(&cut.rank[node as usize], |&n| cut.rank[n as usize]).is_ok();
        let oddities = tree.oddities.iter().filter(|&&(node, _)| has(node)).copied().collect();
        let files = Files { tree: Arc::clone(&tree), owner, order: Order::Listed(nodes), oddities };
        Tar { recipe: Arc::new(Recipe { prefix: origin.prefix.as_os_str().len(), first, files: Some(files) }) }
    };
    Ok(chosen.into_iter().map(layer).collect())
}

/// The node of a path, however it is written; none if it is not below the root.
fn find(tree: &Tree, root: &Path, path: &Path) -> Option<NodeId> {
    let below = path.canonicalize().ok()?;
    let below = below.strip_prefix(root.canonicalize().ok()?).ok()?;
    below.iter().try_fold(ROOT, |at, name| tree.children(at).find(|&child| tree.name(child) == name.as_bytes()))
}

/// The app directory while slices are cut from it.
struct Cut<'a> {
    tree: &'a Tree,
    /// What no later layer gets: files that have a layer, and folders of which nothing is left.
    taken: Vec<bool>,
    /// The place of each node among all, sorted by whole path.
    rank: Vec<u32>,
}

impl<'a> Cut<'a> {
    fn new(tree: &'a Tree) -> Self {
        let mut rank = vec![0; tree.len()];
        for (place, node) in (0..).zip(by_path(tree)) {
            rank[node as usize] = place;
        }
        Self { tree, taken: vec![false; tree.len()], rank }
    }

    /// Takes what a slice matches, and lists it with the folders that lead to it.
    fn slice(&mut self, slice: &Slice) -> Result<Vec<NodeId>, Error> {
        let mut nodes = Vec::new();
        for pattern in &slice.paths {
            self.take_matching(&clean(pattern), &mut nodes)?;
        }

        // Folders that lead to what was taken, each once; what was taken itself needs no second mention.
        let mut listed = vec![false; self.tree.len()];
        for &node in &nodes {
            listed[node as usize] = true;
        }
        let matched = nodes.len();
        for index in 0..matched {
            let mut at = nodes[index];
            while at != ROOT {
                at = self.tree.parent(at);
                if std::mem::replace(&mut listed[at as usize], true) {
                    break;
                }
                nodes.push(at);
            }
        }

        // A folder without anything left is done with. Children have higher numbers, so they are seen first.
        let mut folders = nodes[matched..].to_vec();
        folders.sort_unstable_by(|a, b| b.cmp(a));
        for folder in folders {
            self.taken[folder as usize] = self.tree.children(folder).all(|child| self.taken[child as usize]);
        }
        Ok(nodes)
    }

    /// Takes everything that a pattern matches, and all below it.
    fn take_matching(&mut self, pattern: &str, nodes: &mut Vec<NodeId>) -> Result<(), Error> {
        let tree = self.tree;
        let mut at = Vec::new();
        tree.path_of(ROOT, &mut at);
        let below = at.len() + 1;
        for node in tree.walk().skip(1) {
            tree.path_of(node, &mut at);
            let name = &at[below..];
            let matched = matches(pattern.as_bytes(), name)
                .map_err(|_| Error::Pattern { path: path(name).display().to_string(), pattern: pattern.to_owned() })?;
            if matched {
                self.take(node, nodes);
            }
        }
        Ok(())
    }

    /// Takes a node and all below it that is not yet taken.
    fn take(&mut self, node: NodeId, nodes: &mut Vec<NodeId>) {
        let mut ahead = vec![node];
        while let Some(node) = ahead.pop() {
            if !std::mem::replace(&mut self.taken[node as usize], true) {
                nodes.push(node);
                ahead.extend(self.tree.children(node));
            }
        }
    }

    /// Lists what is left.
    fn rest(&self) -> Vec<NodeId> {
        self.tree.walk().filter(|&node| !self.taken[node as usize]).collect()
    }
}

/// Every node of a tree sorted by the bytes of its whole path: `a`, `a-b`, `a/z`, which is not the order of a walk.
fn by_path(tree: &Tree) -> Vec<NodeId> {
    /// Sorts by a name, or by a name and a slash for all that is below it.
    struct Step {
        node: NodeId,
        below: bool,
    }
    let key = |step: &Step| tree.name(step.node).iter().chain(step.below.then_some(&b'/'));

    let mut order = vec![ROOT];
    let mut ahead = vec![Step { node: ROOT, below: true }];
    while let Some(Step { node, below }) = ahead.pop() {
        if !below {
            order.push(node);
            continue;
        }
        let mut steps: Vec<Step> = Vec::new();
        for child in tree.children(node) {
            steps.push(Step { node: child, below: false });
            if !tree.children(child).is_empty() {
                steps.push(Step { node: child, below: true });
            }
        }
        steps.sort_by(|a, b| key(b).cmp(key(a)));
        ahead.append(&mut steps);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::{Fixture, expect, listing};

    const BUILD: Owner = Owner { uid: 1000, gid: 1000 };

    fn app() -> Fixture {
        let fixture = Fixture::new();
        fixture.file("/workspace/a-b", "1\n", 0o644);
        fixture.file("/workspace/a/z", "2\n", 0o644);
        fixture.file("/workspace/t.txt", "3\n", 0o644);
        fixture
    }

    fn cut(fixture: &Fixture, slices: &[&[&str]]) -> Result<Vec<Tar>, Error> {
        let slices: Vec<Slice> =
            slices.iter().map(|paths| Slice { paths: paths.iter().map(|&path| path.to_owned()).collect() }).collect();
        plan(&fixture.origin(), Path::new("/workspace"), &slices, BUILD, None)
    }

    fn names(fixture: &Fixture, slices: &[&[&str]]) -> Vec<Vec<String>> {
        cut(fixture, slices).unwrap().iter().map(listing).collect()
    }

    #[test]
    fn golden_g6_an_app_without_slices() {
        let fixture = app();
        let layers = cut(&fixture, &[]).unwrap();
        assert_eq!(layers.len(), 1);
        expect(&layers[0], "18200bbf9e05d8c9bc358a89f2ae336fdee450c0461c46d977984bf2edd0429f", Some(5120));
    }

    #[test]
    fn golden_g7_an_app_with_slices() {
        let fixture = app();
        let layers = cut(&fixture, &[&["*.txt"], &["a"], &["nomatch"]]).unwrap();
        let golden = [
            "2ee86b3a19adc657c68e1f7321b83dd14bf8dfa61059a1035f09fa5e951d693a",
            "26a6613befd5ad33d70545db94430d48b0674a9238e82de81843c6a84e5fa6a7",
            "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            "03570dc0f7739bd5a236408f66449509642008ecd86732f9a94d43730697d628",
        ];
        assert_eq!(layers.len(), golden.len());
        for (layer, golden) in layers.iter().zip(golden) {
            expect(layer, golden, None);
        }
    }

    #[test]
    fn sorts_by_whole_paths() {
        let fixture = Fixture::new();
        for name in ["a/z", "a-b", "a.c", "a/b/c", "a/b-c", "a0", "a-/x"] {
            fixture.file(format!("/workspace/{name}"), "", 0o644);
        }
        let mut sorted = names(&fixture, &[]).remove(0);
        let found = sorted.clone();
        sorted.sort();
        assert_eq!(found, sorted);
        assert_eq!(found.len(), 11);
    }

    #[test]
    fn a_folder_takes_all_below_it_and_a_trailing_slash_means_nothing() {
        let fixture = app();
        fixture.file("/workspace/a/b/c", "", 0o644);
        let expected = ["/workspace", "/workspace/a", "/workspace/a/b", "/workspace/a/b/c", "/workspace/a/z"];
        assert_eq!(names(&fixture, &[&["a"]])[0], expected);
        assert_eq!(names(&fixture, &[&["./a/"]])[0], expected);
    }

    #[test]
    fn a_later_slice_does_not_get_what_an_earlier_one_took() {
        let fixture = app();
        fixture.file("/workspace/a/b/c", "", 0o644);
        let layers = names(&fixture, &[&["a/b"], &["a", "a/*"]]);
        assert_eq!(layers[0], ["/workspace", "/workspace/a", "/workspace/a/b", "/workspace/a/b/c"]);
        assert_eq!(layers[1], ["/workspace", "/workspace/a", "/workspace/a/z"]);
        assert_eq!(layers[2], ["/workspace", "/workspace/a-b", "/workspace/t.txt"]);
    }

    #[test]
    fn a_folder_of_which_nothing_is_left_is_not_in_the_rest() {
        let layers = names(&app(), &[&["a/z"]]);
        assert_eq!(layers[0], ["/workspace", "/workspace/a", "/workspace/a/z"]);
        assert_eq!(layers[1], ["/workspace", "/workspace/a-b", "/workspace/t.txt"]);
    }

    #[test]
    fn when_slices_take_all_the_rest_is_an_empty_archive() {
        let layers = cut(&app(), &[&["*"]]).unwrap();
        expect(&layers[1], "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", Some(1024));
    }

    #[test]
    fn an_empty_app_is_its_folder() {
        let fixture = Fixture::new();
        fixture.folder("/workspace");
        assert_eq!(names(&fixture, &[&["*"]]), [vec![], vec!["/workspace".to_owned()]]);
    }

    #[test]
    fn links_to_folders_are_not_entered_and_nothing_outside_is_matched() {
        let fixture = app();
        fixture.file("/outside/x", "", 0o644);
        fixture.link("/workspace/link", "../outside");
        let layers = names(&fixture, &[&["link/*"], &["../**/x", "../outside/x", "/workspace/a"]]);
        assert_eq!(layers[0], Vec::<String>::new());
        assert_eq!(layers[1], Vec::<String>::new());
        assert!(layers[2].contains(&"/workspace/link".to_owned()));
    }

    #[test]
    fn stars_do_not_cross_folders() {
        let fixture = app();
        fixture.file("/workspace/a/b/u.txt", "", 0o644);
        let layers = names(&fixture, &[&["**/*.txt"], &["*/*/*.txt"]]);
        assert_eq!(layers[0], Vec::<String>::new());
        assert_eq!(layers[1].last().unwrap(), "/workspace/a/b/u.txt");
    }

    #[test]
    fn a_malformed_pattern_is_an_error_as_in_the_reference() {
        let error = cut(&app(), &[&["./[x"]]).unwrap_err();
        assert_eq!(error.to_string(), "failed to check if 'a' matches '[x': syntax error in pattern");
    }

    #[test]
    fn a_folder_can_be_left_out_as_if_it_were_not_there() {
        let (fixture, other) = (app(), app());
        fixture.file("/workspace/a/traces/x/y", "", 0o644);
        fixture.link("/workspace/t.txt2", "a");
        other.link("/workspace/t.txt2", "a");
        let without = fixture.origin().locate(Path::new("/workspace/t.txt2/traces"));
        for patterns in [&["a/*"][..], &["a"], &["a/traces", "a/traces/x"], &[]] {
            let slices = [Slice { paths: patterns.iter().map(|&pattern| pattern.to_owned()).collect() }];
            let names = |fixture: &Fixture, without| {
                let tars = plan(&fixture.origin(), Path::new("/workspace"), &slices, BUILD, without).unwrap();
                tars.iter().map(listing).collect::<Vec<_>>()
            };
            assert_eq!(names(&fixture, Some(&without)), names(&other, None), "{patterns:?}");
        }
    }
}
