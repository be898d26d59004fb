//! Which program this is: by the name it was called, else by its first argument.
//!
//! Catalogue 1, section 1.1.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::effect::events::Phase;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dispatch {
    /// Run a phase with these arguments, under the name by which it was called.
    Phase {
        /// The phase.
        phase: Phase,
        /// `detector` or `detect`.
        name: String,
        /// The arguments behind the name.
        args: Vec<OsString>,
    },
    /// Print the version.
    Version,
    /// Send what earlier phases left in their spools.
    Ship(Vec<OsString>),
    /// Show traces.
    Trace(Vec<OsString>),
    /// There is no word that could name a phase.
    NoPhase,
    /// The word names no phase.
    Unknown(String),
}

/// Reads the program's name and the first argument.
pub(super) fn dispatch(args: &[OsString]) -> Dispatch {
    let base = |word: &OsStr| Path::new(word).file_name().unwrap_or_default().to_owned();
    let program = args.first().map(|word| base(word)).unwrap_or_default();
    // `detector.exe` and `detector.v2` are both `detector`.
    let program = Path::new(&program).file_stem().unwrap_or_default();
    for phase in Phase::ALL {
        // The reference knows the first name only; a link named by the verb is as clear.
        for name in [phase.program(), phase.verb()] {
            if program == name {
                return Dispatch::Phase { phase, name: name.to_owned(), args: args[1..].to_vec() };
            }
        }
    }
    let Some(word) = args.get(1) else { return Dispatch::NoPhase };
    let rest = args[2..].to_vec();
    let verb = base(word);
    match Phase::ALL.into_iter().find(|phase| verb == phase.verb()) {
        Some(phase) => Dispatch::Phase { phase, name: phase.verb().to_owned(), args: rest },
        None if word == "-version" => Dispatch::Version,
        None if word == "ship" => Dispatch::Ship(rest),
        None if word == "trace" => Dispatch::Trace(rest),
        None => Dispatch::Unknown(verb.to_string_lossy().into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatched(words: &[&str]) -> Dispatch {
        dispatch(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_with_any_extension_is_a_phase() {
        for word in ["/cnb/lifecycle/detector", "detector.exe", "detector.v2"] {
            let Dispatch::Phase { phase, name, args } = dispatched(&[word, "-x"]) else { panic!("{word}") };
            assert_eq!((phase, name.as_str(), args), (Phase::Detect, "detector", vec!["-x".into()]));
        }
    }

    #[test]
    fn a_link_named_by_the_verb_is_the_phase() {
        let Dispatch::Phase { phase, args, .. } = dispatched(&["/bin/analyze", "image"]) else { panic!() };
        assert_eq!((phase, args), (Phase::Analyze, vec!["image".into()]));
    }

    #[test]
    fn verbs_are_subcommands_and_nouns_are_not() {
        let Dispatch::Phase { phase, name, .. } = dispatched(&["lifecycle", "/any/detect"]) else { panic!() };
        assert_eq!((phase, name.as_str()), (Phase::Detect, "detect"));
        assert_eq!(dispatched(&["lifecycle", "detector"]), Dispatch::Unknown("detector".into()));
        assert_eq!(dispatched(&["lifecycle"]), Dispatch::NoPhase);
        assert_eq!(dispatched(&[]), Dispatch::NoPhase);
    }

    #[test]
    fn the_version_needs_one_dash() {
        assert_eq!(dispatched(&["lifecycle", "-version"]), Dispatch::Version);
        assert_eq!(dispatched(&["lifecycle", "--version"]), Dispatch::Unknown("--version".into()));
    }
}
