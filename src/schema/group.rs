//! group.toml. Clause: platform.md#grouptoml-toml.

use super::wire::{each, element, element_block, extension};
use super::write::Block;
use super::{Error, read};
use crate::model::order::Group;

/// Reads group.toml. Extensions are optional, whatever the file says.
pub fn parse(text: &str) -> Result<Group, Error> {
    read::toml(text, |root| {
        Ok(Group { buildpacks: each(root, "group", element)?, extensions: each(root, "group-extensions", extension)? })
    })
}

/// Writes group.toml, without `optional`: whoever is in the group has passed.
pub fn render(group: &Group) -> String {
    Block::new()
        .tables("group", group.buildpacks.iter().map(element_block))
        .tables("group-extensions", group.extensions.iter().map(element_block))
        .render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ModuleKind;

    const TEXT: &str = r#"[[group]]
  id = "samples/a"
  version = "0.0.1"
  api = "0.10"
  homepage = "http://samples-a"

[[group-extensions]]
  id = "e/run"
  version = "1.0.0"
  api = "0.10"
"#;

    #[test]
    fn writes_what_it_reads() {
        let group = parse(TEXT).unwrap();
        assert_eq!(render(&group), TEXT);
        assert_eq!(group.buildpacks[0].kind, ModuleKind::Buildpack);
        assert!(!group.buildpacks[0].optional);
        assert_eq!(group.extensions[0].kind, ModuleKind::Extension);
        assert!(group.extensions[0].optional);
    }

    #[test]
    fn a_buildpack_may_be_marked_optional_or_an_extension_when_read() {
        let group = parse("[[group]]\nid = 'a'\noptional = true\n[[group]]\nid = 'b'\nextension = true").unwrap();
        assert!(group.buildpacks[0].optional);
        assert_eq!(group.buildpacks[1].kind, ModuleKind::Extension);
        assert_eq!(
            render(&group),
            "[[group]]\n  id = \"a\"\n  version = \"\"\n\n[[group]]\n  id = \"b\"\n  version = \"\"\n"
        );
    }

    #[test]
    fn refuses_what_cannot_be_an_id() {
        let error = parse("[[group]]\nid = '..'").unwrap_err();
        assert_eq!(error.to_string(), "'..' cannot be the id of a buildpack or extension");
    }

    #[test]
    fn names_what_is_no_toml_as_the_reference_does() {
        let error = parse("I am a group").unwrap_err();
        assert_eq!(error.to_string(), "toml: line 1: expected '.' or '=', but got 'a' instead");
    }
}
