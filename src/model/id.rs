//! Names with a grammar: ids of buildpacks and extensions, and names of layers.

use std::fmt;

/// The id of a buildpack or extension, such as `samples/hello-world`.
///
/// The reference checks no alphabet, so neither does this; only what could not be a folder name is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(String);

/// The text cannot be an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' cannot be the id of a buildpack or extension")]
pub struct IdError(pub String);

impl ModuleId {
    /// Reads an id.
    ///
    /// # Errors
    /// The text is empty, `.`, `..` or has a NUL byte: it could not be a folder under `<layers>`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text == "." || text == ".." || text.contains('\0') {
            return Err(IdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder name that stands for the id: every `/` is `_`.
    pub fn escaped(&self) -> String {
        self.0.replace('/', "_")
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of module an order names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModuleKind {
    /// A buildpack.
    Buildpack,
    /// An image extension.
    Extension,
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buildpack => "Buildpack",
            Self::Extension => "Extension",
        })
    }
}

/// The name of a layer of a buildpack: the folder `<layers>/<buildpack>/<name>` and its `<name>.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerName(String);

impl LayerName {
    /// Reads a layer name.
    ///
    /// # Errors
    /// The text is no single file name.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text == "." || text == ".." || text.contains(['/', '\0']) {
            return Err(IdError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_slashes_only() {
        assert_eq!(ModuleId::parse("a/b.c_d").unwrap().escaped(), "a_b.c_d");
    }

    #[test]
    fn refuses_what_leads_out_of_the_layers_folder() {
        for text in ["", ".", ".."] {
            assert!(ModuleId::parse(text).is_err());
            assert!(LayerName::parse(text).is_err());
        }
        assert!(LayerName::parse("a/b").is_err());
    }
}
