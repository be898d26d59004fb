//! What users add to the resource of what is sent: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.
//!
//! Clause: OpenTelemetry's resource SDK, "Specifying resource information via an environment variable". Never in files:
//! telemetry T9.

use std::sync::Arc;

use opentelemetry::KeyValue;

use super::settings::decode;
use crate::model::env::Environment;
use crate::telemetry::attributes::Key;
use crate::telemetry::redact::Redactor;

/// What a user says of the resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceOverrides {
    attributes: Vec<KeyValue>,
    /// What is wrong with the variables, in a sentence.
    pub warning: Option<String>,
}

impl ResourceOverrides {
    /// Reads both variables. Where one entry of the list is malformed none counts, as the clause has it.
    pub fn parse(env: &Environment) -> Self {
        let text = |name: &str| env.get(name).and_then(|value| value.to_str()).filter(|value| !value.trim().is_empty());
        let mut overrides = Self::default();
        if let Some(list) = text("OTEL_RESOURCE_ATTRIBUTES") {
            if let Some(attributes) = list.split(',').filter(|entry| !entry.trim().is_empty()).map(pair).collect() {
                overrides.attributes = attributes;
            } else {
                let text = "OTEL_RESOURCE_ATTRIBUTES is ignored: it is no list of key=value, percent-encoded where a \
                            value has a comma, an equals sign or a percent sign";
                overrides.warning = Some(text.to_owned());
            }
        }
        if let Some(name) = text("OTEL_SERVICE_NAME") {
            overrides.attributes.push(KeyValue::new(Key::ServiceName.name(), name.trim().to_owned()));
        }
        overrides
    }

    /// The same without secrets, which may be there by mistake (R35).
    pub fn without_secrets(mut self, redactor: &Arc<Redactor>) -> Self {
        let redacted = |text: &str| String::from_utf8_lossy(&redactor.whole(text.as_bytes())).into_owned();
        for attribute in &mut self.attributes {
            *attribute = KeyValue::new(redacted(attribute.key.as_str()), redacted(&attribute.value.as_str()));
        }
        self
    }

    /// The resource with what the user says: the service has their name, and what else the lifecycle knows stays.
    pub fn apply(&self, own: &[KeyValue]) -> Vec<KeyValue> {
        let mut all = own.to_vec();
        for given in &self.attributes {
            let is_known = own.iter().any(|known| known.key == given.key);
            if is_known && given.key.as_str() != Key::ServiceName.name() {
                continue;
            }
            all.retain(|other| other.key != given.key);
            all.push(given.clone());
        }
        all
    }
}

fn pair(entry: &str) -> Option<KeyValue> {
    let (key, value) = entry.split_once('=')?;
    let key = decode(key.trim()).filter(|key| !key.is_empty())?;
    Some(KeyValue::new(key, decode(value.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(variables: &[(&str, &str)]) -> (Vec<String>, bool) {
        let mut env = Environment::default();
        for (name, value) in variables {
            env.set(*name, *value);
        }
        let overrides = ResourceOverrides::parse(&env);
        let own = [KeyValue::new("service.name", "lifecycle"), KeyValue::new("cnb.phase", "build")];
        let all = overrides.apply(&own);
        let shown = all.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
        (shown, overrides.warning.is_some())
    }

    #[test]
    fn users_name_the_service_and_add_what_the_lifecycle_does_not_know() {
        let text = "team=a%2Cb, service.name = mine ,cnb.phase=none,team=c";
        let shown = ["cnb.phase=build", "service.name=mine", "team=c"].map(str::to_owned).to_vec();
        assert_eq!(applied(&[("OTEL_RESOURCE_ATTRIBUTES", text)]), (shown, false));
        let shown = ["cnb.phase=build", "service.name=b"].map(str::to_owned).to_vec();
        let both = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=a"), ("OTEL_SERVICE_NAME", "b")];
        assert_eq!(applied(&both), (shown, false));
    }

    #[test]
    fn r35_secrets_in_what_users_add_are_taken_out() {
        let redactor = Arc::<Redactor>::default();
        redactor.add(["hunter2"]);
        let list = ("OTEL_RESOURCE_ATTRIBUTES", "team=a,token=x%20hunter2,hunter2=b,service.name=hunter2s");
        let overrides = ResourceOverrides::parse(&[list].into_iter().collect());
        let all = overrides.without_secrets(&redactor).apply(&[KeyValue::new("service.name", "lifecycle")]);
        let shown: Vec<_> = all.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
        assert_eq!(shown, ["team=a", "token=x [REDACTED]", "[REDACTED]=b", "service.name=[REDACTED]s"]);
    }

    #[test]
    fn a_malformed_list_counts_for_nothing() {
        let own = || ["service.name=lifecycle", "cnb.phase=build"].map(str::to_owned).to_vec();
        for text in ["a", "a=b,c", "=b", "a=%", "a=%zz", "a=%ff"] {
            assert_eq!(applied(&[("OTEL_RESOURCE_ATTRIBUTES", text)]), (own(), true), "{text}");
        }
        assert_eq!(applied(&[("OTEL_RESOURCE_ATTRIBUTES", " "), ("OTEL_SERVICE_NAME", "")]), (own(), false));
    }
}
