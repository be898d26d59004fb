//! extend-config.toml. Clause: image_extension.md#extend-configtoml-toml.

use super::read::{Fields, Problem};
use super::wire::each;
use super::{Error, read};
use crate::model::extend_config::{ExtendArgument, ExtendConfig};

/// Reads extend-config.toml.
pub fn parse(text: &str) -> Result<ExtendConfig, Error> {
    read::toml(text, |root| {
        let arguments = |key| each(&root.section(key)?, "args", argument);
        Ok(ExtendConfig { build: arguments("build")?, run: arguments("run")? })
    })
}

fn argument(fields: &Fields<'_>) -> Result<ExtendArgument, Problem> {
    Ok(ExtendArgument { name: fields.text("name")?, value: fields.text("value")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_arguments_of_both_images() {
        let text = "[[build.args]]\nname = 'a'\nvalue = '1'\n[[run.args]]\nname = 'b'\n[[run.args]]\nname = 'user_id'";
        let config = parse(text).unwrap();
        assert_eq!(config.build, [ExtendArgument { name: "a".into(), value: "1".into() }]);
        assert_eq!((config.run.len(), config.run[0].value.as_str()), (2, ""));
        assert_eq!(config.reserved(), Some("user_id"));
        assert_eq!(parse(""), Ok(ExtendConfig::default()));
        assert_eq!(ExtendConfig::default().reserved(), None);
    }

    #[test]
    fn refuses_another_type() {
        let error = parse("[build]\nargs = 'x'").unwrap_err();
        assert!(error.0.starts_with("toml: line 2 (last key \"build.args\")"), "{error}");
    }
}
