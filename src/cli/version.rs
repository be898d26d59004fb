//! What this lifecycle calls itself. `make` sets the three values; clients gate features on the version (policy P36).

use crate::schema::label::LifecycleInfo;

/// The version, the source and the commit that this binary was built from.
pub fn info() -> LifecycleInfo {
    let given =
        |value: Option<&str>, default: &str| value.filter(|text| !text.is_empty()).unwrap_or(default).to_owned();
    LifecycleInfo {
        version: given(option_env!("LIFECYCLE_VERSION"), env!("CARGO_PKG_VERSION")),
        repository: given(option_env!("SCM_REPO"), ""),
        commit: given(option_env!("SCM_COMMIT"), ""),
    }
}

/// The text that `-version` prints: `<version>+<commit>`, without a commit that is unknown or in the version already.
pub(super) fn text(info: &LifecycleInfo) -> String {
    if info.commit.is_empty() || info.version.contains(&info.commit) {
        info.version.clone()
    } else {
        format!("{}+{}", info.version, info.commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_named_once() {
        let info = |version: &str, commit: &str| LifecycleInfo {
            version: version.into(),
            commit: commit.into(),
            repository: String::new(),
        };
        assert_eq!(text(&info("0.22.0", "abc")), "0.22.0+abc");
        assert_eq!(text(&info("0.22.0+abc", "abc")), "0.22.0+abc");
        assert_eq!(text(&info("0.22.0", "")), "0.22.0");
    }
}
