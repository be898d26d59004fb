//! Environments of buildpacks and processes, and the rules by which files change them.
//!
//! Clause: buildpack.md#environment-variable-modification-rules. The builder and the launcher share these rules.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Variables by name, in byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// One file of an `env` folder: its name with suffix, and its raw contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// The file's name, such as `PATH.prepend`.
    pub name: OsString,
    /// Its bytes, nothing trimmed.
    pub value: OsString,
}

/// What a file without a suffix does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSuffix {
    /// It sets the variable: layers of buildpacks.
    Override,
    /// It sets the variable unless that has a value: the platform's build configuration.
    Default,
}

impl Environment {
    /// The value of a variable; `None` if it is not set.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: impl AsRef<OsStr>) {
        self.0.remove(name.as_ref());
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Puts a value in front of what a list variable holds, with `:` between them.
    pub fn prepend_path(&mut self, name: &str, value: &OsStr) {
        self.combine(OsStr::new(name), value, OsStr::new(":"), Side::Front);
    }

    /// Applies the files of one `env` folder, in the given order.
    ///
    /// The text before the first `.` of a file's name is the variable, the rest is the rule; an unknown rule does
    /// nothing. `<NAME>.delim` in the same folder is the delimiter of `<NAME>.append` and `<NAME>.prepend`, and of
    /// `<NAME>.`, which has `:` without one.
    pub fn apply(&mut self, files: &[EnvFile], no_suffix: NoSuffix) {
        for file in files {
            let (name, suffix) = split(&file.name);
            let delimiter_or = |default: &'static str| {
                let wanted = [name.as_bytes(), b".delim"].concat();
                let given = files.iter().find(|other| other.name.as_bytes() == wanted);
                given.map_or(OsStr::new(default), |other| &other.value)
            };
            match (suffix, no_suffix) {
                (Some(b"override"), _) | (None, NoSuffix::Override) => self.set(name, &file.value),
                (Some(b"default"), _) | (None, NoSuffix::Default) => {
                    if self.get(name).is_none_or(OsStr::is_empty) {
                        self.set(name, &file.value);
                    }
                }
                (Some(b"append"), _) => self.combine(name, &file.value, delimiter_or(""), Side::Back),
                (Some(b"prepend"), _) => self.combine(name, &file.value, delimiter_or(""), Side::Front),
                (Some(b""), _) => self.combine(name, &file.value, delimiter_or(":"), Side::Front),
                (Some(_), _) => {}
            }
        }
    }

    /// Joins a value, empty or not, to the one that is there; without one, or beside an empty one, it stands alone.
    ///
    /// It grows where it lies: a hundred layers put their folders in front of the same `PATH`.
    fn combine(&mut self, name: &OsStr, value: &OsStr, delimiter: &OsStr, side: Side) {
        let Some(old) = self.0.get_mut(name).filter(|old| !old.is_empty()) else { return self.set(name, value) };
        if let Side::Back = side {
            old.push(delimiter);
            return old.push(value);
        }
        let mut joined = std::mem::take(old).into_vec();
        let (value, delimiter, end) = (value.as_bytes(), delimiter.as_bytes(), joined.len());
        let start = value.len() + delimiter.len();
        joined.resize(start + end, 0);
        joined.copy_within(..end, start);
        joined[..value.len()].copy_from_slice(value);
        joined[value.len()..start].copy_from_slice(delimiter);
        *old = OsString::from_vec(joined);
    }
}

#[derive(Clone, Copy)]
enum Side {
    Front,
    Back,
}

/// Splits a file's name at its first `.`.
fn split(name: &OsStr) -> (&OsStr, Option<&[u8]>) {
    let bytes = name.as_bytes();
    match bytes.iter().position(|b| *b == b'.') {
        Some(dot) => (OsStr::from_bytes(&bytes[..dot]), Some(&bytes[dot + 1..])),
        None => (name, None),
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        // One by one: collecting into the map would bring a whole sort into the launcher.
        let mut env = Self::default();
        for (name, value) in variables {
            env.set(name, value);
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Vec<EnvFile> {
        files.iter().map(|(name, value)| EnvFile { name: name.into(), value: value.into() }).collect()
    }

    fn applied(before: &[(&str, &str)], given: &[(&str, &str)], no_suffix: NoSuffix) -> Environment {
        let mut env: Environment = before.iter().copied().collect();
        env.apply(&files(given), no_suffix);
        env
    }

    #[test]
    fn a_file_without_suffix_overrides_in_layers_and_is_a_default_in_build_config() {
        let before = [("A", "old")];
        assert_eq!(applied(&before, &[("A", "new")], NoSuffix::Override).get("A"), Some(OsStr::new("new")));
        assert_eq!(applied(&before, &[("A", "new")], NoSuffix::Default).get("A"), Some(OsStr::new("old")));
    }

    #[test]
    fn an_empty_variable_takes_a_default() {
        assert_eq!(applied(&[("A", "")], &[("A.default", "x")], NoSuffix::Override).get("A"), Some(OsStr::new("x")));
    }

    #[test]
    fn a_delimiter_stands_beside_a_value_that_was_there() {
        let given = [("A.append", "b"), ("A.delim", "**"), ("N.prepend", "b"), ("N.delim", ";")];
        let env = applied(&[("A", "a")], &given, NoSuffix::Override);
        assert_eq!(env.get("A"), Some(OsStr::new("a**b")));
        assert_eq!(env.get("N"), Some(OsStr::new("b")));
    }

    #[test]
    fn a_delimiter_stands_beside_an_empty_file_too() {
        let given = [("A.append", ""), ("A.delim", "**"), ("B.prepend", ""), ("B.delim", ";"), ("C.", "")];
        let env = applied(&[("A", "a"), ("B", "b"), ("C", "c")], &given, NoSuffix::Override);
        assert_eq!(env.get("A"), Some(OsStr::new("a**")));
        assert_eq!(env.get("B"), Some(OsStr::new(";b")));
        assert_eq!(env.get("C"), Some(OsStr::new(":c")));
    }

    #[test]
    fn there_is_no_delimiter_by_default() {
        assert_eq!(applied(&[("A", "a")], &[("A.prepend", "b")], NoSuffix::Override).get("A"), Some(OsStr::new("ba")));
    }

    #[test]
    fn an_empty_suffix_prepends_with_a_colon_or_the_delimiter() {
        let given = [("A.", "b"), ("D.", "b"), ("D.delim", ";")];
        let env = applied(&[("A", "a"), ("D", "d")], &given, NoSuffix::Override);
        assert_eq!(env.get("A"), Some(OsStr::new("b:a")));
        assert_eq!(env.get("D"), Some(OsStr::new("b;d")));
    }

    #[test]
    fn unknown_suffixes_do_nothing() {
        let given = [("A.weird", "x"), ("B.append.x", "y"), ("C.delim", "z")];
        assert_eq!(applied(&[], &given, NoSuffix::Override), Environment::default());
    }
}
