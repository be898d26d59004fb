//! Which run image to use when the platform names none, and which names belong to it.
//!
//! Clauses: platform.md#run-image-resolution, platform.md#mirrors. Policy P23: only an image that exists and can be
//! read is chosen from a registry.

use crate::effect::images::{Images, Opened, StoreKind};
use crate::model::reference::Reference;
use crate::model::run_image::{RunImageRef, RunImages};

/// Why no run image could be chosen. The text is what the reference prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// run.toml or stack.toml names no image.
    #[error("missing run image metadata (-run-image)")]
    NoName,
    /// run.toml is missing or has no `[[images]]`.
    #[error("-run-image is required when there is no run metadata available")]
    NoMetadata,
    /// No candidate can be read.
    #[error("failed to find accessible run image{}", .0.iter().map(ToString::to_string).collect::<String>())]
    NoneReadable(Vec<Unreadable>),
}

/// A candidate that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("; {name}: {reason}")]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Its registry wants other credentials.
    pub denied: bool,
}

/// Chooses among a run image and its mirrors: the first on the target's registry that can be read, else the first that
/// can be read. In a daemon or a layout every candidate counts as readable.
///
/// # Errors
/// There is no name, or no candidate can be read.
pub fn choose(images: &dyn Images, target_registry: &str, candidates: &RunImageRef) -> Result<String, Error> {
    if candidates.image.is_empty() {
        return Err(Error::NoName);
    }
    let is_near = |name: &&str| Reference::parse(name).is_ok_and(|name| name.registry() == target_registry);
    let (near, far): (Vec<&str>, Vec<&str>) = candidates.names().partition(is_near);
    let mut unreadable = Vec::new();
    for name in near.into_iter().chain(far) {
        match check(images, name) {
            Ok(()) => return Ok(name.to_owned()),
            Err(candidate) => unreadable.push(candidate),
        }
    }
    Err(Error::NoneReadable(unreadable))
}

fn check(images: &dyn Images, name: &str) -> Result<(), Unreadable> {
    if images.kind() != StoreKind::Registry {
        return Ok(());
    }
    let (reason, denied) = match images.open(name) {
        Ok(Opened::Found(_)) => return Ok(()),
        Ok(Opened::Missing) => ("not found".to_owned(), false),
        Ok(Opened::Corrupt(reason)) => (format!("corrupt: {reason}"), false),
        Err(error) => (error.to_string(), error.denied),
    };
    Err(Unreadable { name: name.to_owned(), reason, denied })
}

/// Finds the entry of run.toml that `name` belongs to, by image or mirror, digests aside and names normalised.
pub fn find<'a>(run: &'a RunImages, name: &str) -> Option<&'a RunImageRef> {
    run.images.iter().find(|entry| contains(entry, name))
}

/// Says whether `name` is that of a run image or of one of its mirrors, digests aside and names normalised.
pub fn contains(names: &RunImageRef, name: &str) -> bool {
    let wanted = normalised(name);
    names.names().any(|name| normalised(name) == wanted)
}

/// A name in full and without a digest; one that is no name stays as it is.
fn normalised(name: &str) -> String {
    let tagged = match name.split_once("@sha256:") {
        Some((tagged, _)) => tagged,
        None => name,
    };
    Reference::parse(tagged).map_or_else(|_| name.to_owned(), |reference| reference.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::memory::MemoryImages;
    use crate::model::image::ImageConfig;

    fn candidates(image: &str, mirrors: &[&str]) -> RunImageRef {
        RunImageRef { image: image.to_owned(), mirrors: mirrors.iter().map(|&mirror| mirror.to_owned()).collect() }
    }

    fn registry(names: &[&str]) -> MemoryImages {
        let images = MemoryImages::new(StoreKind::Registry);
        for name in names {
            images.insert(name, ImageConfig::default(), Vec::new());
        }
        images
    }

    fn chosen(images: &MemoryImages, target: &str) -> Result<String, Error> {
        choose(images, target, &candidates("a.io/run", &["b.io/run", "b.io/other", "c.io/run"]))
    }

    #[test]
    fn a_mirror_on_the_targets_registry_is_preferred() {
        let all = registry(&["a.io/run", "b.io/run", "b.io/other", "c.io/run"]);
        assert_eq!(chosen(&all, "c.io"), Ok("c.io/run".to_owned()));
        assert_eq!(all.opened(), ["c.io/run"], "no other registry is asked");
        assert_eq!(chosen(&all, "d.io"), Ok("a.io/run".to_owned()));
    }

    #[test]
    fn one_that_cannot_be_read_is_passed_over() {
        let images = registry(&["a.io/run", "b.io/run", "b.io/other"]);
        images.deny_read("b.io/run", "401 Unauthorized");
        assert_eq!(chosen(&images, "b.io"), Ok("b.io/other".to_owned()));
        images.remove("b.io/other");
        assert_eq!(chosen(&images, "b.io"), Ok("a.io/run".to_owned()));
    }

    #[test]
    fn each_reason_is_told_when_none_can_be_read() {
        let images = registry(&["a.io/run"]);
        images.deny_read("a.io/run", "401 Unauthorized");
        let error = choose(&images, "a.io", &candidates("a.io/run", &["b.io/run"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to find accessible run image; a.io/run: 401 Unauthorized; b.io/run: not found",
        );
    }

    #[test]
    fn mirrors_alone_are_no_name() {
        assert_eq!(choose(&registry(&["b.io/run"]), "b.io", &candidates("", &["b.io/run"])), Err(Error::NoName));
    }

    #[test]
    fn in_a_daemon_or_layout_every_candidate_counts() {
        for kind in [StoreKind::Daemon, StoreKind::Layout] {
            assert_eq!(chosen(&MemoryImages::new(kind), "b.io"), Ok("b.io/run".to_owned()));
            assert_eq!(chosen(&MemoryImages::new(kind), "d.io"), Ok("a.io/run".to_owned()));
        }
    }

    #[test]
    fn names_are_found_whatever_their_form() {
        let run = RunImages { images: vec![candidates("busybox", &["a.io/run:1"]), candidates("b.io/run", &[])] };
        let digest = format!("sha256:{}", "a".repeat(64));
        let found = |name: &str| find(&run, name).map(|entry| entry.image.as_str());
        assert_eq!(found("index.docker.io/library/busybox:latest"), Some("busybox"));
        assert_eq!(found(&format!("a.io/run:1@{digest}")), Some("busybox"));
        assert_eq!(found(&format!("b.io/run@{digest}")), Some("b.io/run"));
        assert_eq!(found("a.io/run"), None);
        assert_eq!(found("!@#$"), None);
    }
}
