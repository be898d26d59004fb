//! run.toml and stack.toml. Clauses: platform.md#runtoml-toml, platform.md#stacktoml-toml.

use super::wire::{each, run_image};
use super::{Error, read};
use crate::model::run_image::{RunImageRef, RunImages};

/// Reads run.toml.
pub fn parse_run(text: &str) -> Result<RunImages, Error> {
    read::toml(text, |root| Ok(RunImages { images: each(root, "images", run_image)? }))
}

/// Reads the `[run-image]` of stack.toml.
pub fn parse_stack(text: &str) -> Result<RunImageRef, Error> {
    read::toml(text, |root| run_image(&root.section("run-image")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_images_with_mirrors() {
        let run = parse_run("[[images]]\nimage = 'a'\nmirrors = ['b', 'c']\n[[images]]\nimage = ''").unwrap();
        assert_eq!(run.images[0].names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(run.images[1].is_empty());
        assert_eq!(parse_run(""), Ok(RunImages::default()));
    }

    #[test]
    fn reads_the_run_image_of_a_stack() {
        let stack = parse_stack("[build-image]\nimage = 'x'\n[run-image]\nimage = 'a'\nmirrors = ['b']").unwrap();
        assert_eq!((stack.image.as_str(), stack.mirrors.len()), ("a", 1));
        assert_eq!(parse_stack(""), Ok(RunImageRef::default()));
    }
}
