//! What an extension gives its Dockerfiles: extend-config.toml.
//!
//! Clause: image_extension.md#extend-configtoml-toml.

/// Arguments that the lifecycle gives itself.
const RESERVED: [&str; 3] = ["build_id", "user_id", "group_id"];

/// The contents of extend-config.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendConfig {
    /// `[[build.args]]`: arguments of build.Dockerfile.
    pub build: Vec<ExtendArgument>,
    /// `[[run.args]]`: arguments of run.Dockerfile.
    pub run: Vec<ExtendArgument>,
}

/// An argument and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendArgument {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl ExtendConfig {
    /// The first argument that only the lifecycle may give.
    pub fn reserved(&self) -> Option<&str> {
        let names = self.build.iter().chain(&self.run).map(|argument| argument.name.as_str());
        names.into_iter().find(|name| RESERVED.contains(name))
    }
}
