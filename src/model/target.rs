//! Targets: what a run image offers, and what a buildpack supports.
//!
//! Clauses: platform.md#analyzedtoml-toml, buildpack.md#targets-2.

/// A distribution and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distro {
    /// Such as `ubuntu`; empty in a buildpack's target matches any.
    pub name: String,
    /// Such as `22.04`; empty in a buildpack's target matches any.
    pub version: String,
}

/// The target of a run image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTarget {
    /// The `io.buildpacks.base.id` label; may be empty.
    pub id: String,
    /// Operating system, such as `linux`.
    pub os: String,
    /// Architecture in Go's naming, such as `amd64`.
    pub arch: String,
    /// Variant of the architecture, such as `v8`; may be empty.
    pub variant: String,
    /// The distribution, if the image's labels name one.
    pub distro: Option<Distro>,
}

/// One target that a buildpack or extension supports; an empty field matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleTarget {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Variant of the architecture.
    pub variant: String,
    /// Distributions; an empty list matches any.
    pub distros: Vec<Distro>,
}

impl RunTarget {
    /// Completes what is known of a run image by what is known of this very system, where buildpacks run: a run image
    /// that names no distribution takes the system's, and operating system and architecture where it has none either.
    pub fn completed(found: Option<&Self>, host: &Self) -> Self {
        let found = found.cloned().unwrap_or_default();
        if found.distro.is_some() {
            return found;
        }
        let or = |found: String, host: &str| if found.is_empty() { host.to_owned() } else { found };
        Self { os: or(found.os, &host.os), arch: or(found.arch, &host.arch), distro: host.distro.clone(), ..found }
    }

    /// Says whether an app that was made for target `app` runs on this one: the same system, and whatever this one says
    /// of variant and distribution is true of the app.
    pub fn can_carry(&self, app: &Self) -> bool {
        let says = |ours: &str, theirs: &str| ours.is_empty() || ours == theirs;
        let distro = match (&self.distro, &app.distro) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => says(&ours.name, &theirs.name) && says(&ours.version, &theirs.version),
        };
        let variant = app.variant.is_empty() || says(&self.variant, &app.variant);
        self.os == app.os && self.arch == app.arch && variant && distro
    }
}

impl ModuleTarget {
    /// Says whether an image of target `run` satisfies this one: equal where both say something, and one of the
    /// distributions if any is asked for.
    pub fn is_satisfied_by(&self, run: &RunTarget) -> bool {
        let agrees = |wanted: &str, found: &str| wanted.is_empty() || found.is_empty() || wanted == found;
        agrees(&self.os, &run.os)
            && agrees(&self.arch, &run.arch)
            && agrees(&self.variant, &run.variant)
            && (self.distros.is_empty()
                || run.distro.as_ref().is_some_and(|found| {
                    self.distros
                        .iter()
                        .any(|wanted| agrees(&wanted.name, &found.name) && agrees(&wanted.version, &found.version))
                }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(os: &str, arch: &str, distro: Option<(&str, &str)>) -> RunTarget {
        RunTarget {
            os: os.into(),
            arch: arch.into(),
            distro: distro.map(|(name, version)| Distro { name: name.into(), version: version.into() }),
            ..RunTarget::default()
        }
    }

    #[test]
    fn the_system_stands_in_where_the_run_image_names_no_distro() {
        let host = run("linux", "amd64", Some(("ubuntu", "22.04")));
        assert_eq!(RunTarget::completed(None, &host), host);
        let found = run("linux", "arm64", None);
        assert_eq!(RunTarget::completed(Some(&found), &host), run("linux", "arm64", Some(("ubuntu", "22.04"))));
        let found = run("linux", "", Some(("debian", "12")));
        assert_eq!(RunTarget::completed(Some(&found), &host), found);
    }

    #[test]
    fn an_app_is_carried_by_its_own_system_alone() {
        let app = run("linux", "amd64", Some(("ubuntu", "22.04")));
        for (base, fits) in [
            (run("linux", "amd64", None), true),
            (run("linux", "amd64", Some(("ubuntu", ""))), true),
            (run("linux", "amd64", Some(("ubuntu", "24.04"))), false),
            (run("linux", "amd64", Some(("debian", "22.04"))), false),
            (run("linux", "arm64", None), false),
            (run("windows", "amd64", None), false),
        ] {
            assert_eq!(base.can_carry(&app), fits, "{base:?}");
        }
        assert!(!app.can_carry(&run("linux", "amd64", None)), "a distribution that the app knows nothing of");
        let variant = |variant: &str| RunTarget { variant: variant.into(), ..run("linux", "arm64", None) };
        assert!(variant("v8").can_carry(&variant("")));
        assert!(variant("").can_carry(&variant("v8")));
        assert!(!variant("v7").can_carry(&variant("v8")));
    }

    #[test]
    fn an_empty_field_matches_anything() {
        assert!(ModuleTarget::default().is_satisfied_by(&run("linux", "amd64", None)));
        let target = ModuleTarget { os: "linux".into(), ..ModuleTarget::default() };
        assert!(target.is_satisfied_by(&run("linux", "arm64", None)));
        assert!(!target.is_satisfied_by(&run("windows", "amd64", None)));
    }

    #[test]
    fn a_distro_must_be_known_when_one_is_asked_for() {
        let distros = vec![Distro { name: "ubuntu".into(), version: String::new() }];
        let target = ModuleTarget { distros, ..ModuleTarget::default() };
        assert!(target.is_satisfied_by(&run("linux", "amd64", Some(("ubuntu", "22.04")))));
        assert!(!target.is_satisfied_by(&run("linux", "amd64", Some(("debian", "12")))));
        assert!(!target.is_satisfied_by(&run("linux", "amd64", None)));
    }
}
