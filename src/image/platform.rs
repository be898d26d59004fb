//! Which image of an index is meant.
//!
//! Linux on the architecture that this lifecycle was built for, or that the platform asked for: the first entry that
//! fits, as the reference's registry library chooses.

use oci_spec::image::{Arch, Os};

use crate::schema::image::IndexEntry;

/// Chooses the entry of an index for Linux on `architecture`, in Go's naming. An entry that names no platform stands for
/// linux/amd64, as in the reference, unless another one names that.
pub(crate) fn choose<'a>(entries: &'a [IndexEntry], architecture: &str) -> Option<&'a IndexEntry> {
    let wanted = (Os::Linux, Arch::from(architecture));
    let unnamed = || entries.iter().find(|entry| entry.platform.is_none()).filter(|_| wanted.1 == Arch::Amd64);
    entries.iter().find(|entry| entry.platform.as_ref() == Some(&wanted)).or_else(unnamed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::image::sha256;
    use crate::model::image::Descriptor;

    pub(crate) fn entry(content: &str, platform: Option<(&str, &str)>) -> IndexEntry {
        IndexEntry {
            descriptor: Descriptor {
                media_type: String::new(),
                size: 1,
                digest: sha256::digest(content.as_bytes()),
                urls: Vec::new(),
                annotations: std::collections::BTreeMap::new(),
            },
            platform: platform.map(|(os, arch)| (os.into(), arch.into())),
        }
    }

    #[test]
    fn passes_over_attestations_and_other_platforms() {
        let entries = [
            entry("a", Some(("unknown", "unknown"))),
            entry("b", Some(("windows", "amd64"))),
            entry("c", None),
            entry("d", Some(("linux", "arm64"))),
        ];
        assert_eq!(choose(&entries, "arm64"), Some(&entries[3]));
        assert_eq!(choose(&entries, "s390x"), None);
    }

    #[test]
    fn an_entry_without_a_platform_is_for_linux_on_amd64() {
        let entries = [entry("a", Some(("linux", "arm64"))), entry("b", None), entry("c", Some(("linux", "amd64")))];
        assert_eq!(choose(&entries[..2], "amd64"), Some(&entries[1]));
        assert_eq!(choose(&entries, "amd64"), Some(&entries[2]));
        assert_eq!(choose(&entries[1..], "arm64"), None);
    }
}
