//! build.toml. Clause: buildpack.md#buildtoml-toml.

use super::wire::{bom_entry, each};
use super::{Error, read};
use crate::model::launch::Build;

/// Reads build.toml.
pub fn parse(text: &str) -> Result<Build, Error> {
    read::toml(text, |root| {
        Ok(Build { unmet: each(root, "unmet", |unmet| unmet.text("name"))?, bom: each(root, "bom", bom_entry)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_unmet_requirements_and_the_bill_of_materials() {
        let build = parse("[[unmet]]\nname = 'a'\n[[unmet]]\n[[bom]]\nname = 'b'\n[bom.metadata]\nx = 1").unwrap();
        assert_eq!(build.unmet, ["a", ""]);
        assert_eq!(build.bom[0].metadata.as_ref().unwrap().len(), 1);
        assert_eq!(build.bom[0].buildpack, None);
        assert_eq!(parse(""), Ok(Build::default()));
    }
}
