//! Registries that refuse, break or talk nonsense: one line that says so, the exit code of the phase, nothing half-written.
//!
//! Clause: platform.md#exit-codes.

use crate::support::answering::Answering;
use crate::support::platform::Platform;
use crate::support::registry::Registry;

/// A registry's own form of a refusal.
const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;

#[test]
fn it_is_not_there() {
    todo!()
}
