//! `spec-fixtures/clauses.toml`, the ledger: every obligation of the specification, and what proves it.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{proof, table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    clause: Vec<Clause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clause {
    /// Names it for ever.
    id: String,
    /// The document and section.
    anchor: String,
    /// What it asks for, in our words.
    text: String,
    /// Cases and tests.
    #[serde(default)]
    cases: Vec<String>,
    /// Why there are none.
    reason: Option<String>,
    /// Where the reference, and so this lifecycle, does otherwise.
    #[serde(rename = "note")]
    _note: Option<String>,
}

/// The reason of what waits for a case.
const OPEN: &str = "not covered yet";

#[test]
fn every_clause_has_proof_or_a_reason() {
    let ledger: Ledger = table("clauses.toml");
    let mut ids = BTreeSet::new();
    let mut faults = Vec::new();
    for clause in &ledger.clause {
        if !ids.insert(&clause.id) {
            faults.push(format!("{} is there twice", clause.id));
        }
        if clause.cases.is_empty() == clause.reason.is_none() {
            faults.push(format!("{}: either cases or a reason", clause.id));
        }
        if clause.text.is_empty() || !["platform.md#", "buildpack.md#"].iter().any(|d| clause.anchor.starts_with(d)) {
            faults.push(format!("{}: a text and an anchor", clause.id));
        }
        faults.extend(proof::unknown(&clause.cases).iter().map(|name| format!("{}: there is no {name}", clause.id)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let reasons = |wanted: bool| {
        let clauses = ledger.clause.iter().filter_map(|clause| clause.reason.as_deref());
        clauses.filter(|reason| (*reason == OPEN) == wanted).count()
    };
    println!(
        "{} clauses: {} with cases or tests, {} not covered yet, {} without for another reason",
        ledger.clause.len(),
        ledger.clause.iter().filter(|clause| !clause.cases.is_empty()).count(),
        reasons(true),
        reasons(false),
    );
}
