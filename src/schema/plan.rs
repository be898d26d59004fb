//! plan.toml, and the buildpack plan that bin/build and bin/generate get. Clauses: platform.md#plantoml-toml,
//! buildpack.md#buildpack-plan-toml.

use super::read::{Fields, Problem};
use super::wire::{each, element, require, require_block};
use super::write::Block;
use super::{Error, read};
use crate::model::id::ModuleKind;
use crate::model::plan::{Plan, PlanEntry, Provider, Require};

/// Reads plan.toml.
pub fn parse(text: &str) -> Result<Plan, Error> {
    read::toml(text, |root| Ok(Plan { entries: each(root, "entries", entry)? }))
}

/// Writes plan.toml; an empty plan is an empty text.
pub fn render(plan: &Plan) -> String {
    let entries = plan.entries.iter().map(|entry| {
        Block::new()
            .tables("providers", entry.providers.iter().map(provider_block))
            .tables("requires", entry.requires.iter().map(require_block))
    });
    Block::new().tables("entries", entries).render()
}

/// Writes the plan for one module: `[[entries]]` with name, version and metadata.
pub fn render_for_module(requires: &[Require]) -> String {
    Block::new().tables("entries", requires.iter().map(require_block)).render()
}

fn entry(fields: &Fields<'_>) -> Result<PlanEntry, Problem> {
    Ok(PlanEntry { providers: each(fields, "providers", provider)?, requires: each(fields, "requires", require)? })
}

fn provider(fields: &Fields<'_>) -> Result<Provider, Problem> {
    let element = element(fields)?;
    Ok(Provider { kind: element.kind, id: element.id, version: element.version })
}

fn provider_block(provider: &Provider) -> Block {
    Block::new()
        .text("id", provider.id.as_str())
        .text("version", &provider.version)
        .flag_if_set("extension", provider.kind == ModuleKind::Extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"[[entries]]

  [[entries.providers]]
    id = "samples/a"
    version = "0.0.1"

  [[entries.providers]]
    id = "e"
    version = "1"
    extension = true

  [[entries.requires]]
    name = "dep"
    [entries.requires.metadata]
      version = "1.0"

  [[entries.requires]]
    name = "dep"
    version = "3"
    [entries.requires.metadata]

  [[entries.requires]]
    name = "d"

[[entries]]
"#;

    #[test]
    fn writes_what_it_reads() {
        let plan = parse(TEXT).unwrap();
        assert_eq!(render(&plan), TEXT);
        let kinds: Vec<_> = plan.entries[0].providers.iter().map(|provider| provider.kind).collect();
        assert_eq!(kinds, [ModuleKind::Buildpack, ModuleKind::Extension]);
        assert_eq!(plan.entries[1], PlanEntry::default());
    }

    #[test]
    fn an_empty_plan_is_an_empty_file() {
        assert_eq!(render(&Plan::default()), "");
        assert_eq!(parse(""), Ok(Plan::default()));
        assert_eq!(render_for_module(&[]), "");
    }

    #[test]
    fn a_module_gets_its_requirements_alone() {
        let requires = parse(TEXT).unwrap().entries.remove(0).requires;
        let expected = r#"[[entries]]
  name = "dep"
  [entries.metadata]
    version = "1.0"

[[entries]]
  name = "dep"
  version = "3"
  [entries.metadata]

[[entries]]
  name = "d"
"#;
        assert_eq!(render_for_module(&requires), expected);
    }
}
