//! From flags, environment and defaults to one value for each input.
//!
//! Clause: platform.md#operations; catalogue 1, section 1.5: a flag wins over a variable, a variable over the default;
//! an empty variable counts as unset, a variable that is no boolean as false, one that is no integer as 0. Variables
//! count at every version, also where the flag does not exist yet.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::num::IntErrorKind;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::inputs::{INPUTS, Input, Key, Kind};
use super::parse::{self, RawFlags, UsageError, parse_bool, parse_int};
use crate::model::env::Environment;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Flag,
    /// A variable.
    Env,
    /// The table.
    Default,
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// The values of all inputs.
#[derive(Clone, Debug)]
pub(super) struct Values {
    values: BTreeMap<Key, Resolved<Vec<OsString>>>,
    /// Positional arguments.
    pub positional: Vec<String>,
}

/// The place of an order.toml that came with the builder image.
const BUILDER_ORDER: &str = "/cnb/order.toml";
const PLACEHOLDER: &str = "<layers>";

impl Values {
    /// Resolves every input. `cwd` makes folders absolute; `exists` tells whether a file is there, for order.toml alone.
    pub(super) fn resolve(raw: &RawFlags, env: &Environment, cwd: &Path, exists: impl Fn(&Path) -> bool) -> Self {
        let mut values: BTreeMap<Key, Resolved<Vec<OsString>>> =
            INPUTS.iter().map(|input| (input.key, pick(input, raw, env))).collect();
        // The reference knows one input by two flags and two variables.
        let skip = [Key::SkipLayers, Key::SkipRestore].map(|key| values[&key].clone());
        if let Some(given) = skip.into_iter().find(|value| value.origin == Origin::Flag) {
            values.insert(Key::SkipLayers, given.clone());
            values.insert(Key::SkipRestore, given);
        }
        // Tekton's task gives the restorer `-layers=`: the reference then looks in the working directory.
        if let Some(layers) = values.get_mut(&Key::Layers).filter(|layers| layers.value[0].is_empty()) {
            layers.value = vec![cwd.into()];
        }
        let layers = values[&Key::Layers].value[0].clone();
        for input in INPUTS.iter().filter(|input| input.default.starts_with(PLACEHOLDER)) {
            let Some(resolved) = values.get_mut(&input.key) else { continue };
            let is_default = resolved.value == [OsString::from(input.default)];
            resolved.value.iter_mut().for_each(|value| *value = replace(value, &layers));
            if input.key == Key::Order && is_default && !exists(Path::new(&resolved.value[0])) {
                resolved.value = vec![BUILDER_ORDER.into()];
            }
        }
        for input in INPUTS.iter().filter(|input| input.kind == Kind::Dir) {
            let Some(resolved) = values.get_mut(&input.key) else { continue };
            // Programs of buildpacks start where the phase is, if the app's folder is named by nothing.
            let named = |value: &OsString| !value.is_empty() || input.key == Key::App;
            for value in resolved.value.iter_mut().filter(|value| named(value)) {
                *value = absolute(cwd, Path::new(value)).into();
            }
        }
        let positional = raw.positional.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        Self { values, positional }
    }

    fn first(&self, key: Key) -> &OsStr {
        self.values.get(&key).and_then(|resolved| resolved.value.first()).map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// A text; bytes that are no UTF-8 are replaced.
    pub(super) fn text(&self, key: Key) -> String {
        self.first(key).to_string_lossy().into_owned()
    }

    /// A text, or `None` when it is empty.
    pub(super) fn some_text(&self, key: Key) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// A path.
    pub(super) fn path(&self, key: Key) -> PathBuf {
        self.first(key).into()
    }

    /// A path, or `None` when it is empty.
    pub(super) fn some_path(&self, key: Key) -> Option<PathBuf> {
        Some(self.path(key)).filter(|path| !path.as_os_str().is_empty())
    }

    /// A boolean.
    pub(super) fn flag(&self, key: Key) -> bool {
        parse_bool(&self.text(key)).unwrap_or(false)
    }

    /// Holds that ids are ids: a number that is none must not be taken for root's.
    pub(super) fn check_ids<'a>(&self, mut flags: impl Iterator<Item = &'a Input>) -> Result<(), UsageError> {
        let is_none = |key| match parse_int(&self.text(key)) {
            Ok(number) => u32::try_from(number).map_or(true, |id| id == u32::MAX),
            Err(fault) => fault == IntErrorKind::PosOverflow,
        };
        match flags.find(|input| matches!(input.key, Key::Uid | Key::Gid) && is_none(input.key)) {
            Some(input) => Err(UsageError::Id(self.name(input.key), self.text(input.key))),
            None => Ok(()),
        }
    }

    /// A number; what is none counts as 0, as the reference has it.
    pub(super) fn id(&self, key: Key) -> u32 {
        parse_int(&self.text(key)).ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
    }

    /// Every value of a list.
    pub(super) fn list(&self, key: Key) -> Vec<String> {
        let values = self.values.get(&key).map(|resolved| resolved.value.as_slice()).unwrap_or_default();
        values.iter().map(|value| value.to_string_lossy().into_owned()).collect()
    }

    /// Says whether a value is one of its input: flags are refused that are none, variables are not.
    pub(super) fn fits(&self, key: Key) -> bool {
        row(key).is_none_or(|input| parse::check(input, self.first(key)).is_ok())
    }

    /// The name by which the user gave a value, for messages.
    pub(super) fn name(&self, key: Key) -> String {
        let Some(input) = row(key) else { return String::new() };
        match (self.origin(key), input.env.first()) {
            (Origin::Env, Some(name)) => (*name).to_owned(),
            _ => format!("-{}", input.flag),
        }
    }

    /// Where a value came from.
    pub(super) fn origin(&self, key: Key) -> Origin {
        self.values.get(&key).map_or(Origin::Default, |resolved| resolved.origin)
    }
}

fn row(key: Key) -> Option<&'static Input> {
    INPUTS.iter().find(|input| input.key == key)
}

fn pick(input: &Input, raw: &RawFlags, env: &Environment) -> Resolved<Vec<OsString>> {
    let variable = input.env.iter().filter_map(|name| env.get(name)).find(|value| !value.is_empty());
    let flags = raw.values.get(&input.key);
    if input.kind == Kind::List {
        let listed = variable.map(split_list).unwrap_or_default();
        let origin = match (flags, variable) {
            (Some(_), _) => Origin::Flag,
            (None, Some(_)) => Origin::Env,
            (None, None) => Origin::Default,
        };
        let items = listed.into_iter().chain(flags.into_iter().flatten().cloned());
        // Clients that pass every parameter of theirs write `-tag=` for none.
        return Resolved { value: items.filter(|item| !item.is_empty()).collect(), origin };
    }
    match (flags, variable) {
        (Some(values), _) => Resolved { value: values.clone(), origin: Origin::Flag },
        (None, Some(value)) => Resolved { value: vec![value.to_owned()], origin: Origin::Env },
        (None, None) => Resolved { value: vec![input.default.into()], origin: Origin::Default },
    }
}

/// Splits at commas; blanks belong to the items, as in the reference.
fn split_list(value: &OsStr) -> Vec<OsString> {
    value.as_bytes().split(|b| *b == b',').map(|item| OsString::from_vec(item.to_vec())).collect()
}

fn replace(value: &OsStr, layers: &OsStr) -> OsString {
    match value.as_bytes().strip_prefix(PLACEHOLDER.as_bytes()) {
        Some(rest) => OsString::from_vec([layers.as_bytes(), rest].concat()),
        None => value.to_owned(),
    }
}

/// Makes a path absolute and takes `.`, `..` and double slashes out of it, by its text alone, as Go's `filepath.Abs`.
pub(super) fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    use std::path::Component;
    cwd.join(path).components().fold(PathBuf::from("/"), |mut clean, component| {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::super::inputs::flags;
    use super::*;
    use crate::api::PlatformApi;
    use crate::effect::events::Phase;

    fn resolved(flags: &[(Key, &[&str])], env: &[(&str, &str)], exists: bool) -> Values {
        let values = flags.iter().map(|(key, values)| (*key, values.iter().map(OsString::from).collect())).collect();
        let raw = RawFlags { values, positional: Vec::new() };
        Values::resolve(&raw, &env.iter().copied().collect(), Path::new("/work"), |_| exists)
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_variable_over_the_default() {
        let env = [("CNB_LAYERS_DIR", "/a"), ("CNB_APP_DIR", "")];
        let values = resolved(&[(Key::Layers, &["/b"])], &env, true);
        assert_eq!(values.path(Key::Layers), Path::new("/b"));
        assert_eq!(values.origin(Key::Layers), Origin::Flag);
        assert_eq!(values.path(Key::App), Path::new("/workspace"), "an empty variable is unset");
        assert_eq!(resolved(&[], &env, true).path(Key::Layers), Path::new("/a"));
    }

    #[test]
    fn defaults_follow_the_layers_folder() {
        let values = resolved(&[(Key::Layers, &["/b"])], &[("CNB_LAYERS_DIR", "/a")], false);
        assert_eq!(values.path(Key::Group), Path::new("/b/group.toml"));
        assert_eq!(values.path(Key::Order), Path::new("/cnb/order.toml"));
        assert_eq!(resolved(&[], &[], true).path(Key::Order), Path::new("/layers/order.toml"));
        let own = resolved(&[(Key::Order, &["/own/order.toml"])], &[], false);
        assert_eq!(own.path(Key::Order), Path::new("/own/order.toml"));
    }

    #[test]
    fn an_empty_layers_folder_is_the_working_directory() {
        let values = resolved(&[(Key::Layers, &[""])], &[("CNB_LAYERS_DIR", "/a")], true);
        assert_eq!(values.path(Key::Layers), Path::new("/work"));
        assert_eq!(values.path(Key::Analyzed), Path::new("/work/analyzed.toml"));
    }

    #[test]
    fn folders_become_absolute_and_files_stay_as_given() {
        let values = resolved(&[(Key::Layers, &["l/../m"]), (Key::Group, &["g.toml"])], &[], false);
        assert_eq!(values.path(Key::Layers), Path::new("/work/m"));
        assert_eq!(values.path(Key::Group), Path::new("g.toml"));
        assert_eq!(values.path(Key::Plan), Path::new("l/../m/plan.toml"), "the folder as it was given");
        let empty = resolved(&[(Key::App, &[""]), (Key::Platform, &[""])], &[], false);
        assert_eq!(empty.path(Key::App), Path::new("/work"), "where programs start");
        assert_eq!(empty.path(Key::Platform), Path::new(""));
    }

    #[test]
    fn lists_append_flags_to_the_variable() {
        let env = [("CNB_INSECURE_REGISTRIES", "a, b")];
        let values = resolved(&[(Key::InsecureRegistries, &["c"])], &env, false);
        assert_eq!(values.list(Key::InsecureRegistries), ["a", " b", "c"]);
        assert!(resolved(&[], &[], false).list(Key::InsecureRegistries).is_empty());
    }

    #[test]
    fn a_bad_boolean_variable_is_false_and_a_bad_number_is_zero() {
        let values = resolved(&[], &[("CNB_USE_DAEMON", "yes"), ("CNB_USER_ID", "x"), ("CNB_GROUP_ID", "0x10")], false);
        assert!(!values.flag(Key::Daemon));
        assert_eq!((values.id(Key::Uid), values.id(Key::Gid)), (0, 16));
    }

    #[test]
    fn a_number_that_is_no_id_is_refused_where_ids_are_asked_for() {
        let checked = |phase, env: &[(&str, &str)]| {
            let api = PlatformApi::negotiate(Some("0.13")).unwrap();
            resolved(&[], env, false).check_ids(flags(phase, api)).map_err(|error| error.to_string())
        };
        for id in ["-1", "4294967295", "4294967296", "99999999999999999999"] {
            let expected =
                format!("invalid value \"{id}\" for CNB_GROUP_ID: a user or group id is a number from 0 to 4294967294");
            assert_eq!(checked(Phase::Export, &[("CNB_GROUP_ID", id)]), Err(expected));
            assert_eq!(checked(Phase::Detect, &[("CNB_GROUP_ID", id)]), Ok(()));
        }
        for id in ["0", "4294967294", "x", ""] {
            assert_eq!(checked(Phase::Export, &[("CNB_USER_ID", id)]), Ok(()));
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_known_and_has_the_name_that_the_user_gave_it() {
        let env = [("CNB_TRACES_OTLP", "maybe"), ("CNB_REDACT", "T"), ("CNB_TELEMETRY_SPOOL_LIMIT", "x")];
        let values = resolved(&[(Key::TelemetrySpoolLimit, &["0x"])], &env, false);
        assert_eq!([Key::TracesOtlp, Key::Redact, Key::Telemetry].map(|key| values.fits(key)), [false, true, true]);
        assert_eq!(values.name(Key::TracesOtlp), "CNB_TRACES_OTLP");
        assert_eq!(values.name(Key::TelemetrySpoolLimit), "-telemetry-spool-limit");
    }

    #[test]
    fn skip_restore_and_skip_layers_are_one_input() {
        assert!(resolved(&[], &[("CNB_SKIP_RESTORE", "true")], false).flag(Key::SkipLayers));
        assert!(
            !resolved(&[(Key::SkipLayers, &["false"])], &[("CNB_SKIP_RESTORE", "true")], false).flag(Key::SkipRestore)
        );
    }
}
