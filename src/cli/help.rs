//! The usage text, made of the rows of `INPUTS`.

use std::fmt::Write as _;

use super::inputs::{Input, Kind, flags};
use crate::api::PlatformApi;
use crate::effect::events::Phase;

/// The usage of a phase at a version, in the form that Go's flag package prints.
pub(super) fn usage(phase: Phase, api: PlatformApi) -> String {
    flags(phase, api).fold("Usage of lifecycle:\n".to_owned(), |mut text, input| {
        let (kind, default) = (kind(input), default(input));
        let _ = writeln!(text, "  -{}{kind}\n    \t{}{default}", input.flag, input.help);
        text
    })
}

fn kind(input: &Input) -> &'static str {
    match input.kind {
        Kind::Bool | Kind::BoolOrAll => "",
        Kind::Int => " int",
        Kind::List => " value",
        Kind::Text | Kind::File | Kind::Dir => " string",
    }
}

fn default(input: &Input) -> String {
    match input.kind {
        Kind::Bool | Kind::BoolOrAll | Kind::Int | Kind::List => String::new(),
        _ if input.default.is_empty() => String::new(),
        _ => format!(" (default \"{}\")", input.default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_flags_of_the_version_only() {
        let usage = usage(Phase::Detect, PlatformApi::negotiate(Some("0.9")).unwrap());
        assert!(
            usage.starts_with(
                "Usage of lifecycle:\n  -app string\n    \tpath to app directory (default \"/workspace\")\n"
            )
        );
        assert!(!usage.contains("-extensions"));
    }
}
