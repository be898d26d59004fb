//! Targets of run images as JSON, as several sentences show them.

use serde_json::{Value, json};

use crate::model::target::RunTarget;

/// A run image's target in the reference's JSON form.
pub(super) fn target_json(target: &RunTarget) -> Value {
    let mut json = json!({});
    if !target.id.is_empty() {
        json["id"] = json!(target.id);
    }
    json["os"] = json!(target.os);
    json["arch"] = json!(target.arch);
    if !target.variant.is_empty() {
        json["arch-variant"] = json!(target.variant);
    }
    if let Some(distro) = &target.distro {
        json["distro"] = json!({ "name": distro.name, "version": distro.version });
    }
    json
}
