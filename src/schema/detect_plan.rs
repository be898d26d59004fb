//! The build plan that bin/detect writes. Clause: buildpack.md#build-plan-toml.

use super::read::{Fields, Problem};
use super::wire::{each, require};
use super::{Error, read};
use crate::model::plan::{DetectPlan, PlanSection};

/// Reads a build plan: the top level, then each `[[or]]`.
pub fn parse(text: &str) -> Result<DetectPlan, Error> {
    read::toml(text, |root| {
        let mut alternatives = vec![section(root)?];
        alternatives.extend(each(root, "or", section)?);
        Ok(DetectPlan { alternatives })
    })
}

fn section(fields: &Fields<'_>) -> Result<PlanSection, Problem> {
    Ok(PlanSection {
        provides: each(fields, "provides", |provide| provide.text("name"))?,
        requires: each(fields, "requires", require)?,
    })
}
