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
