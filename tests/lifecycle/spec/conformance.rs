//! `spec-fixtures/conformance`: what the reference was seen to do, rule by rule, and what proves that this lifecycle does it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;

use super::{folder, proof, table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    /// What the catalogue is about.
    #[serde(rename = "about")]
    _about: String,
    /// The parts of the catalogue, and how many rules each has: their ids are `<part>-1` to `<part>-<n>`.
    parts: BTreeMap<String, usize>,
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    /// The rule, in our words.
    what: String,
    /// Cases and tests.
    #[serde(default)]
    proof: Vec<String>,
    /// Why there are none.
    reason: Option<String>,
    /// Where this lifecycle does otherwise on purpose.
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// The reason of what waits for a test.
const OPEN: &str = "not covered yet";

impl Catalogue {
    /// What is wrong with it: rules that are missing, there twice, not in any part, or without proof.
    fn faults(&self) -> Vec<String> {
        let expected = self.parts.iter().flat_map(|(part, last)| (1..=*last).map(move |n| format!("{part}-{n}")));
        let mut missing: BTreeSet<String> = expected.collect();
        let mut faults = Vec::new();
        for rule in &self.rule {
            if !missing.remove(&rule.id) {
                faults.push(format!("{} is there twice, or no part has it", rule.id));
            }
            if rule.what.is_empty() {
                faults.push(format!("{} says nothing", rule.id));
            }
            if rule.proof.is_empty() == rule.reason.is_none() {
                faults.push(format!("{}: either proof or a reason", rule.id));
            }
            faults.extend(proof::unknown(&rule.proof).iter().map(|name| format!("{}: there is no {name}", rule.id)));
        }
        faults.extend(missing.into_iter().map(|id| format!("{id} is missing")));
        faults
    }
}

#[test]
fn every_rule_has_proof_or_a_reason() {
    let names = fs::read_dir(folder().join("conformance")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut faults = Vec::new();
    for name in names.map(|name| name.into_string().unwrap()) {
        let catalogue: Catalogue = table(&format!("conformance/{name}"));
        faults.extend(catalogue.faults().into_iter().map(|fault| format!("{name}: {fault}")));
        let open = catalogue.rule.iter().filter(|rule| rule.reason.as_deref() == Some(OPEN));
        let open: Vec<&str> = open.map(|rule| rule.id.as_str()).collect();
        println!("{name}: {} rules, {} not covered yet: {}", catalogue.rule.len(), open.len(), open.join(" "));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_rule_that_is_missing_or_has_no_proof_is_a_fault() {
    let read = |text: &str| toml::from_str::<Catalogue>(&format!("about = 'x'\n{text}")).unwrap().faults();
    let rule = "[[rule]]\nid = 'item-1'\nwhat = 'x'\n";
    assert_eq!(read("rule = []\n[parts]\nitem = 1"), ["item-1 is missing"]);
    assert_eq!(read(&format!("[parts]\nitem = 1\n{rule}")), ["item-1: either proof or a reason"]);
    let proof = "proof = ['no/such/case']\n";
    assert_eq!(read(&format!("[parts]\nitem = 1\n{rule}{proof}")), ["item-1: there is no no/such/case"]);
    let reason = format!("{rule}reason = 'x'\n");
    assert_eq!(read(&format!("[parts]\nitem = 1\n{reason}{reason}")), ["item-1 is there twice, or no part has it"]);
}
