//! What Cargo resolved for a program: `cargo tree` for the very target and features, `Cargo.lock` for the checksums.
//!
//! Only what is linked counts: neither macros, nor what builds, nor what tests. `cargo tree` is asked rather than
//! `cargo metadata`, whose graph mixes the features of all three.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Error;
use super::bill::{Component, Origin};

/// The programs of a release, with the arguments by which Cargo builds each.
pub(super) const PROGRAMS: [(&str, &[&str]); 2] = [("lifecycle", &[]), ("launcher", &["--no-default-features"])];

/// How `cargo tree` prints a package: name and version, licence, repository.
const FORMAT: &str = "{p}|{l}|{r}";

/// Asks Cargo what a program links on a target. `checkout` is the folder of Cargo.toml, `cargo` the program.
///
/// # Errors
/// Cargo fails, or says what this does not understand.
pub fn components(cargo: &Path, checkout: &Path, target: &str, features: &[&str]) -> Result<Vec<Component>, Error> {
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", FORMAT]);
    tree.args(["--target", target]).args(features);
    let tree = said(tree.current_dir(checkout))?;
    let path = checkout.join("Cargo.lock");
    let lock = std::fs::read_to_string(&path).map_err(|cause| Error::File { path, cause })?;
    let mut rustc = Command::new("rustc");
    let rustc = said(rustc.arg("-vV").current_dir(checkout))?;
    parse(&tree, &lock, &rustc)
}

/// Runs a program and takes what it says on standard output.
fn said(command: &mut Command) -> Result<String, Error> {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    let shown = format!("{} {}", command.get_program().display(), args.join(" "));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let output = match command.output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => return Err(Error::Program { command: shown, said: text(&output.stderr) }),
        Err(cause) => return Err(Error::Program { command: shown, said: crate::os::error_text(&cause) }),
    };
    Ok(text(&output.stdout))
}

/// Reads the three texts; the root comes first, and then components by name and version.
fn parse(tree: &str, lock: &str, rustc: &str) -> Result<Vec<Component>, Error> {
    let checksums = checksums(lock)?;
    let mut components: Vec<Component> = Vec::new();
    // The packages above the line, one for each depth.
    let mut above: Vec<usize> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, found) = package(line).ok_or_else(|| Error::Tree(line.to_owned()))?;
        let same = |known: &Component| known.name == found.name && known.version == found.version;
        let at = if let Some(at) = components.iter().position(same) {
            at
        } else {
            let origin = if components.is_empty() {
                Origin::Own
            } else {
                let checksum = checksums.get(&(found.name.clone(), found.version.clone())).cloned();
                let checksum = checksum
                    .ok_or_else(|| Error::NotLocked { name: found.name.clone(), version: found.version.clone() })?;
                Origin::CratesIo { checksum }
            };
            components.push(Component { origin, ..found });
            components.len() - 1
        };
        if depth > above.len() {
            return Err(Error::Tree(line.to_owned()));
        }
        above.truncate(depth);
        if let Some(&parent) = above.last() {
            components[parent].dependencies.insert(at);
        }
        above.push(at);
    }
    if components.is_empty() {
        return Err(Error::Tree(tree.to_owned()));
    }
    let version = rustc.lines().find_map(|line| line.strip_prefix("release: "));
    let std = components.len();
    components[0].dependencies.insert(std);
    components.push(Component {
        name: "std".to_owned(),
        version: version.ok_or_else(|| Error::Tree(rustc.to_owned()))?.to_owned(),
        license: "MIT OR Apache-2.0".to_owned(),
        repository: "https://github.com/rust-lang/rust".to_owned(),
        origin: Origin::Toolchain,
        dependencies: [].into(),
    });
    Ok(sorted(&components))
}

/// Reads a line of `cargo tree`: `<depth><name> v<version>[ (<more>)]|<licence>|<repository>[ (*)]`.
fn package(line: &str) -> Option<(usize, Component)> {
    let (depth, rest) = line.split_at(line.find(|c: char| !c.is_ascii_digit())?);
    let mut fields = rest.strip_suffix(" (*)").unwrap_or(rest).split('|');
    let (package, license, repository) = (fields.next()?, fields.next()?, fields.next()?);
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let component = Component {
        name: name.to_owned(),
        version: version.to_owned(),
        // An old way of writing "or", which is no SPDX.
        license: license.replace(" / ", "/").replace('/', " OR "),
        repository: repository.to_owned(),
        origin: Origin::Own,
        dependencies: [].into(),
    };
    Some((depth.parse().ok()?, component))
}

/// The checksums in Cargo.lock, by name and version.
fn checksums(lock: &str) -> Result<BTreeMap<(String, String), String>, Error> {
    let lock: toml::Table = lock.parse().map_err(|error: toml::de::Error| Error::Lock(error.message().to_owned()))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let text = |package: &toml::Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
    let checksums = packages
        .filter_map(|package| Some(((text(package, "name")?, text(package, "version")?), text(package, "checksum")?)));
    Ok(checksums.collect())
}

/// Brings everything but the root into an order that does not depend on the tree's.
fn sorted(components: &[Component]) -> Vec<Component> {
    let mut order: Vec<usize> = (1..components.len()).collect();
    order.sort_by(|&a, &b| {
        let key = |at: usize| (&components[at].name, &components[at].version);
        key(a).cmp(&key(b))
    });
    order.insert(0, 0);
    let mut place = vec![0; components.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old] = new;
    }
    let moved = |old: usize| {
        let component = components[old].clone();
        let dependencies = component.dependencies.iter().map(|&old| place[old]).collect();
        Component { dependencies, ..component }
    };
    order.into_iter().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0own v0.1.0 (/work/here)|Apache-2.0|\n\
                        1zeta v1.0.0|MIT/Apache-2.0|https://example.com/zeta\n\
                        2beta v2.0.0+x||\n\
                        1alpha v3.0.0|MIT|\n\
                        2zeta v1.0.0|MIT/Apache-2.0|https://example.com/zeta (*)\n";
    const LOCK: &str = "version = 4\n[[package]]\nname = 'own'\nversion = '0.1.0'\n\
                        [[package]]\nname = 'zeta'\nversion = '1.0.0'\nchecksum = 'z'\n\
                        [[package]]\nname = 'beta'\nversion = '2.0.0+x'\nchecksum = 'b'\n\
                        [[package]]\nname = 'alpha'\nversion = '3.0.0'\nchecksum = 'a'\n";
    const RUSTC: &str = "rustc 1.90.0 (abc 2025-01-01)\nrelease: 1.90.0\n";

    #[test]
    fn reads_the_graph_and_sorts_it() {
        let components = parse(TREE, LOCK, RUSTC).unwrap();
        let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
        assert_eq!(names, ["own", "alpha", "beta", "std", "zeta"]);
        let edges: Vec<Vec<usize>> = components.iter().map(|c| c.dependencies.iter().copied().collect()).collect();
        assert_eq!(edges, [vec![1, 3, 4], vec![4], vec![], vec![], vec![2]]);
        assert_eq!(components[4].license, "MIT OR Apache-2.0");
        assert_eq!(components[4].repository, "https://example.com/zeta");
        assert_eq!(components[2].checksum(), Some("b"));
        assert_eq!((components[2].license.as_str(), components[0].origin.clone()), ("", Origin::Own));
    }

    #[test]
    fn what_is_not_locked_or_not_understood_is_an_error() {
        let error = |tree, lock, rustc| parse(tree, lock, rustc).unwrap_err().to_string();
        assert_eq!(error(TREE, "", RUSTC), "Cargo.lock has no checksum of zeta 1.0.0");
        assert!(error(TREE, "x", RUSTC).starts_with("Cargo.lock cannot be read: "));
        for tree in ["", "own v1||", "0own|MIT|", "0own v1|MIT", "1own v1|MIT|"] {
            assert!(error(tree, LOCK, RUSTC).starts_with("cargo or rustc said "), "{tree}");
        }
        assert!(error(TREE, LOCK, "").starts_with("cargo or rustc said "));
    }
}
