//! Targets of images as JSON, as the reference's messages show them.

use serde::Serialize;

use super::json;
use crate::model::target::RunTarget;

/// Writes a target.
pub fn render(target: &RunTarget) -> String {
    json::render(&Target {
        id: &target.id,
        os: &target.os,
        arch: &target.arch,
        arch_variant: &target.variant,
        distro: target.distro.as_ref().map(|distro| Distro { name: &distro.name, version: &distro.version }),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Target<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    os: &'a str,
    arch: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    arch_variant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    distro: Option<Distro<'a>>,
}

#[derive(Serialize)]
struct Distro<'a> {
    name: &'a str,
    version: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::target;

    #[test]
    fn writes_what_is_known() {
        let some = RunTarget { os: "linux".into(), arch: "amd64".into(), ..RunTarget::default() };
        assert_eq!(render(&some), r#"{"os":"linux","arch":"amd64"}"#);
        let all = RunTarget {
            id: "i".into(),
            variant: "v".into(),
            distro: Some(target::Distro { name: "<n>".into(), version: String::new() }),
            ..some
        };
        assert_eq!(
            render(&all),
            r#"{"id":"i","os":"linux","arch":"amd64","arch-variant":"v","distro":{"name":"\u003cn\u003e","version":""}}"#
        );
    }
}
