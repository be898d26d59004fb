//! What a daemon says of an image. Clause: Docker Engine API, `GET /images/{name}/json` and `/history`; catalogue 2,
//! section 4.3.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::config::{container, layer_ids};
use crate::model::image::{History, ImageConfig};
use crate::model::value::Value;
use crate::schema::Error;
use crate::schema::read::{self, Fields, Problem};

/// What is taken over of a container's configuration besides what has a field of its own: all else is about the
/// container that an image was made in.
const KEPT: [&str; 6] = ["Healthcheck", "OnBuild", "Volumes", "ExposedPorts", "StopSignal", "Shell"];

/// An image in a daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// Its id, such as `sha256:<hex>`.
    pub id: String,
    /// Its configuration, without history: that is another question.
    pub config: ImageConfig,
}

/// Reads what a daemon says of an image.
pub fn parse_inspect(json: &[u8]) -> Result<Inspected, Error> {
    read::json(json, |root| {
        let mut config = container(&root.section("Config")?)?;
        config.other.retain(|key, _| KEPT.contains(&key.as_str()));
        Ok(Inspected {
            id: root.text("Id")?,
            config: ImageConfig {
                architecture: root.text("Architecture")?,
                variant: root.text("Variant")?,
                os: root.text("Os")?,
                os_version: root.text("OsVersion")?,
                author: root.text("Author")?,
                created: root.text("Created")?,
                config,
                diff_ids: layer_ids(&root.section("RootFS")?, "Layers")?,
                ..ImageConfig::default()
            },
        })
    })
}

/// Reads the history of an image: first step first, though a daemon says it in the other order. Which steps made a
/// layer it does not say.
pub fn parse_history(json: &[u8]) -> Result<Vec<History>, Error> {
    let mut history = read::json_list(json, entry)?;
    history.reverse();
    Ok(history)
}

fn entry(fields: &Fields<'_>) -> Result<History, Problem> {
    Ok(History {
        created: if let Value::Int(seconds) = fields.value("Created") { time(seconds) } else { String::new() },
        created_by: fields.text("CreatedBy")?,
        comment: fields.text("Comment")?,
        ..History::default()
    })
}

fn time(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_image_of_docker_20_10() {
        let layer = format!("sha256:{}", "a".repeat(64));
        let json = format!(
            r#"{{"Id":"sha256:1","Created":"2026-11-21T13:00:42.56Z","Container":"c","ContainerConfig":{{"User":"other"}},
            "DockerVersion":"20","Author":"me","Config":{{"Hostname":"h","Domainname":"d","User":"1:1","AttachStdin":true,
            "ExposedPorts":{{"80/tcp":{{}}}},"Tty":true,"Env":["A=b"],"Cmd":null,"Healthcheck":{{"Test":["CMD","/x"],"Interval":5}},
            "Image":"i","Volumes":{{"/v":{{}}}},"WorkingDir":"/w","Entrypoint":["e"],"OnBuild":["RUN x"],"Labels":{{"l":"1"}},
            "StopSignal":"TERM","Shell":["/bin/sh"]}},"Architecture":"arm64","Variant":"v8","Os":"linux","OsVersion":"1","Size":6,
            "RootFS":{{"Type":"layers","Layers":["{layer}"]}}}}"#
        );
        let Inspected { id, config } = parse_inspect(json.as_bytes()).unwrap();
        assert_eq!((id.as_str(), config.architecture.as_str(), config.variant.as_str()), ("sha256:1", "arm64", "v8"));
        assert_eq!((config.os.as_str(), config.os_version.as_str(), config.author.as_str()), ("linux", "1", "me"));
        assert_eq!(config.docker_version, "");
        assert_eq!(config.diff_ids[0].as_str(), layer);
        let container = config.config;
        assert_eq!((container.user.as_str(), container.working_dir.as_str()), ("1:1", "/w"));
        assert_eq!((container.cmd, container.entrypoint), (None, Some(vec!["e".to_owned()])));
        assert_eq!((container.env.as_slice(), container.labels["l"].as_str()), (&["A=b".to_owned()][..], "1"));
        let mut kept: Vec<&str> = container.other.keys().map(String::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "Volumes"]);
    }

    #[test]
    fn an_image_may_have_no_layers_and_no_configuration() {
        let inspected = parse_inspect(br#"{"Id":"sha256:1","Config":null,"RootFS":{"Type":"layers"}}"#).unwrap();
        assert_eq!(inspected.config.diff_ids, []);
        for json in [r#"{"RootFS":{"Layers":["x"]}}"#, r#"{"Os":1}"#, "[]", ""] {
            assert!(parse_inspect(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn turns_history_round() {
        let json = br#"[{"Created":1795266042,"CreatedBy":"top","Comment":"c","Size":0},{"Created":-62135596800,"CreatedBy":""}]"#;
        let history = parse_history(json).unwrap();
        assert_eq!(history[0].created, "0001-01-01T00:00:00Z");
        assert_eq!((history[1].created.as_str(), history[1].created_by.as_str()), ("2026-11-21T13:00:42Z", "top"));
        assert_eq!(history[1].comment, "c");
        assert_eq!(parse_history(b"null").unwrap(), []);
        assert!(parse_history(b"{}").is_err());
        assert!(parse_history(b"[1]").is_err());
    }
}
