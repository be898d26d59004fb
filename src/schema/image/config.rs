//! Image configurations. Clause: OCI image configuration; catalogue 2, section 2.5.

use super::object::{Object, texts_by_key};
use crate::model::digest::DiffId;
use crate::model::image::{ContainerConfig, History, ImageConfig};
use crate::model::value::{Table, Value};
use crate::schema::Error;
use crate::schema::json::{self, Json};
use crate::schema::read::{self, Fields, Problem, Wanted};
use crate::schema::value::to_json_or_null;
use crate::schema::wire::each;

/// What a time is when nobody set it.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Keys of `config` in the order in which they are written, with the type of their values.
const CONTAINER_KEYS: &[(&str, Kind)] = &[
    ("AttachStderr", Kind::Flag),
    ("AttachStdin", Kind::Flag),
    ("AttachStdout", Kind::Flag),
    ("Cmd", Kind::Own),
    ("Healthcheck", Kind::Healthcheck),
    ("Domainname", Kind::Text),
    ("Entrypoint", Kind::Own),
    ("Env", Kind::Own),
    ("Hostname", Kind::Text),
    ("Image", Kind::Text),
    ("Labels", Kind::Own),
    ("OnBuild", Kind::Texts),
    ("OpenStdin", Kind::Flag),
    ("StdinOnce", Kind::Flag),
    ("Tty", Kind::Flag),
    ("User", Kind::Own),
    ("Volumes", Kind::Set),
    ("WorkingDir", Kind::Own),
    ("ExposedPorts", Kind::Set),
    ("ArgsEscaped", Kind::Flag),
    ("NetworkDisabled", Kind::Flag),
    ("MacAddress", Kind::Text),
    ("StopSignal", Kind::Text),
    ("Shell", Kind::Texts),
];

/// Keys of `Healthcheck` in the order in which they are written.
const HEALTHCHECK_KEYS: &[(&str, Kind)] = &[
    ("Test", Kind::Texts),
    ("Interval", Kind::Number),
    ("Timeout", Kind::Number),
    ("StartPeriod", Kind::Number),
    ("Retries", Kind::Number),
];

/// The type of the value of a key of `config`.
#[derive(Clone, Copy)]
enum Kind {
    /// It has a field of its own in [`ContainerConfig`].
    Own,
    Flag,
    Text,
    Texts,
    Number,
    /// An object whose keys alone say something.
    Set,
    Healthcheck,
}

/// Reads an image configuration.
pub fn parse_config(json: &[u8]) -> Result<ImageConfig, Error> {
    read::json(json, |root| {
        Ok(ImageConfig {
            architecture: root.text("architecture")?,
            variant: root.text("variant")?,
            os: root.text("os")?,
            os_version: root.text("os.version")?,
            os_features: root.texts("os.features")?,
            author: root.text("author")?,
            created: root.text("created")?,
            docker_version: root.text("docker_version")?,
            config: container(&root.section("config")?)?,
            history: each(root, "history", history)?,
            diff_ids: layer_ids(&root.section("rootfs")?, "diff_ids")?,
        })
    })
}

/// Writes an image configuration, compact and without a newline.
pub fn render_config(config: &ImageConfig) -> Vec<u8> {
    let diff_ids: Vec<Json> = config.diff_ids.iter().map(|diff_id| diff_id.as_str().into()).collect();
    let history: Vec<Json> = config.history.iter().map(history_json).collect();
    let object = Object::new()
        .with("architecture", config.architecture.as_str())
        .with_any("author", &config.author)
        .with("created", time(&config.created))
        .with_any("docker_version", &config.docker_version);
    let object = if history.is_empty() { object } else { object.with("history", history) };
    let object = object
        .with("os", config.os.as_str())
        .with("rootfs", Object::new().with("type", "layers").with("diff_ids", diff_ids).0)
        .with("config", container_json(&config.config))
        .with_any("os.version", &config.os_version)
        .with_any("variant", &config.variant)
        .with_list("os.features", &config.os_features);
    json::render(&object.0).into_bytes()
}

/// Reads the diff ids of the layers.
pub(super) fn layer_ids(rootfs: &Fields<'_>, key: &str) -> Result<Vec<DiffId>, Problem> {
    let texts = rootfs.texts(key)?;
    texts.iter().map(|text| DiffId::parse(text).map_err(|error| Problem::Other(error.to_string()))).collect()
}

fn history(fields: &Fields<'_>) -> Result<History, Problem> {
    Ok(History {
        created: fields.text("created")?,
        author: fields.text("author")?,
        created_by: fields.text("created_by")?,
        comment: fields.text("comment")?,
        empty_layer: fields.flag("empty_layer")?,
    })
}

fn history_json(history: &History) -> Json {
    let object = Object::new()
        .with_any("author", &history.author)
        .with("created", time(&history.created))
        .with_any("created_by", &history.created_by)
        .with_any("comment", &history.comment);
    if history.empty_layer { object.with("empty_layer", true).into() } else { object.into() }
}

fn time(created: &str) -> &str {
    if created.is_empty() { NO_TIME } else { created }
}

pub(super) fn container(fields: &Fields<'_>) -> Result<ContainerConfig, Problem> {
    Ok(ContainerConfig {
        env: fields.texts("Env")?,
        entrypoint: fields.texts_if_any("Entrypoint")?.filter(|words| !words.is_empty()),
        cmd: fields.texts_if_any("Cmd")?.filter(|words| !words.is_empty()),
        working_dir: fields.text("WorkingDir")?,
        user: fields.text("User")?,
        labels: texts_by_key(fields, "Labels")?,
        other: known(fields, CONTAINER_KEYS)?,
    })
}

fn container_json(config: &ContainerConfig) -> Json {
    CONTAINER_KEYS
        .iter()
        .fold(Object::new(), |object, (key, kind)| match (*key, config.other.get(*key)) {
            ("Cmd", _) => object.with_list(key, config.cmd.as_deref().unwrap_or_default()),
            ("Entrypoint", _) => object.with_list(key, config.entrypoint.as_deref().unwrap_or_default()),
            ("Env", _) => object.with_list(key, &config.env),
            ("Labels", _) => object.with_entries(key, &config.labels),
            ("User", _) => object.with_any(key, &config.user),
            ("WorkingDir", _) => object.with_any(key, &config.working_dir),
            (_, None) => object,
            (_, Some(Value::Table(table))) if matches!(kind, Kind::Healthcheck) => {
                let keys = HEALTHCHECK_KEYS.iter().filter_map(|(key, _)| Some((key, table.get(*key)?)));
                let check = keys.fold(Object::new(), |check, (key, value)| check.with(key, to_json_or_null(value)));
                object.with(key, check)
            }
            (_, Some(value)) => object.with(key, to_json_or_null(value)),
        })
        .into()
}

/// Reads the keys that are known but have no field; those that say nothing are left out.
fn known(fields: &Fields<'_>, keys: &[(&str, Kind)]) -> Result<Table, Problem> {
    let mut known = Table::new();
    for (key, kind) in keys {
        let value = match kind {
            Kind::Own => None,
            Kind::Flag => fields.flag(key)?.then_some(Value::Bool(true)),
            Kind::Text => Some(fields.text(key)?).filter(|text| !text.is_empty()).map(Value::String),
            Kind::Texts => {
                let texts = fields.texts(key)?.into_iter().map(Value::String).collect::<Vec<_>>();
                if texts.is_empty() { None } else { Some(Value::Array(texts)) }
            }
            Kind::Number => match fields.value(key) {
                Value::Null | Value::Int(0) => None,
                number @ Value::Int(_) => Some(number),
                _ => return Err(fields.mismatch(key, Wanted::Integer)),
            },
            Kind::Set => {
                let names = fields.section(key)?.names();
                let set: Table = names.into_iter().map(|name| (name, Value::Table(Table::new()))).collect();
                if set.is_empty() { None } else { Some(Value::Table(set)) }
            }
            Kind::Healthcheck => match fields.table(key)? {
                None => None,
                Some(check) => Some(Value::Table(self::known(&check, HEALTHCHECK_KEYS)?)),
            },
        };
        if let Some(value) = value {
            known.insert((*key).to_owned(), value);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> String {
        String::from_utf8(render_config(&parse_config(text.as_bytes()).unwrap())).unwrap()
    }

    fn sha(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    #[test]
    fn writes_a_configuration_byte_for_byte_as_the_reference_does() {
        let diff_id = sha("a");
        let read = format!(
            r#"{{"id":"x","architecture":"amd64","author":"me","container":"c","created":"2020-01-01T00:00:00Z","docker_version":"20",
            "history":[{{"created":"2020-01-01T00:00:00Z","created_by":"x & y","empty_layer":true,"author":"a","comment":"c"}},{{}}],
            "os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"config":{{"ArgsEscaped":true,"AttachStdin":true,"Cmd":["c"],
            "Domainname":"d","Entrypoint":["e"],"Env":["A=b"],"ExposedPorts":{{"80/tcp":{{}},"443/tcp":{{}}}},
            "Healthcheck":{{"Test":["CMD","x"],"Interval":1000000000,"Retries":3,"StartInterval":5}},"Hostname":"h","Image":"i",
            "Labels":{{"b":"<&>","a":"1"}},"OnBuild":["RUN x"],"Shell":["/bin/sh"],"StopSignal":"TERM","Tty":true,"User":"u",
            "Volumes":{{"/v":{{}}}},"WorkingDir":"/w","moby.x":"y","MacAddress":"m","NetworkDisabled":true,"StdinOnce":true,
            "OpenStdin":true,"AttachStdout":true,"AttachStderr":true}},"os.version":"10","variant":"v8","os.features":["f"]}}"#
        );
        let expected = format!(
            concat!(
                r#"{{"architecture":"amd64","author":"me","created":"2020-01-01T00:00:00Z","docker_version":"20","#,
                r#""history":[{{"author":"a","created":"2020-01-01T00:00:00Z","created_by":"x \u0026 y","comment":"c","empty_layer":true}},"#,
                r#"{{"created":"0001-01-01T00:00:00Z"}}],"os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"#,
                r#""config":{{"AttachStderr":true,"AttachStdin":true,"AttachStdout":true,"Cmd":["c"],"#,
                r#""Healthcheck":{{"Test":["CMD","x"],"Interval":1000000000,"Retries":3}},"Domainname":"d","Entrypoint":["e"],"#,
                r#""Env":["A=b"],"Hostname":"h","Image":"i","Labels":{{"a":"1","b":"\u003c\u0026\u003e"}},"OnBuild":["RUN x"],"#,
                r#""OpenStdin":true,"StdinOnce":true,"Tty":true,"User":"u","Volumes":{{"/v":{{}}}},"WorkingDir":"/w","#,
                r#""ExposedPorts":{{"443/tcp":{{}},"80/tcp":{{}}}},"ArgsEscaped":true,"NetworkDisabled":true,"MacAddress":"m","#,
                r#""StopSignal":"TERM","Shell":["/bin/sh"]}},"os.version":"10","variant":"v8","os.features":["f"]}}"#
            ),
            diff_id = diff_id
        );
        assert_eq!(config(&read), expected);
        assert_eq!(config(&expected), expected);
    }

    #[test]
    fn a_minimal_configuration_still_has_every_required_key() {
        assert_eq!(
            config(r#"{"config":{"Healthcheck":{},"Cmd":null,"Labels":null,"Tty":false,"User":""}}"#),
            concat!(
                r#"{"architecture":"","created":"0001-01-01T00:00:00Z","os":"","rootfs":{"type":"layers","diff_ids":[]},"#,
                r#""config":{"Healthcheck":{}}}"#
            )
        );
    }

    #[test]
    fn keeps_environment_and_labels_as_they_are() {
        let text = r#"{"config":{"Env":["PATH=/bin","X=a=b"],"Labels":{"k":"\u003c"}}}"#;
        let config = parse_config(text.as_bytes()).unwrap().config;
        assert_eq!(config.env, ["PATH=/bin", "X=a=b"]);
        assert_eq!(config.labels["k"], "<");
        assert_eq!((config.entrypoint, config.cmd), (None, None));
    }

    #[test]
    fn refuses_configurations_with_values_of_other_types() {
        for text in [
            r#"{"os":1}"#,
            r#"{"rootfs":{"diff_ids":["sha256:12"]}}"#,
            r#"{"config":{"Env":"A=b"}}"#,
            r#"{"config":{"Labels":{"a":1}}}"#,
            r#"{"config":{"Healthcheck":{"Retries":1.5}}}"#,
            r#"{"config":{"Volumes":["/v"]}}"#,
            "",
        ] {
            assert!(parse_config(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_config(b"{\"os\":\"\xff\"}").is_err());
    }
}
