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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;

    #[test]
    fn reads_alternatives_in_order() {
        let plan = parse(
            "provides = [{name = 'a'}]\n[[requires]]\nname = 'b'\nversion = '1'\nmetadata.v = 2\n[[or]]\n[[or.provides]]\nname = 'c'\n[[or]]\n",
        )
        .unwrap();
        assert_eq!(plan.alternatives.len(), 3);
        assert_eq!(plan.alternatives[0].provides, ["a"]);
        let require = &plan.alternatives[0].requires[0];
        assert_eq!((require.name.as_str(), require.version.as_deref()), ("b", Some("1")));
        assert_eq!(require.metadata.as_ref().unwrap()["v"], Value::Int(2));
        assert_eq!(plan.alternatives[1].provides, ["c"]);
        assert_eq!(plan.alternatives[2], PlanSection::default());
    }

    #[test]
    fn an_empty_file_has_one_empty_alternative() {
        assert_eq!(parse("").unwrap().alternatives, [PlanSection::default()]);
    }
}
