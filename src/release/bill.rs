//! What a program was made of: the model that all three SBOMs are written from.

use std::collections::BTreeSet;

/// What is linked into one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The file's name: `lifecycle` or `launcher`.
    pub program: String,
    /// The version of the release.
    pub version: String,
    /// The SHA-256 of the program, in hex.
    pub sha256: String,
    /// When the release was made, RFC 3339.
    pub created: String,
    /// The program's own crate first, then everything it links, by name and version.
    pub components: Vec<Component>,
}

/// A part of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression; empty if it declares none.
    pub license: String,
    /// Where its source is developed; empty if it says nothing of it.
    pub repository: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What it links itself: indices into [`Bill::components`].
    pub dependencies: BTreeSet<usize>,
}

/// Where a [`Component`] comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This repository.
    Own,
    /// crates.io, as `Cargo.lock` has it.
    CratesIo {
        /// The SHA-256 of the crate's archive, in hex.
        checksum: String,
    },
    /// The Rust toolchain: its standard library.
    Toolchain,
}

impl Component {
    /// The package URL. The program's own crate is on no registry, so it is a generic one.
    pub fn purl(&self) -> String {
        let kind = match self.origin {
            Origin::CratesIo { .. } => "cargo",
            Origin::Own | Origin::Toolchain => "generic",
        };
        format!("pkg:{kind}/{}@{}", self.name, self.version.replace('+', "%2B"))
    }

    /// The SHA-256 of what was downloaded, if it was.
    pub fn checksum(&self) -> Option<&str> {
        match &self.origin {
            Origin::CratesIo { checksum } => Some(checksum),
            Origin::Own | Origin::Toolchain => None,
        }
    }

    /// Where its archive is, if it is on crates.io.
    pub fn download(&self) -> Option<String> {
        let Self { name, version, .. } = self;
        self.checksum().map(|_| format!("https://static.crates.io/crates/{name}/{name}-{version}.crate"))
    }
}

impl Bill {
    /// The id of a component that is unique in this bill, of letters, digits, `.` and `-` only.
    pub fn id(component: &Component) -> String {
        let text = format!("{}-{}", component.name, component.version);
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
    }

    /// A UUID of the program's bytes: the same program has the same documents. Version 8, which leaves its bits free.
    pub fn uuid(&self) -> String {
        let hex: Vec<char> = self.sha256.chars().chain(std::iter::repeat('0')).take(32).collect();
        let part = |range: std::ops::Range<usize>| hex[range].iter().collect::<String>();
        format!("{}-{}-8{}-8{}-{}", part(0..8), part(8..12), part(13..16), part(17..20), part(20..32))
    }
}

/// A bill for the tests of writers: a program with two crates, one of which links the other.
#[cfg(test)]
pub(super) fn sample() -> Bill {
    let component = |name: &str, version: &str, license: &str, origin: Origin, dependencies: &[usize]| Component {
        name: name.to_owned(),
        version: version.to_owned(),
        license: license.to_owned(),
        repository: if license.is_empty() { String::new() } else { format!("https://example.com/{name}") },
        origin,
        dependencies: dependencies.iter().copied().collect(),
    };
    let checked = |digit: &str| Origin::CratesIo { checksum: digit.repeat(64) };
    Bill {
        program: "launcher".to_owned(),
        version: "0.22.0".to_owned(),
        sha256: "0123456789abcdef".repeat(4),
        created: "1980-01-01T00:00:01Z".to_owned(),
        components: vec![
            component("cnb-lifecycle", "0.22.0", "Apache-2.0", Origin::Own, &[1, 3]),
            component("a_b", "1.0.0+x", "MIT OR Apache-2.0", checked("a"), &[2]),
            component("c", "2.0.0", "", checked("c"), &[]),
            component("std", "1.90.0", "MIT OR Apache-2.0", Origin::Toolchain, &[]),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_follow_the_origin() {
        let bill = sample();
        let purls: Vec<String> = bill.components.iter().map(Component::purl).collect();
        assert_eq!(
            purls,
            [
                "pkg:generic/cnb-lifecycle@0.22.0",
                "pkg:cargo/a_b@1.0.0%2Bx",
                "pkg:cargo/c@2.0.0",
                "pkg:generic/std@1.90.0"
            ]
        );
        assert_eq!(bill.components[2].download().unwrap(), "https://static.crates.io/crates/c/c-2.0.0.crate");
        assert_eq!(bill.components[3].download(), None);
        assert_eq!(Bill::id(&bill.components[1]), "a-b-1.0.0-x");
    }

    #[test]
    fn the_uuid_is_made_of_the_program() {
        assert_eq!(sample().uuid(), "01234567-89ab-8def-8123-456789abcdef");
    }
}
