//! What this very system is: its architecture, and its distribution from /etc/os-release.
//!
//! Clause: catalogue 1, section 3.5.

use crate::model::target::{Distro, RunTarget};

/// The architecture of this program in Go's naming, which images use.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The target of a system with this /etc/os-release; `None` when there is no such file.
pub fn target(os_release: Option<&str>) -> RunTarget {
    RunTarget {
        os: "linux".to_owned(),
        arch: architecture().to_owned(),
        distro: os_release.and_then(distro),
        ..RunTarget::default()
    }
}

/// Reads `ID` and `VERSION_ID`; lines with other than one `=` are passed over.
fn distro(os_release: &str) -> Option<Distro> {
    let value = |key: &str| {
        let lines = os_release.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(name, value)| *name == key && !value.contains('='));
        values.next_back().map(|(_, value)| value.trim_matches(['"', '\'', ' ', '\t']).to_owned()).unwrap_or_default()
    };
    let distro = Distro { name: value("ID"), version: value("VERSION_ID") };
    (distro != Distro::default()).then_some(distro)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_and_version_and_survives_odd_lines() {
        let target = target(Some("NAME=\"Ubuntu\"\nID=ubuntu\nID\nVERSION_ID=\"22.04\"\nX=a=b\n"));
        assert_eq!(target.distro, Some(Distro { name: "ubuntu".into(), version: "22.04".into() }));
        assert_eq!(super::target(None).distro, None);
    }

    #[cfg(feature = "images")]
    mod fuzz {
        #[test]
        fn files_that_name_a_distribution() {
            crate::fuzz::parser("os-release", 400, &[], |bytes| {
                super::target(Some(&String::from_utf8_lossy(bytes)));
            });
        }
    }
}
